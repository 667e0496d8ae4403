import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findDamage, findFaults, StartWorld } from '../pageserver/start-set-world.ts';
import { LazyServer } from '../shim/lazy-server.ts';
import { type Setting, StockPostgres } from '../support/stock-postgres.ts';

const SETTINGS: Readonly<Record<string, Setting>> = {
  ...{ fsync: false, autovacuum: false, allow_in_place_tablespaces: true, max_prepared_transactions: 10 },
  ...{ wal_level: 'replica', shared_buffers: '4MB', synchronous_standby_names: '' },
  ...{ min_parallel_table_scan_size: 0, parallel_setup_cost: 0, parallel_tuple_cost: 0 },
};

/** What is in all tables of a database, catalogs too. */
async function hashTables(server: StockPostgres, database = 'postgres'): Promise<Record<string, string>> {
  const client = await server.connect(database);
  try {
    const tables = await client.query<{ name: string }>(`SELECT oid::regclass::text AS name FROM pg_class
      WHERE relkind IN ('r', 'm') AND relname NOT IN ('pg_statistic') ORDER BY oid`);
    const hashes: Record<string, string> = {};
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ hash: string }>(
        `SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) AS hash FROM ${name} t`,
      );
      hashes[name] = rows[0]?.hash ?? '';
    }
    return hashes;
  } finally {
    await client.end();
  }
}

/** What reads and replaces whole relations, and makes and drops databases. */
const WORK = [
  'CREATE DATABASE first_copy TEMPLATE other STRATEGY file_copy',
  'CREATE DATABASE second_copy TEMPLATE other STRATEGY wal_log',
  'DROP DATABASE another',
  'VACUUM FULL accounts',
  'CLUSTER entries USING entries_pkey',
  'REINDEX TABLE entries',
  'REINDEX SYSTEM postgres',
  "INSERT INTO entries (account, delta, note) SELECT 499, 0, repeat('z', 500) FROM generate_series(1, 3000)",
  'DELETE FROM entries WHERE id % 3 = 0 AND delta = 0',
  'VACUUM entries',
  'CREATE TABLE copied AS SELECT * FROM entries ORDER BY id',
  'TRUNCATE prepared_copy',
  'DROP TABLE placed_copy',
  'ALTER TABLE scratch SET LOGGED',
  'CHECKPOINT',
];

