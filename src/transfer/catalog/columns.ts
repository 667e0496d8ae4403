import { type CatalogReader, type CatalogRow, clause, isTrue, OWN_SCHEMA, text } from './catalog-reader.ts';

/** A column of a table, materialized view or composite type. */
export interface Column {
  /** Quoted. */
  readonly name: string;
  /** With its collation, where that is not the type's. */
  readonly type: string;
  readonly isNotNull: boolean;
  /** Not only inherited. */
  readonly isLocal: boolean;
  readonly isGenerated: boolean;
  /** Of a generated column. */
  readonly expression: string | null;
  readonly row: CatalogRow;
}

const COLUMNS = `
  SELECT 'pg_class:' || a.attrelid AS key, quote_ident(a.attname) AS name,
    format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attcollation <> t.typcollation
      THEN (SELECT format(' COLLATE %I.%I', cn.nspname, o.collname) FROM pg_collation o
        JOIN pg_namespace cn ON cn.oid = o.collnamespace WHERE o.oid = a.attcollation) ELSE '' END AS type,
    a.attnotnull, a.attislocal, a.attgenerated <> '' AS is_generated,
    CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS expression,
    CASE WHEN a.attstorage <> t.typstorage THEN
      CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END AS storage,
    CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
    NULLIF(a.attstattarget, -1) AS statistics,
    (SELECT string_agg(quote_ident(option_name) || '=' || quote_literal(option_value), ', ')
       FROM pg_options_to_table(a.attoptions)) AS options
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm', 'c') AND ${OWN_SCHEMA}
  ORDER BY a.attrelid, a.attnum`;

/** By the key of what has them, in order. */
export async function readColumns(reader: CatalogReader): Promise<ReadonlyMap<string, readonly Column[]>> {
  const columns = new Map<string, Column[]>();
  for (const row of await reader.rows(COLUMNS)) {
    const key = text(row, 'key');
    const own = columns.get(key) ?? [];
    columns.set(key, own);
    own.push({
      name: text(row, 'name'),
      type: text(row, 'type'),
      isNotNull: isTrue(row, 'attnotnull'),
      isLocal: isTrue(row, 'attislocal'),
      isGenerated: isTrue(row, 'is_generated'),
      expression: row['expression'] ?? null,
      row,
    });
  }
  return columns;
}

export function columnDefinition({ name, type, expression, isNotNull }: Column): string {
  const generated = expression === null ? '' : ` GENERATED ALWAYS AS (${expression}) STORED`;
  return `${name} ${type}${generated}${isNotNull ? ' NOT NULL' : ''}`;
}

/** What CREATE TABLE has no words for, or not in each case. */
export function columnSettings(table: string, { name, row, isNotNull, isLocal }: Column): string[] {
  const settings = [
    // An inherited column stands in no definition.
    isNotNull && !isLocal ? ' SET NOT NULL' : '',
    clause(row, 'storage', 'SET STORAGE'),
    clause(row, 'compression', 'SET COMPRESSION'),
    clause(row, 'statistics', 'SET STATISTICS'),
    row['options'] === null ? '' : ` SET (${row['options']})`,
  ];
  return settings
    .filter((setting) => setting !== '')
    .map((setting) => `ALTER TABLE ONLY ${table} ALTER COLUMN ${name}${setting}`);
}
