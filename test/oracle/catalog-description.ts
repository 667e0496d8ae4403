import type { StockPostgres } from '../support/stock-postgres.ts';

/** One relation with storage, as pg_class describes it when the run has ended. */
export interface RelationDescription {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** Number of its files; of mapped relations what the map says. */
  readonly relfilenode: number;
  /** As stored: 0 is the database's own tablespace. */
  readonly reltablespace: number;
  /** The tablespace its files are really in. */
  readonly tablespace: number;
  /** Database of its files: 0 where all databases share them. */
  readonly database: number;
  /** pg_am.amname, null for sequences. */
  readonly accessMethod: string | null;
  /** pg_class.relkind: r, i, S, t or m. */
  readonly relkind: string;
  /** pg_class.relpersistence: p or u. */
  readonly relpersistence: string;
  /** Relative to the data directory. */
  readonly path: string;
}

export interface DatabaseDescription {
  readonly oid: number;
  readonly name: string;
  readonly tablespace: number;
  readonly relations: readonly RelationDescription[];
}

export interface CatalogDescription {
  /** Databases that allow connections; those that do not are named only. */
  readonly databases: readonly DatabaseDescription[];
  readonly closedDatabases: readonly { readonly oid: number; readonly name: string }[];
}

/** Oids are unsigned: `::int` would not hold them. */
const RELATIONS = `
  SELECT c.oid::bigint::float8 AS oid, n.nspname::text AS schema, c.relname::text AS name,
         pg_relation_filenode(c.oid)::bigint::float8 AS relfilenode, c.reltablespace::bigint::float8 AS reltablespace,
         (CASE WHEN c.reltablespace = 0 THEN d.dattablespace ELSE c.reltablespace END)::bigint::float8 AS tablespace,
         (CASE WHEN c.relisshared THEN 0::oid ELSE d.oid END)::bigint::float8 AS database,
         a.amname::text AS "accessMethod", c.relkind::text AS relkind, c.relpersistence::text AS relpersistence,
         pg_relation_filepath(c.oid) AS path
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam,
         (SELECT oid, dattablespace FROM pg_database WHERE datname = current_database()) d
   WHERE pg_relation_filenode(c.oid) IS NOT NULL AND c.relpersistence <> 't'
   ORDER BY c.oid`;

/** Describes all relations with storage of all databases of a running server. */
export async function describeCatalog(server: StockPostgres): Promise<CatalogDescription> {
  const rows = await server.query<{ oid: number; name: string; tablespace: number; open: boolean }>(
    `SELECT oid::bigint::float8 AS oid, datname::text AS name, dattablespace::bigint::float8 AS tablespace,
            datallowconn AND datconnlimit <> -2 AS open
       FROM pg_database ORDER BY oid`,
  );
  const databases: DatabaseDescription[] = [];
  for (const { oid, name, tablespace, open } of rows) {
    if (!open) continue;
    databases.push({
      oid,
      name,
      tablespace,
      relations: await server.query<RelationDescription>(RELATIONS, [], name),
    });
  }
  const closed = rows.filter(({ open }) => !open);
  return { databases, closedDatabases: closed.map(({ oid, name }) => ({ oid, name })) };
}
