import type { Unsupported } from '../schema-entry.ts';
import { type CatalogReader, OWN_SCHEMA, text, USER_OID_MIN } from './catalog-reader.ts';

/** What there is of a kind that needs files of the source's server, secrets of it, or that is not known here. */
const QUERIES: readonly string[] = [
  `SELECT 'pg_class:' || c.oid AS key, format('foreign table %I.%I', n.nspname, c.relname) AS text
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND ${OWN_SCHEMA}`,
  ...[
    ['pg_foreign_data_wrapper', 'foreign-data wrapper', 'fdwname'],
    ['pg_foreign_server', 'foreign server', 'srvname'],
    ['pg_language', 'language', 'lanname'],
    ['pg_am', 'access method', 'amname'],
  ].map(
    ([catalog, noun, column]) =>
      `SELECT '${catalog}:' || oid AS key, format('${noun} %I', ${column}) AS text FROM ${catalog} WHERE oid >= ${USER_OID_MIN}`,
  ),
  `SELECT 'pg_user_mapping:' || umid AS key, format('user mapping of %I for the server %I', usename, srvname) AS text
   FROM pg_user_mappings`,
  `SELECT 'pg_subscription:' || s.oid AS key, format('subscription %I', s.subname) AS text FROM pg_subscription s
   JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database()`,
  `SELECT 'pg_largeobject:all' AS key, format('large objects: %s of them', count(*)) AS text FROM pg_largeobject_metadata
   HAVING count(*) > 0`,
  `SELECT 'pg_transform:' || t.oid AS key, format('transform for %s', format_type(t.trftype, NULL)) AS text
   FROM pg_transform t WHERE t.oid >= ${USER_OID_MIN}`,
  ...[
    ['pg_ts_parser', 'text search parser', 'prs'],
    ['pg_ts_template', 'text search template', 'tmpl'],
  ].map(
    ([catalog, noun, prefix]) =>
      `SELECT '${catalog}:' || t.oid AS key, format('${noun} %I.%I', n.nspname, t.${prefix}name) AS text
       FROM ${catalog} t JOIN pg_namespace n ON n.oid = t.${prefix}namespace WHERE ${OWN_SCHEMA}`,
  ),
  `SELECT 'pg_type:' || t.oid AS key, format('%s %I.%I', CASE t.typtype WHEN 'p' THEN 'shell type' ELSE 'base type' END,
     n.nspname, t.typname) AS text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
   WHERE t.typtype IN ('b', 'p') AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid) AND ${OWN_SCHEMA}`,
  `SELECT 'pg_proc:' || p.oid AS key, format('function %s in the C library %s', p.oid::regprocedure, p.probin) AS text
   FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
   WHERE l.lanname = 'c' AND ${OWN_SCHEMA}`,
  `SELECT 'pg_seclabel:' || row_number() OVER () AS key,
     format('security label of %s', (pg_identify_object(classoid, objoid, objsubid)).identity) AS text FROM pg_seclabel`,
];

/** What is in the database and cannot be carried. */
export async function readUnsupported(reader: CatalogReader): Promise<Unsupported[]> {
  const found: Unsupported[] = [];
  for (const query of QUERIES) {
    for (const row of await reader.ownRows(query))
      found.push({ key: text(row, 'key'), text: text(row, 'text') });
  }
  return found;
}

/** Left behind by a CREATE INDEX CONCURRENTLY that failed: in no query's plan, and not carried. */
export async function readInvalidIndexes(reader: CatalogReader): Promise<string[]> {
  const rows = await reader.rows(`
    SELECT format('%I.%I', n.nspname, x.relname) AS name FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_namespace n ON n.oid = x.relnamespace WHERE NOT i.indisvalid AND x.relkind = 'i' AND ${OWN_SCHEMA}`);
  return rows.map((row) => text(row, 'name'));
}
