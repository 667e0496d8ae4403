import type { SchemaEntry, TableData } from '../schema-entry.ts';
import { type CatalogReader, type CatalogRow, clause, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';
import { type Column, columnDefinition, columnSettings, readColumns } from './columns.ts';

/** A table, view or materialized view, as those who read other things need it. */
export interface Relation {
  readonly key: string;
  /** With its schema, quoted. */
  readonly name: string;
  readonly schema: string;
  /** pg_class.relkind. */
  readonly kind: string;
  readonly isPartition: boolean;
  /** Keys of the tables that it inherits from, in order. */
  readonly parents: readonly string[];
}

const RELATIONS = `
  SELECT 'pg_class:' || c.oid AS key, c.relkind, c.relpersistence, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner,
    (SELECT string_agg(quote_ident(option_name) || '=' || quote_literal(option_value), ', ')
       FROM pg_options_to_table(c.reloptions)) AS options,
    (SELECT string_agg('toast.' || quote_ident(option_name) || '=' || quote_literal(option_value), ', ')
       FROM pg_class t, pg_options_to_table(t.reloptions) WHERE t.oid = c.reltoastrelid) AS toast_options,
    c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.relispartition, c.relispopulated,
    pg_get_expr(c.relpartbound, c.oid) AS bound, CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END AS partition_by,
    CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
    CASE WHEN a.amname <> 'heap' THEN quote_ident(a.amname) END AS access_method,
    CASE WHEN c.relkind IN ('v', 'm') THEN rtrim(pg_get_viewdef(c.oid), ';') END AS definition,
    (SELECT json_agg('pg_class:' || i.inhparent ORDER BY i.inhseqno)
       FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
    c.reltuples, CASE WHEN c.relkind = 'r' THEN pg_table_size(c.oid) ELSE 0 END AS bytes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam
  WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relpersistence <> 't' AND ${OWN_SCHEMA}
  ORDER BY c.oid`;

/** Configuration tables of extensions, whose rows are users' (pg_extension_config_dump). */
const CONFIGURATION = `
  SELECT 'pg_class:' || c.oid AS key, 'pg_extension:' || e.oid AS extension, n.nspname AS schema,
    format('%I.%I', n.nspname, c.relname) AS name, (e.extcondition)[at] AS condition, c.reltuples, pg_table_size(c.oid) AS bytes
  FROM pg_extension e, generate_subscripts(e.extconfig, 1) AS at, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = (e.extconfig)[at] AND c.relkind = 'r'`;

/** Locked until the end of the transaction, so that nobody changes what is read: names of tables, in batches. */
export function lockStatements(relations: readonly Relation[]): string[] {
  const names = relations
    .filter(({ kind }) => kind === 'r' || kind === 'p')
    .map(({ name }) => `ONLY ${name}`);
  const statements: string[] = [];
  for (let at = 0; at < names.length; at += 200) {
    statements.push(`LOCK TABLE ${names.slice(at, at + 200).join(', ')} IN ACCESS SHARE MODE`);
  }
  return statements;
}

/** Names only, for locks. */
export async function readRelationNames(reader: CatalogReader): Promise<Relation[]> {
  const rows = await reader.ownRows(`
    SELECT 'pg_class:' || c.oid AS key, c.relkind, n.nspname AS schema, format('%I.%I', n.nspname, c.relname) AS name,
      c.relispartition, NULL AS parents
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ${OWN_SCHEMA} ORDER BY c.oid`);
  return rows.map(toRelation);
}

export interface ReadRelations {
  readonly entries: readonly SchemaEntry[];
  /** By key. */
  readonly relations: ReadonlyMap<string, Relation>;
}

/** Tables, views and materialized views, and the rows of tables. */
export async function readRelations(reader: CatalogReader): Promise<ReadRelations> {
  const rows = await reader.ownRows(RELATIONS);
  const columns = await readColumns(reader);
  const relations = new Map(rows.map((row) => [text(row, 'key'), toRelation(row)]));
  const entries: SchemaEntry[] = [];
  for (const row of rows) {
    const relation = relations.get(text(row, 'key')) as Relation;
    const own = columns.get(relation.key) ?? [];
    if (relation.kind === 'v') entries.push(viewEntry(relation, row));
    else if (relation.kind === 'm') entries.push(...materializedViewEntries(relation, row, own));
    else entries.push(...tableEntries(relation, row, own, relations));
  }
  for (const row of await reader.rows(CONFIGURATION)) entries.push(configurationEntry(row, columns));
  return { entries, relations };
}

const toRelation = (row: CatalogRow): Relation => ({
  key: text(row, 'key'),
  name: text(row, 'name'),
  schema: text(row, 'schema'),
  kind: text(row, 'relkind'),
  isPartition: isTrue(row, 'relispartition'),
  parents: JSON.parse(row['parents'] ?? '[]') as string[],
});

function viewEntry({ key, name, schema }: Relation, row: CatalogRow): SchemaEntry {
  const options = row['options'] === null ? '' : ` WITH (${row['options']})`;
  return {
    key,
    kind: 'view',
    name,
    schema,
    statements: [`CREATE VIEW ${name}${options} AS\n${text(row, 'definition')}`],
    owner: { target: `VIEW ${name}`, role: text(row, 'owner') },
  };
}

function materializedViewEntries(
  { key, name, schema }: Relation,
  row: CatalogRow,
  columns: readonly Column[],
): SchemaEntry[] {
  const options = optionsOf(row);
  const made: SchemaEntry = {
    key,
    kind: 'materialized view',
    name,
    schema,
    statements: [
      `CREATE MATERIALIZED VIEW ${name}${clause(row, 'access_method', 'USING')}${options} AS\n${text(row, 'definition')}\nWITH NO DATA`,
      ...columns.flatMap((column) => columnSettings(name, column)),
    ],
    owner: { target: `MATERIALIZED VIEW ${name}`, role: text(row, 'owner') },
  };
  if (!isTrue(row, 'relispopulated')) return [made];
  const refresh: SchemaEntry = {
    key: key.replace('pg_class', 'refresh'),
    kind: 'refresh',
    name,
    schema,
    statements: [`REFRESH MATERIALIZED VIEW ${name}`],
    after: [key],
  };
  return [made, refresh];
}

function tableEntries(
  relation: Relation,
  row: CatalogRow,
  columns: readonly Column[],
  relations: ReadonlyMap<string, Relation>,
): SchemaEntry[] {
  const { key, name, schema } = relation;
  const entry: SchemaEntry = {
    key,
    kind: 'table',
    name,
    schema,
    statements: [
      createTable(relation, row, columns, relations),
      ...columns.flatMap((column) => columnSettings(name, column)),
      ...tableSettings(relation, row, relations),
    ],
    owner: { target: `TABLE ${name}`, role: text(row, 'owner') },
  };
  if (relation.kind === 'p') return [entry];
  const data = dataEntry({ key, name, schema }, columns, row, undefined, [key]);
  return [entry, data];
}

function createTable(
  { name, parents, isPartition }: Relation,
  row: CatalogRow,
  columns: readonly Column[],
  relations: ReadonlyMap<string, Relation>,
): string {
  // Columns of a partition are written out: its own order of them stays.
  const isInheriting = parents.length > 0 && !isPartition;
  const written = isInheriting ? columns.filter(({ isLocal }) => isLocal) : columns;
  const body = written.map((column) => `\n    ${columnDefinition(column)}`).join(',');
  const names = parents.map((parent) => relations.get(parent)?.name ?? parent);
  return [
    `CREATE ${text(row, 'relpersistence') === 'u' ? 'UNLOGGED ' : ''}TABLE ${name} (${body}\n)`,
    isInheriting ? `\nINHERITS (${names.join(', ')})` : '',
    clause(row, 'partition_by', '\nPARTITION BY'),
    clause(row, 'access_method', '\nUSING'),
    optionsOf(row),
  ].join('');
}

function optionsOf(row: CatalogRow): string {
  const options = [row['options'], row['toast_options']].filter(
    (each) => each !== null && each !== undefined,
  );
  return options.length === 0 ? '' : `\nWITH (${options.join(', ')})`;
}

function tableSettings(
  { name, parents, isPartition }: Relation,
  row: CatalogRow,
  relations: ReadonlyMap<string, Relation>,
): string[] {
  const statements: string[] = [];
  if (row['of_type'] !== null) statements.push(`ALTER TABLE ${name} OF ${row['of_type']}`);
  if (isPartition) {
    const parent = relations.get(parents[0] ?? '')?.name ?? '';
    statements.push(`ALTER TABLE ONLY ${parent} ATTACH PARTITION ${name} ${text(row, 'bound')}`);
  }
  if (isTrue(row, 'relrowsecurity')) statements.push(`ALTER TABLE ONLY ${name} ENABLE ROW LEVEL SECURITY`);
  if (isTrue(row, 'relforcerowsecurity'))
    statements.push(`ALTER TABLE ONLY ${name} FORCE ROW LEVEL SECURITY`);
  // That of an index comes with the index.
  const identity = { f: 'FULL', n: 'NOTHING' }[text(row, 'relreplident')];
  if (identity !== undefined) statements.push(`ALTER TABLE ONLY ${name} REPLICA IDENTITY ${identity}`);
  return statements;
}

function configurationEntry(row: CatalogRow, columns: ReadonlyMap<string, readonly Column[]>): SchemaEntry {
  const key = text(row, 'key');
  const table = { key, name: text(row, 'name'), schema: text(row, 'schema') };
  const condition = row['condition'] ?? '';
  return dataEntry(table, columns.get(key) ?? [], row, condition, [text(row, 'extension')]);
}

function dataEntry(
  { key, name, schema }: Pick<Relation, 'key' | 'name' | 'schema'>,
  columns: readonly Column[],
  row: CatalogRow,
  condition: string | undefined,
  after: readonly string[],
): SchemaEntry {
  const names = columns.filter(({ isGenerated }) => !isGenerated).map((column) => column.name);
  const list = names.length === 0 ? '' : ` (${names.join(', ')})`;
  const rows = Number(row['reltuples']);
  const isSelected = condition !== undefined && condition !== '';
  const selection = `(SELECT ${names.join(', ')} FROM ONLY ${name} ${condition})`;
  const data: TableData = {
    table: name,
    copyOut: `COPY ${isSelected ? selection : `${name}${list}`} TO STDOUT`,
    copyIn: `COPY ${name}${list} FROM stdin`,
    rowsEstimate: rows < 0 ? undefined : rows,
    bytesEstimate: Number(row['bytes']),
  };
  return { key: key.replace('pg_class', 'data'), kind: 'data', name, schema, statements: [], data, after };
}
