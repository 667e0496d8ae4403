import { quoteLiteral } from '../../postgres/sql-text.ts';
import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';

const SEQUENCES = `
  SELECT 'pg_class:' || c.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, c.relname) AS name,
    pg_get_userbyid(c.relowner) AS owner, c.relpersistence, format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement,
    s.seqmin, s.seqmax, s.seqcache, s.seqcycle, d.deptype, 'pg_class:' || t.oid AS table_key,
    quote_ident(tn.nspname) || '.' || quote_ident(t.relname) AS table_name, quote_ident(a.attname) AS column_name, a.attidentity
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = d.classid
    AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE c.relpersistence <> 't' AND ${OWN_SCHEMA}
  ORDER BY c.oid`;

const DEFAULTS = `
  SELECT 'pg_attrdef:' || d.oid AS key, 'pg_class:' || c.oid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS table_name, quote_ident(a.attname) AS column_name,
    pg_get_expr(d.adbin, d.adrelid) AS expression
  FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  WHERE a.attgenerated = '' AND c.relpersistence <> 't' AND ${OWN_SCHEMA}
  ORDER BY d.oid`;

/** Sequences, those of identity columns, and how far each is. */
export async function readSequences(reader: CatalogReader): Promise<SchemaEntry[]> {
  const rows = await reader.ownRows(SEQUENCES);
  const positions = await readPositions(reader, rows);
  return rows.flatMap((row) => {
    const key = text(row, 'key');
    const name = text(row, 'name');
    const schema = text(row, 'schema');
    const value: SchemaEntry = {
      key: key.replace('pg_class', 'sequence-value'),
      kind: 'sequence value',
      name,
      schema,
      statements: [`SELECT pg_catalog.setval(${quoteLiteral(name)}, ${positions.get(key)})`],
      after: [key],
    };
    return [row['deptype'] === 'i' ? identityEntry(row) : sequenceEntry(row), value];
  });
}

function sequenceEntry(row: CatalogRow): SchemaEntry {
  const name = text(row, 'name');
  const isUnlogged = text(row, 'relpersistence') === 'u';
  const isOwned = row['deptype'] === 'a';
  const statements = [
    `CREATE ${isUnlogged ? 'UNLOGGED ' : ''}SEQUENCE ${name} AS ${text(row, 'type')} ${rulesOf(row)}`,
  ];
  if (isOwned) {
    statements.push(`ALTER SEQUENCE ${name} OWNED BY ${text(row, 'table_name')}.${text(row, 'column_name')}`);
  }
  return {
    key: text(row, 'key'),
    kind: 'sequence',
    name,
    schema: text(row, 'schema'),
    statements,
    // An owned one goes with its table.
    ...(isOwned ? {} : { owner: { target: `SEQUENCE ${name}`, role: text(row, 'owner') } }),
  };
}

function identityEntry(row: CatalogRow): SchemaEntry {
  const name = text(row, 'name');
  const how = row['attidentity'] === 'a' ? 'ALWAYS' : 'BY DEFAULT';
  const place = `ALTER TABLE ${text(row, 'table_name')} ALTER COLUMN ${text(row, 'column_name')}`;
  return {
    key: text(row, 'key'),
    kind: 'identity',
    name,
    schema: text(row, 'schema'),
    statements: [`${place} ADD GENERATED ${how} AS IDENTITY (SEQUENCE NAME ${name} ${rulesOf(row)})`],
    after: [text(row, 'table_key')],
  };
}

const rulesOf = (row: CatalogRow): string =>
  [
    `START WITH ${row['seqstart']} INCREMENT BY ${row['seqincrement']}`,
    `MINVALUE ${row['seqmin']} MAXVALUE ${row['seqmax']} CACHE ${row['seqcache']}${isTrue(row, 'seqcycle') ? ' CYCLE' : ''}`,
  ].join(' ');

/** Arguments of setval behind the name, by key. */
async function readPositions(
  reader: CatalogReader,
  rows: readonly CatalogRow[],
): Promise<ReadonlyMap<string, string>> {
  const positions = new Map<string, string>();
  for (let at = 0; at < rows.length; at += 200) {
    const queries = rows
      .slice(at, at + 200)
      .map((row) => `SELECT '${row['key']}' AS key, last_value, is_called FROM ${row['name']}`);
    for (const row of await reader.rows(queries.join(' UNION ALL '))) {
      positions.set(text(row, 'key'), `${row['last_value']}, ${isTrue(row, 'is_called')}`);
    }
  }
  return positions;
}

/** Of columns of tables and views. */
export async function readDefaults(reader: CatalogReader): Promise<SchemaEntry[]> {
  const rows = (await reader.ownRows(DEFAULTS)).filter(
    (row) => reader.extensionOf(text(row, 'table_key')) === undefined,
  );
  return rows.map((row) => {
    const column = `${text(row, 'table_name')} ALTER COLUMN ${text(row, 'column_name')}`;
    return {
      key: text(row, 'key'),
      kind: 'default',
      name: `${text(row, 'table_name')}.${text(row, 'column_name')}`,
      schema: text(row, 'schema'),
      statements: [`ALTER TABLE ONLY ${column} SET DEFAULT ${text(row, 'expression')}`],
      after: [text(row, 'table_key')],
    };
  });
}
