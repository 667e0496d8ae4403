import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, isTrue, text } from './catalog-reader.ts';
import { owned } from './types.ts';

/** Columns and rows that are published of a table, since PostgreSQL 15. */
const PUBLISHED_PARTS = `
         || COALESCE((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs)), '')
         || COALESCE(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '')`;

const publicationsQuery = (serverMajor: number): string => `
  SELECT 'pg_publication:' || p.oid AS key, quote_ident(p.pubname) AS name, pg_get_userbyid(p.pubowner) AS owner, p.puballtables,
    p.pubviaroot, concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
      CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END) AS actions,
    (SELECT json_agg('pg_class:' || r.prrelid) FROM pg_publication_rel r WHERE r.prpubid = p.oid) AS table_keys,
    (SELECT json_agg(format('%I.%I', n.nspname, c.relname)${serverMajor >= 15 ? PUBLISHED_PARTS : ''} ORDER BY c.oid)
       FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE r.prpubid = p.oid) AS tables
  FROM pg_publication p ORDER BY p.oid`;

const PUBLISHED_SCHEMAS = `
  SELECT 'pg_publication:' || s.pnpubid AS key, quote_ident(n.nspname) AS name
  FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid ORDER BY s.oid`;

const EVENT_TRIGGERS = `
  SELECT 'pg_event_trigger:' || e.oid AS key, quote_ident(e.evtname) AS name, pg_get_userbyid(e.evtowner) AS owner, e.evtevent,
    e.evtenabled, (SELECT string_agg(quote_literal(tag), ', ') FROM unnest(e.evttags) AS tag) AS tags,
    e.evtfoid::regproc AS function
  FROM pg_event_trigger e ORDER BY e.oid`;

/** What is in no schema: publications and event triggers. */
export async function readDatabaseWide(reader: CatalogReader, serverMajor: number): Promise<SchemaEntry[]> {
  const publications = await reader.ownRows(publicationsQuery(serverMajor));
  const schemas = serverMajor >= 15 && publications.length > 0 ? await reader.rows(PUBLISHED_SCHEMAS) : [];
  const triggers = await reader.ownRows(EVENT_TRIGGERS);
  return [
    ...publications.map((row) => publicationEntry(row, schemas)),
    ...triggers.map((row) => eventTriggerEntry(row)),
  ];
}

function publicationEntry(row: CatalogRow, schemas: readonly CatalogRow[]): SchemaEntry {
  const tables = JSON.parse(row['tables'] ?? '[]') as string[];
  const names = schemas.filter((each) => each['key'] === row['key']).map((each) => text(each, 'name'));
  const parts = [
    ...(tables.length === 0 ? [] : [`TABLE ${tables.join(', ')}`]),
    ...(names.length === 0 ? [] : [`TABLES IN SCHEMA ${names.join(', ')}`]),
  ];
  const what = isTrue(row, 'puballtables')
    ? ' FOR ALL TABLES'
    : parts.length === 0
      ? ''
      : ` FOR ${parts.join(', ')}`;
  const viaRoot = isTrue(row, 'pubviaroot') ? ', publish_via_partition_root = true' : '';
  const statement = `CREATE PUBLICATION ${row['name']}${what} WITH (publish = '${row['actions']}'${viaRoot})`;
  const after = JSON.parse(row['table_keys'] ?? '[]') as string[];
  return { ...owned('publication', 'PUBLICATION', row, statement), after };
}

function eventTriggerEntry(row: CatalogRow): SchemaEntry {
  const name = text(row, 'name');
  const filter = row['tags'] === null ? '' : ` WHEN TAG IN (${row['tags']})`;
  const statements = [
    `CREATE EVENT TRIGGER ${name} ON ${row['evtevent']}${filter} EXECUTE FUNCTION ${row['function']}()`,
  ];
  const switched = { D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' }[text(row, 'evtenabled')];
  if (switched !== undefined) statements.push(`ALTER EVENT TRIGGER ${name} ${switched}`);
  return owned('event trigger', 'EVENT TRIGGER', row, ...statements);
}
