import type { ClientConnection } from '../../libpq/client/client-connection.ts';

/** A row of a query, by its columns' names. */
export type CatalogRow = Readonly<Record<string, string | null>>;

/** OIDs from here on are of what users have made (transam.h, FirstNormalObjectId). */
export const USER_OID_MIN = 16_384;

/** Schemas whose objects are PostgreSQL's own; the condition is on a row of pg_namespace that is called n. */
export const OWN_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/** Asks a database for what it says of itself. */
export class CatalogReader {
  readonly #connection: ClientConnection;
  /** `catalog:oid` of what extensions have made, and of which one each is. */
  readonly #members: ReadonlyMap<string, string>;

  private constructor(connection: ClientConnection, members: ReadonlyMap<string, string>) {
    this.#connection = connection;
    this.#members = members;
  }

  static async open(connection: ClientConnection): Promise<CatalogReader> {
    const rows = await queryRows(connection, MEMBERS);
    return new CatalogReader(connection, new Map(rows.map((row) => [text(row, 'key'), text(row, 'owner')])));
  }

  rows(sql: string): Promise<CatalogRow[]> {
    return queryRows(this.#connection, sql);
  }

  /** The rows of what users have made. The query has a column `key`, as a SchemaEntry's. */
  async ownRows(sql: string): Promise<CatalogRow[]> {
    return (await this.rows(sql)).filter((row) => !this.#members.has(text(row, 'key')));
  }

  /** The key of the extension that it is a part of. */
  extensionOf(key: string): string | undefined {
    return this.#members.get(key);
  }
}

const MEMBERS = `
  SELECT classid::regclass || ':' || objid AS key, 'pg_extension:' || refobjid AS owner
  FROM pg_catalog.pg_depend WHERE deptype = 'e'`;

export async function queryRows(connection: ClientConnection, sql: string): Promise<CatalogRow[]> {
  const { columns, rows } = await connection.query(sql);
  return rows.map((values) => Object.fromEntries(columns.map((name, at) => [name, values[at] ?? null])));
}

/** A column that is never null. */
export const text = (row: CatalogRow, column: string): string => row[column] ?? '';
export const isTrue = (row: CatalogRow, column: string): boolean => row[column] === 't';
/** ` word value`, or nothing where the column is null. */
export const clause = (row: CatalogRow, column: string, word: string): string =>
  row[column] === null || row[column] === undefined ? '' : ` ${word} ${row[column]}`;