describe('a stock server with pages on demand', () => {
  let world: StartWorld;
  beforeAll(async () => {
    world = await StartWorld.make({
      settings: { wal_level: 'replica', track_commit_timestamp: false },
      hasChecksums: true,
      trafficMs: 1500,
    });
  }, 120_000);
  afterAll(async () => world[Symbol.asyncDispose]());

  /** Without its list. */
  const layOutBare = (settings: Readonly<Record<string, Setting>> = {}): Promise<LazyServer> =>
    LazyServer.layOut(world.main, world.until, world.server.dataDirectory, { ...SETTINGS, ...settings });

  async function layOut(): Promise<LazyServer> {
    const lazy = await layOutBare();
    await lazy.list();
    return lazy;
  }

  test('it is the same as one that has all pages', { timeout: 120_000 }, async () => {
    await using lazy = await layOut();
    await lazy.server.start();
    expect(lazy.lazy.serverPid).toBe(lazy.server.pid);
    const early = lazy.pages.blocks;
    expect(early).toBeLessThan(lazy.totalBlocks / 4);
    expect(await findFaults(lazy.server)).toEqual([]);
    await using eager = await world.layOut(world.main, world.until, 'primary', SETTINGS);
    await eager.start();
    for (const database of ['postgres', 'other', 'another', 'template1'])
      expect(await hashTables(lazy.server, database)).toEqual(await hashTables(eager, database));
    expect(await findDamage(lazy.server)).toEqual([]);
    const sizes =
      "SELECT pg_database_size('another')::int AS size, pg_relation_size('entries')::int AS entries";
    const { entries } = (await eager.query<{ entries: number }>(sizes))[0] as { entries: number };
    expect((await lazy.server.query<{ entries: number }>(sizes))[0]?.entries).toBe(entries);
    expect(lazy.failures).toEqual([]);
  });

  test('whole relations and databases are copied, replaced and dropped', { timeout: 120_000 }, async () => {
    await using lazy = await layOut();
    await using eager = await world.layOut(world.main, world.until, 'primary', SETTINGS);
    for (const server of [lazy.server, eager]) {
      await server.start();
      const client = await server.connect();
      await client.query('CREATE TABLE prepared_copy AS SELECT * FROM accounts');
      await client.query('CREATE TABLE placed_copy (LIKE accounts)');
      for (const statement of WORK) await client.query(statement);
      await client.end();
    }
    for (const database of ['first_copy', 'second_copy'])
      expect(Object.keys(await hashTables(lazy.server, database)).length).toBeGreaterThan(50);
    const queries = [
      'SELECT sum(hashtextextended(t::text, 0))::text AS hash FROM accounts t',
      'SELECT sum(hashtextextended(t::text, 0))::text AS hash FROM entries t',
      'SELECT sum(hashtextextended(t::text, 0))::text AS hash FROM copied t',
      'SELECT sum(hashtextextended(t::text, 0))::text AS hash FROM placed t',
      'SELECT count(*)::int AS hash FROM prepared_copy',
    ];
    for (const query of queries) expect(await lazy.server.query(query)).toEqual(await eager.query(query));
    expect(await findDamage(lazy.server)).toEqual([]);
    // What was written outlives the server, and what was not read then is read later.
    await lazy.server.stop();
    await lazy.server.start();
    for (const query of queries) expect(await lazy.server.query(query)).toEqual(await eager.query(query));
    expect(await findDamage(lazy.server)).toEqual([]);
    expect(lazy.failures).toEqual([]);
  });

  test('it starts while the list comes', { timeout: 60_000 }, async () => {
    await using lazy = await layOutBare();
    // The lock file says what the server does before it needs any relation.
    const starting = lazy.server.start();
    while (lazy.lazy.serverPid === undefined) await delay(1);
    await lazy.list(50, () => delay(2));
    await starting;
    expect(await findFaults(lazy.server)).toEqual([]);
    expect(await findDamage(lazy.server)).toEqual([]);
    expect(lazy.failures).toEqual([]);
  });

  test('many sessions read and write the same at once', { timeout: 120_000 }, async () => {
    await using lazy = await layOutBare({ effective_io_concurrency: 32, shared_buffers: '1MB' });
    await lazy.list();
    await lazy.server.start();
    const clients = await Promise.all(Array.from({ length: 8 }, () => lazy.server.connect()));
    const query = `SELECT (SELECT sum(balance) FROM accounts)::int AS balance,
      (SELECT count(*) - count(id) FROM entries)::int AS missing`;
    const work = clients.map(async (client, number) => {
      await client.query('SET max_parallel_workers_per_gather = 4');
      if (number % 2 === 0) await client.query('SET enable_seqscan = off');
      for (let round = 0; round < 5; round++) {
        expect((await client.query(query)).rows).toEqual([{ balance: 0, missing: 0 }]);
        await client.query(`CREATE TABLE own_${number}_${round} AS SELECT * FROM entries`);
        await client.query('UPDATE accounts SET filler = $1 WHERE id % 8 = $2', [`round ${round}`, number]);
        if (round > 0) await client.query(`DROP TABLE own_${number}_${round - 1}`);
      }
      await client.end();
    });
    await Promise.all(work);
    expect(await findFaults(lazy.server)).toEqual([]);
    expect(await findDamage(lazy.server)).toEqual([]);
    expect(lazy.failures).toEqual([]);
  });

  test('databases are dropped with what was never read of them', { timeout: 60_000 }, async () => {
    await using lazy = await layOut();
    await lazy.server.start();
    const [row] = await lazy.server.query<{ oid: number }>(
      "SELECT oid::int AS oid FROM pg_database WHERE datname = 'another'",
    );
    const names = await readdir(join(lazy.server.dataDirectory, 'base', String(row?.oid)));
    expect(names.filter((name) => /^\d/.test(name))).toEqual([]);
    const listed = await lazy.server.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_ls_dir('base/${row?.oid}') AS name WHERE name ~ '^[0-9]'`,
    );
    expect(listed[0]?.count).toBeGreaterThan(200);
    await lazy.server.query('DROP DATABASE another');
    expect(await readdir(join(lazy.server.dataDirectory, 'base'))).not.toContain(String(row?.oid));
  });

  test('without an agent what was not read is an error', { timeout: 60_000 }, async () => {
    await using lazy = await layOut();
    await lazy.server.start();
    const client = await lazy.server.connect();
    const known = 'SELECT count(*)::int AS count FROM accounts';
    await client.query(known);
    await lazy.lazy.close();
    await expect(client.query('SELECT count(*) FROM entries')).rejects.toThrow(/Input\/output error/);
    expect((await client.query(known)).rows).toEqual([{ count: 500 }]);
    await client.end();
  });

  test('without the shim it does not start', { timeout: 60_000 }, async () => {
    await using lazy = await layOut();
    const { server } = lazy;
    await using other = await StockPostgres.create({ major: 17, dataDirectory: server.dataDirectory });
    await expect(other.start()).rejects.toThrow(/could not find the database system/);
  });
});
