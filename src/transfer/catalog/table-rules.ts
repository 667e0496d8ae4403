import { quoteIdentifier } from '../../postgres/sql-text.ts';
import type { SchemaEntry } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, clause, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';
import { owned } from './types.ts';

/** A trigger of a partition is made with its parent's, but may be switched otherwise. */
const TRIGGERS = `
  SELECT 'pg_trigger:' || t.oid AS key, 'pg_class:' || c.oid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS table_name, quote_ident(t.tgname) AS bare_name, pg_get_triggerdef(t.oid) AS definition,
    t.tgenabled AS enabled, CASE WHEN t.tgparentid <> 0 THEN 'pg_trigger:' || t.tgparentid END AS parent_key,
    p.tgenabled AS parent_enabled
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
  WHERE NOT t.tgisinternal AND ${OWN_SCHEMA} ORDER BY t.oid`;

const RULES = `
  SELECT 'pg_rewrite:' || r.oid AS key, 'pg_class:' || c.oid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS table_name, quote_ident(r.rulename) AS bare_name,
    rtrim(pg_get_ruledef(r.oid), ';') AS definition, r.ev_enabled AS enabled
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE r.rulename <> '_RETURN' AND ${OWN_SCHEMA} ORDER BY r.oid`;

const POLICIES = `
  SELECT 'pg_policy:' || p.oid AS key, 'pg_class:' || c.oid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS table_name, quote_ident(p.polname) AS bare_name, p.polpermissive,
    CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
      AS command, (SELECT json_agg(pg_get_userbyid(role)) FROM unnest(p.polroles) AS role WHERE role <> 0) AS roles,
    0 = ANY (p.polroles) AS is_public, pg_get_expr(p.polqual, p.polrelid) AS qualification,
    pg_get_expr(p.polwithcheck, p.polrelid) AS with_check
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE ${OWN_SCHEMA} ORDER BY p.oid`;

const STATISTICS = `
  SELECT 'pg_statistic_ext:' || s.oid AS key, 'pg_class:' || s.stxrelid AS table_key, n.nspname AS schema,
    format('%I.%I', n.nspname, s.stxname) AS name, pg_get_userbyid(s.stxowner) AS owner,
    pg_get_statisticsobjdef(s.oid) AS definition, NULLIF(s.stxstattarget, -1) AS target
  FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE ${OWN_SCHEMA} ORDER BY s.oid`;

/** How triggers and rules are switched on (pg_trigger.h, TRIGGER_FIRES_…). */
const SWITCHES: Readonly<Record<string, string>> = {
  O: 'ENABLE',
  D: 'DISABLE',
  R: 'ENABLE REPLICA',
  A: 'ENABLE ALWAYS',
};

/** Triggers, rules, policies and extended statistics. */
export async function readTableRules(reader: CatalogReader): Promise<SchemaEntry[]> {
  return [
    ...(await reader.ownRows(TRIGGERS)).flatMap(triggerEntry),
    ...(await reader.ownRows(RULES)).map(ruleEntry),
    ...(await reader.ownRows(POLICIES)).map(policyEntry),
    ...(await reader.ownRows(STATISTICS)).map(statisticsEntry),
  ];
}

function partOfTable(kind: SchemaEntry['kind'], row: CatalogRow, statements: readonly string[]): SchemaEntry {
  const tableKey = text(row, 'table_key');
  return {
    key: text(row, 'key'),
    kind,
    name: `${row['bare_name']} on ${row['table_name']}`,
    schema: text(row, 'schema'),
    statements,
    after: [tableKey, tableKey.replace('pg_class', 'data')],
  };
}

function triggerEntry(row: CatalogRow): SchemaEntry[] {
  const enabled = text(row, 'enabled');
  const switched = `ALTER TABLE ONLY ${row['table_name']} ${SWITCHES[enabled]} TRIGGER ${row['bare_name']}`;
  if (row['parent_key'] === null) {
    const statements = enabled === 'O' ? [text(row, 'definition')] : [text(row, 'definition'), switched];
    return [partOfTable('trigger', row, statements)];
  }
  if (enabled === row['parent_enabled']) return [];
  const entry = partOfTable('trigger', row, [switched]);
  return [{ ...entry, after: [...(entry.after ?? []), text(row, 'parent_key')] }];
}

function ruleEntry(row: CatalogRow): SchemaEntry {
  const enabled = text(row, 'enabled');
  const switched = `ALTER TABLE ${row['table_name']} ${SWITCHES[enabled]} RULE ${row['bare_name']}`;
  const statements = enabled === 'O' ? [text(row, 'definition')] : [text(row, 'definition'), switched];
  return partOfTable('rule', row, statements);
}

function policyEntry(row: CatalogRow): SchemaEntry {
  const roles = JSON.parse(row['roles'] ?? '[]') as string[];
  const names = [...(isTrue(row, 'is_public') ? ['PUBLIC'] : []), ...roles.map(quoteIdentifier)];
  const statement = [
    `CREATE POLICY ${row['bare_name']} ON ${row['table_name']}`,
    isTrue(row, 'polpermissive') ? '' : ' AS RESTRICTIVE',
    ` FOR ${row['command']} TO ${names.join(', ')}`,
    row['qualification'] === null ? '' : ` USING (${row['qualification']})`,
    row['with_check'] === null ? '' : ` WITH CHECK (${row['with_check']})`,
  ];
  return { ...partOfTable('policy', row, [statement.join('')]), roles };
}

function statisticsEntry(row: CatalogRow): SchemaEntry {
  const set = clause(row, 'target', 'SET STATISTICS');
  const statements = [
    text(row, 'definition'),
    ...(set === '' ? [] : [`ALTER STATISTICS ${row['name']}${set}`]),
  ];
  const tableKey = text(row, 'table_key');
  const entry = owned('statistics object', 'STATISTICS', row, ...statements);
  return { ...entry, after: [tableKey, tableKey.replace('pg_class', 'data')] };
}
