import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, OWN_SCHEMA, text } from './catalog-reader.ts';
import { owned } from './types.ts';

const DICTIONARIES = `
  SELECT 'pg_ts_dict:' || d.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, d.dictname) AS name,
    pg_get_userbyid(d.dictowner) AS owner, format('%I.%I', tn.nspname, t.tmplname) AS template, d.dictinitoption AS options
  FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate
  JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE ${OWN_SCHEMA} ORDER BY d.oid`;

const CONFIGURATIONS = `
  SELECT 'pg_ts_config:' || c.oid AS key, n.nspname AS schema, format('%I.%I', n.nspname, c.cfgname) AS name,
    pg_get_userbyid(c.cfgowner) AS owner, format('%I.%I', pn.nspname, p.prsname) AS parser,
    (SELECT json_agg(mapping) FROM (
       SELECT quote_ident(k.alias) || ' WITH ' || string_agg(format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY m.mapseqno)
         AS mapping
       FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) k ON k.tokid = m.maptokentype
       JOIN pg_ts_dict d ON d.oid = m.mapdict JOIN pg_namespace dn ON dn.oid = d.dictnamespace
       WHERE m.mapcfg = c.oid GROUP BY k.alias, m.maptokentype ORDER BY m.maptokentype) AS mappings) AS mappings
  FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser
  JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE ${OWN_SCHEMA} ORDER BY c.oid`;

/** Dictionaries and configurations. Templates and parsers are made of C functions, by extensions. */
export async function readTextSearch(reader: CatalogReader): Promise<SchemaEntry[]> {
  const dictionaries = (await reader.ownRows(DICTIONARIES)).map((row) => {
    const options = row['options'] === null ? '' : `, ${row['options']}`;
    const statement = `CREATE TEXT SEARCH DICTIONARY ${row['name']} (TEMPLATE = ${row['template']}${options})`;
    return owned('text search dictionary', 'TEXT SEARCH DICTIONARY', row, statement);
  });
  const configurations = (await reader.ownRows(CONFIGURATIONS)).map((row) => {
    const name = text(row, 'name');
    const mappings = JSON.parse(row['mappings'] ?? '[]') as string[];
    return owned(
      'text search configuration',
      'TEXT SEARCH CONFIGURATION',
      row,
      `CREATE TEXT SEARCH CONFIGURATION ${name} (PARSER = ${row['parser']})`,
      ...mappings.map((mapping) => `ALTER TEXT SEARCH CONFIGURATION ${name} ADD MAPPING FOR ${mapping}`),
    );
  });
  return [...dictionaries, ...configurations];
}
