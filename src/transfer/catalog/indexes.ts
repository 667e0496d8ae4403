import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';
import type { Relation } from './relations.ts';

/** With the constraint that each is of, if any. An index that is not valid is left over from a command that failed. */
const INDEXES = `
  SELECT 'pg_class:' || i.indexrelid AS key, 'pg_class:' || i.indrelid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, x.relname) AS name, quote_ident(x.relname) AS bare_name, pg_get_indexdef(i.indexrelid) AS definition,
    i.indisclustered, i.indisreplident, 'pg_constraint:' || c.oid AS constraint_key, quote_ident(c.conname) AS constraint_name,
    pg_get_constraintdef(c.oid) AS constraint_definition, 'pg_class:' || h.inhparent AS parent_key,
    (SELECT format('%I.%I', pn.nspname, p.relname) FROM pg_class p JOIN pg_namespace pn ON pn.oid = p.relnamespace
       WHERE p.oid = h.inhparent) AS parent_name,
    (SELECT string_agg(quote_ident(option_name) || '=' || quote_literal(option_value), ', ')
       FROM pg_options_to_table(x.reloptions)) AS options,
    (SELECT json_agg(json_build_array(a.attnum, a.attstattarget)) FROM pg_attribute a
       WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0) AS statistics
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
  LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid
  LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('p', 'u', 'x')
  WHERE (i.indisvalid OR x.relkind = 'I') AND x.relpersistence <> 't' AND ${OWN_SCHEMA}
  ORDER BY i.indexrelid`;

const CONSTRAINTS = `
  SELECT 'pg_constraint:' || c.oid AS key, c.contype, 'pg_class:' || c.conrelid AS table_key, 'pg_class:' || c.confrelid AS other_key,
    n.nspname AS schema, quote_ident(c.conname) AS bare_name, pg_get_constraintdef(c.oid) AS definition, c.connoinherit
  FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
  WHERE ((c.contype = 'c' AND c.conrelid <> 0 AND c.conislocal) OR (c.contype = 'f' AND c.conparentid = 0)) AND ${OWN_SCHEMA}
  ORDER BY c.oid`;

const DOMAIN_CONSTRAINTS = `
  SELECT 'pg_constraint:' || c.oid AS key, n.nspname AS schema, quote_ident(c.conname) AS bare_name,
    format('%I.%I', n.nspname, t.typname) AS domain, 'pg_type:' || t.oid AS type_key, pg_get_constraintdef(c.oid) AS definition
  FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE c.contype = 'c' AND ${OWN_SCHEMA} ORDER BY c.oid`;

type Relations = ReadonlyMap<string, Relation>;

/** Indexes, and the keys and exclusions that they are for. @param relations by key */
export async function readIndexes(reader: CatalogReader, relations: Relations): Promise<SchemaEntry[]> {
  const rows = (await reader.ownRows(INDEXES)).filter((row) => relations.has(text(row, 'table_key')));
  /** By the index's own key, that of the entry which makes it. */
  const makers = new Map(rows.map((row) => [text(row, 'key'), row['constraint_key'] ?? text(row, 'key')]));
  return rows.map((row) => indexEntry(row, relations, makers));
}

function indexEntry(row: CatalogRow, relations: Relations, makers: ReadonlyMap<string, string>): SchemaEntry {
  const tableKey = text(row, 'table_key');
  const { name: table, schema } = relations.get(tableKey) as Relation;
  const name = text(row, 'name');
  const isKey = row['constraint_key'] !== null;
  const made = isKey
    ? `ALTER TABLE ONLY ${table} ADD CONSTRAINT ${row['constraint_name']} ${row['constraint_definition']}`
    : text(row, 'definition');
  const statements = [made];
  // The definition of a constraint does not tell how its index is stored.
  if (isKey && row['options'] !== null) statements.push(`ALTER INDEX ${name} SET (${row['options']})`);
  for (const [column, target] of JSON.parse(row['statistics'] ?? '[]') as [number, number][]) {
    statements.push(`ALTER INDEX ${name} ALTER COLUMN ${column} SET STATISTICS ${target}`);
  }
  const after = [tableKey.replace('pg_class', 'data'), tableKey];
  if (row['parent_key'] !== null && row['parent_name'] !== null) {
    statements.push(`ALTER INDEX ${row['parent_name']} ATTACH PARTITION ${name}`);
    after.push(makers.get(text(row, 'parent_key')) ?? text(row, 'parent_key'));
  }
  if (isTrue(row, 'indisclustered')) statements.push(`ALTER TABLE ${table} CLUSTER ON ${row['bare_name']}`);
  if (isTrue(row, 'indisreplident')) {
    statements.push(`ALTER TABLE ONLY ${table} REPLICA IDENTITY USING INDEX ${row['bare_name']}`);
  }
  const key = makers.get(text(row, 'key')) as string;
  return { key, kind: isKey ? 'key' : 'index', name, schema, statements, after };
}

/** Check constraints and foreign keys of tables; those that are inherited only come with their parents'. */
export async function readConstraints(reader: CatalogReader, relations: Relations): Promise<SchemaEntry[]> {
  const rows = (await reader.ownRows(CONSTRAINTS)).filter((row) => relations.has(text(row, 'table_key')));
  const checks = new Map(
    rows
      .filter((row) => row['contype'] === 'c')
      .map((row) => [`${row['table_key']} ${row['bare_name']}`, text(row, 'key')]),
  );
  return rows.map((row) => {
    const tableKey = text(row, 'table_key');
    const { name: table, schema, kind, parents } = relations.get(tableKey) as Relation;
    const isForeign = row['contype'] === 'f';
    // A check is inherited by those that have the table as a parent, and merged with theirs.
    const isOnly = isForeign ? kind !== 'p' : isTrue(row, 'connoinherit');
    const merged = parents.flatMap((parent) => checks.get(`${parent} ${row['bare_name']}`) ?? []);
    const dataKeys = isForeign ? [tableKey, text(row, 'other_key')] : [tableKey];
    const place = `${isOnly ? 'ONLY ' : ''}${table} ADD CONSTRAINT ${row['bare_name']}`;
    return {
      key: text(row, 'key'),
      kind: isForeign ? 'foreign key' : 'check constraint',
      name: `${row['bare_name']} on ${table}`,
      schema,
      statements: [`ALTER TABLE ${place} ${text(row, 'definition')}`],
      after: [...dataKeys.map((key) => key.replace('pg_class', 'data')), ...dataKeys, ...merged],
    };
  });
}

export async function readDomainConstraints(reader: CatalogReader): Promise<SchemaEntry[]> {
  const rows = (await reader.ownRows(DOMAIN_CONSTRAINTS)).filter(
    (row) => reader.extensionOf(text(row, 'type_key')) === undefined,
  );
  return rows.map((row) => ({
    key: text(row, 'key'),
    kind: 'domain constraint',
    name: `${row['bare_name']} on ${row['domain']}`,
    schema: text(row, 'schema'),
    statements: [
      `ALTER DOMAIN ${row['domain']} ADD CONSTRAINT ${row['bare_name']} ${text(row, 'definition')}`,
    ],
    after: [text(row, 'type_key')],
  }));
}
