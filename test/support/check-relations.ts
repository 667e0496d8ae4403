import type { Connector } from './pgbench.ts';

/** Whatever has storage, and is not of another session. */
const HEAPS = `
  SELECT c.oid, c.oid::regclass::text AS name FROM pg_catalog.pg_class c
  WHERE relkind IN ('r', 't', 'm', 'S') AND relpersistence <> 't'
  ORDER BY 1`;
const BTREES = `
  SELECT c.oid, c.oid::regclass::text AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = relam
    JOIN pg_catalog.pg_index ON indexrelid = c.oid
  WHERE amname = 'btree' AND relkind = 'i' AND relpersistence <> 't' AND indisvalid AND indisready
  ORDER BY 1`;

export interface RelationCheck {
  readonly heaps: number;
  readonly indexes: number;
  /** One line for each thing that is wrong. */
  readonly problems: readonly string[];
}

/** What amcheck finds in all heaps and B-trees of a database: it creates the extension. None may be locked for long. */
export async function checkRelations(server: Connector, database: string): Promise<RelationCheck> {
  const client = await server.connect({ database });
  const problems: string[] = [];
  try {
    await client.query("SET lock_timeout = '30s'");
    await client.query('CREATE EXTENSION IF NOT EXISTS amcheck');
    const heaps = (await client.query<{ oid: number; name: string }>(HEAPS)).rows;
    for (const { oid, name } of heaps) {
      const { rows } = await client.query<{ blkno: string; offnum: number; msg: string }>(
        'SELECT blkno, offnum, msg FROM verify_heapam($1::oid::regclass)',
        [oid],
      );
      for (const { blkno, offnum, msg } of rows) problems.push(`${name} (${blkno}, ${offnum}): ${msg}`);
    }
    const indexes = (await client.query<{ oid: number; name: string }>(BTREES)).rows;
    for (const { oid, name } of indexes) {
      try {
        await client.query('SELECT bt_index_check($1::oid::regclass, heapallindexed => true)', [oid]);
      } catch (error) {
        problems.push(`${name}: ${error instanceof Error ? error.message : error}`);
      }
    }
    return { heaps: heaps.length, indexes: indexes.length, problems };
  } finally {
    await client.end();
  }
}
