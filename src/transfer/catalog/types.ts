import type { EntryKind, SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, clause, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';
import { columnDefinition, readColumns } from './columns.ts';

const SCHEMAS = `
  SELECT 'pg_namespace:' || n.oid AS key, quote_ident(n.nspname) AS name, n.nspname AS schema,
    pg_get_userbyid(n.nspowner) AS owner
  FROM pg_namespace n WHERE ${OWN_SCHEMA} ORDER BY n.oid`;

const EXTENSIONS = `
  SELECT 'pg_extension:' || e.oid AS key, quote_ident(e.extname) AS name, quote_ident(n.nspname) AS schema_name
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid`;

const TYPES = `
  SELECT 'pg_type:' || t.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, t.typname) AS name, t.typtype,
    pg_get_userbyid(t.typowner) AS owner, 'pg_class:' || t.typrelid AS class_key,
    (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) AS labels,
    format_type(t.typbasetype, t.typtypmod) || CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation
      THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname) FROM pg_collation o
        JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = t.typcollation) ELSE '' END AS base,
    CASE WHEN t.typdefaultbin IS NULL THEN quote_literal(t.typdefault) ELSE pg_get_expr(t.typdefaultbin, 0) END AS default,
    t.typnotnull, format_type(r.rngsubtype, NULL) AS subtype, r.rngsubdiff::regproc AS subtype_diff,
    (SELECT format('%I.%I', cn.nspname, opcname) FROM pg_opclass JOIN pg_namespace cn ON cn.oid = opcnamespace
       WHERE pg_opclass.oid = r.rngsubopc) AS subtype_class,
    (SELECT format('%I.%I', cn.nspname, collname) FROM pg_collation o JOIN pg_namespace cn ON cn.oid = collnamespace
       WHERE o.oid = r.rngcollation) AS range_collation,
    (SELECT format('%I.%I', cn.nspname, m.typname) FROM pg_type m JOIN pg_namespace cn ON cn.oid = m.typnamespace
       WHERE m.oid = r.rngmultitypid) AS multirange
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  LEFT JOIN pg_range r ON r.rngtypid = t.oid LEFT JOIN pg_type b ON b.oid = t.typbasetype
  WHERE t.typtype IN ('e', 'd', 'r', 'c') AND (t.typtype <> 'c' OR c.relkind = 'c') AND ${OWN_SCHEMA}
  ORDER BY t.oid`;

const COLLATIONS = `
  SELECT 'pg_collation:' || o.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, o.collname) AS name,
    pg_get_userbyid(o.collowner) AS owner, o.collprovider, o.collisdeterministic, quote_literal(o.collcollate) AS collate,
    quote_literal(o.collctype) AS ctype, quote_literal(to_jsonb(o) ->> 'collicurules') AS rules,
    quote_literal(COALESCE(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale', o.collcollate)) AS locale
  FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE ${OWN_SCHEMA} ORDER BY o.oid`;

const CONVERSIONS = `
  SELECT 'pg_conversion:' || c.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, c.conname) AS name,
    pg_get_userbyid(c.conowner) AS owner, quote_literal(pg_encoding_to_char(conforencoding)) AS "from",
    quote_literal(pg_encoding_to_char(contoencoding)) AS "to", conproc::regproc AS function, condefault
  FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE ${OWN_SCHEMA} ORDER BY c.oid`;

/** Schemas, extensions, collations, conversions, and types that are none of a table. */
export async function readTypes(reader: CatalogReader): Promise<SchemaEntry[]> {
  const columns = await readColumns(reader);
  const entries: SchemaEntry[] = [];
  for (const row of await reader.ownRows(SCHEMAS)) entries.push(schemaEntry(row));
  for (const row of await reader.rows(EXTENSIONS)) entries.push(extensionEntry(row));
  for (const row of await reader.ownRows(COLLATIONS)) entries.push(collationEntry(row));
  for (const row of await reader.ownRows(CONVERSIONS)) entries.push(conversionEntry(row));
  for (const row of await reader.ownRows(TYPES)) {
    const kind = text(row, 'typtype');
    if (kind === 'e')
      entries.push(owned('type', 'TYPE', row, `CREATE TYPE ${row['name']} AS ENUM (${row['labels'] ?? ''})`));
    else if (kind === 'd') entries.push(domainEntry(row));
    else if (kind === 'r') entries.push(rangeEntry(row));
    else {
      const body = (columns.get(text(row, 'class_key')) ?? []).map(
        (column) => `\n    ${columnDefinition(column)}`,
      );
      entries.push(owned('type', 'TYPE', row, `CREATE TYPE ${row['name']} AS (${body.join(',')}\n)`));
    }
  }
  return entries;
}

/** Most things: a statement that makes it, and an owner. @param noun behind ALTER */
export function owned(kind: EntryKind, noun: string, row: CatalogRow, ...statements: string[]): SchemaEntry {
  const name = text(row, 'name');
  return {
    key: text(row, 'key'),
    kind,
    name,
    schema: row['schema'] ?? null,
    statements,
    owner: { target: `${noun} ${name}`, role: text(row, 'owner') },
  };
}

/** The one schema that a new database has already, owned as here since PostgreSQL 15. */
export const PUBLIC_OWNER = 'pg_database_owner';

function schemaEntry(row: CatalogRow): SchemaEntry {
  const isPublic = row['schema'] === 'public';
  const entry = owned(
    'schema',
    'SCHEMA',
    row,
    `CREATE SCHEMA ${isPublic ? 'IF NOT EXISTS ' : ''}${row['name']}`,
  );
  if (!isPublic || text(row, 'owner') !== PUBLIC_OWNER) return entry;
  const { owner: _, ...rest } = entry;
  return rest;
}

function extensionEntry(row: CatalogRow): SchemaEntry {
  const name = text(row, 'name');
  // A schema that the extension makes itself is no entry, and is there by then.
  const place = row['schema_name'] === 'pg_catalog' ? '' : ` WITH SCHEMA ${row['schema_name']}`;
  const statement = `CREATE EXTENSION IF NOT EXISTS ${name}${place}`;
  return { key: text(row, 'key'), kind: 'extension', name, schema: null, statements: [statement] };
}

function collationEntry(row: CatalogRow): SchemaEntry {
  const isLibc = row['collprovider'] === 'c';
  const options = [
    `provider = ${{ c: 'libc', i: 'icu', b: 'builtin' }[text(row, 'collprovider')] ?? 'default'}`,
    isTrue(row, 'collisdeterministic') ? '' : 'deterministic = false',
    isLibc ? `lc_collate = ${row['collate']}, lc_ctype = ${row['ctype']}` : `locale = ${row['locale']}`,
    row['rules'] === null ? '' : `rules = ${row['rules']}`,
  ].filter((option) => option !== '');
  return owned('collation', 'COLLATION', row, `CREATE COLLATION ${row['name']} (${options.join(', ')})`);
}

function conversionEntry(row: CatalogRow): SchemaEntry {
  const what = `${isTrue(row, 'condefault') ? 'DEFAULT ' : ''}CONVERSION ${row['name']}`;
  const statement = `CREATE ${what} FOR ${row['from']} TO ${row['to']} FROM ${row['function']}`;
  return owned('conversion', 'CONVERSION', row, statement);
}

function domainEntry(row: CatalogRow): SchemaEntry {
  const statement = [
    `CREATE DOMAIN ${row['name']} AS ${row['base']}`,
    clause(row, 'default', 'DEFAULT'),
    isTrue(row, 'typnotnull') ? ' NOT NULL' : '',
  ];
  return owned('type', 'DOMAIN', row, statement.join(''));
}

function rangeEntry(row: CatalogRow): SchemaEntry {
  const options = [
    `subtype = ${row['subtype']}`,
    `subtype_opclass = ${row['subtype_class']}`,
    row['range_collation'] === null ? '' : `collation = ${row['range_collation']}`,
    row['subtype_diff'] === '-' ? '' : `subtype_diff = ${row['subtype_diff']}`,
    `multirange_type_name = ${row['multirange']}`,
  ].filter((option) => option !== '');
  return owned('type', 'TYPE', row, `CREATE TYPE ${row['name']} AS RANGE (${options.join(', ')})`);
}
