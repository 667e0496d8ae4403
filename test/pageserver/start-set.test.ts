import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import type { RecordPosition } from '../../src/pageserver/layers/record-positions.ts';
import { readCluster } from '../../src/pageserver/start-set/cluster-at-lsn.ts';
import { clusterFiles } from '../../src/pageserver/start-set/cluster-files.ts';
import { CONTROL_FILE_PATH, decodeControlFile } from '../../src/postgres/files/control-file.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WAL_PAGE_BYTES } from '../../src/postgres/wal/page-header.ts';
import { untilReplayed } from '../support/safekeeper-standby.ts';
import { readStartSet } from '../support/start-set-directory.ts';
import type { Setting, StockPostgres } from '../support/stock-postgres.ts';
import { feedWal, MAIN } from '../support/storage-world.ts';
import { currentLsn, findDamage, findFaults, READ, StartWorld } from './start-set-world.ts';

const SEGMENT_BYTES = 1024 * 1024;
const CHECKPOINT_RECORD_BYTES = 120;

/** The kinds of place that a start can be at, by what is special about the last record. */
const PLACES: readonly (readonly [name: string, is: (record: RecordPosition) => boolean])[] = [
  ['the last record', () => true],
  [
    'a record that crosses pages',
    ({ startLsn, endLsn }) =>
      Math.floor(startLsn / WAL_PAGE_BYTES) !== Math.floor(endLsn / WAL_PAGE_BYTES) &&
      endLsn % WAL_PAGE_BYTES > 200,
  ],
  ['the end of a page', ({ endLsn }) => endLsn % WAL_PAGE_BYTES === 0 && endLsn % SEGMENT_BYTES !== 0],
  [
    'a segment switch',
    ({ startLsn, endLsn }) => endLsn % SEGMENT_BYTES === 0 && endLsn - startLsn > WAL_PAGE_BYTES,
  ],
  [
    'a checkpoint that crosses pages',
    ({ endLsn }) => {
      const rest = WAL_PAGE_BYTES - (endLsn % WAL_PAGE_BYTES);
      return rest < CHECKPOINT_RECORD_BYTES && endLsn % SEGMENT_BYTES < SEGMENT_BYTES - WAL_PAGE_BYTES;
    },
  ],
];

/** @param middle of the traffic */
const STANDBY_PLACES: readonly (readonly [
  name: string,
  is: (record: RecordPosition, middle: number) => boolean,
])[] = [['a record in the middle', ({ endLsn }, middle) => endLsn < middle], ...PLACES.slice(2, 4)];

const WORLDS: readonly (readonly [name: string, hasChecksums: boolean, Record<string, Setting>])[] = [
  ['with data checksums', true, { wal_level: 'replica', track_commit_timestamp: false }],
  [
    'without data checksums or full-page writes',
    false,
    { wal_level: 'logical', full_page_writes: false, track_commit_timestamp: true },
  ],
];

const primaryOf = ({ server }: StartWorld): string =>
  `host=${server.socketDirectory} port=${server.port} user=postgres`;

async function reload(server: StockPostgres): Promise<void> {
  await server.query('SELECT pg_reload_conf()');
}

/** Writes of all kinds, the end of what was prepared, and a crash. */
async function useAsPrimary(server: StockPostgres): Promise<void> {
  const client = await server.connect();
  try {
    expect((await client.query('SELECT count(*)::int AS count FROM scratch')).rows).toEqual([{ count: 0 }]);
    await client.query("INSERT INTO scratch (note) VALUES ('new')");
    await client.query('BEGIN');
    await client.query('UPDATE accounts SET balance = balance + 5');
    await client.query('INSERT INTO entries (account, delta) SELECT id, 5 FROM accounts');
    await client.query('COMMIT');
    await client.query('CREATE TABLE later AS SELECT * FROM entries');
    expect(await findFaults(server)).toEqual([]);
    await client.query("COMMIT PREPARED 'held'");
    expect((await client.query('SELECT id FROM prepared_rows ORDER BY id')).rows).toEqual([
      { id: 1 },
      { id: 2 },
    ]);
    await client.query("UPDATE placed SET note = 'still here'");
    await client.query('VACUUM (FREEZE) accounts');
  } finally {
    await client.end();
  }
  expect((await server.query('SELECT 1 AS one', [], 'other'))[0]).toEqual({ one: 1 });
  expect((await server.query('SELECT 1 AS one', [], 'another'))[0]).toEqual({ one: 1 });
}

describe.each(WORLDS)('starts of a cluster %s', (_name, hasChecksums, settings) => {
  let world: StartWorld;
  let branches = 0;
  beforeAll(async () => {
    world = await StartWorld.make({ settings, hasChecksums, trafficMs: 3000 });
  }, 120_000);
  afterAll(async () => world[Symbol.asyncDispose]());

  async function find(is: (record: RecordPosition) => boolean): Promise<Lsn> {
    for await (const record of world.recordsBack()) if (is(record)) return record.endLsn;
    throw new Error('there is no such place in this history');
  }

  test.each(PLACES)('a primary at %s', { timeout: 120_000 }, async (_place, is) => {
    const lsn = await find(is);
    await using server = await world.layOut(world.main, lsn, 'primary');
    await server.start();
    expect(await server.log()).not.toContain('recovery');
    expect(await findFaults(server)).toEqual([]);
    expect(await findDamage(server)).toEqual([]);
    await useAsPrimary(server);
    await server.crash();
    await server.start();
    expect(await findDamage(server)).toEqual([]);

    // What such a server writes goes on where the history ended, from the made-up checkpoint on.
    const branchId = parseTimelineId((++branches).toString(16).padStart(32, 'b'));
    const branch = await world.storage.tenant.createBranch(branchId, MAIN, lsn);
    const rows = 'SELECT count(*)::int AS count, sum(delta)::int AS sum FROM later';
    const expected = await server.query(rows);
    await server.stop();
    const control = decodeControlFile(
      POSTGRES_17,
      new Uint8Array(await readFile(join(server.dataDirectory, CONTROL_FILE_PATH))),
    );
    await feedWal(branch, join(server.dataDirectory, 'pg_wal'));
    expect(branch.timeline.previousRecordLsn).toBe(control.checkPoint);
    await using next = await world.layOut(branch, undefined, 'read-only');
    await next.start();
    expect(await next.query(rows)).toEqual(expected);
    expect(await next.query('SELECT id FROM prepared_rows ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await findDamage(next)).toEqual([]);
  });

  test('read-only at an LSN of the past', { timeout: 120_000 }, async () => {
    const lsn = await find(({ endLsn }) => endLsn < (world.from + world.until) / 2);
    await using server = await world.layOut(world.main, lsn, 'read-only');
    await server.start();
    expect(await findFaults(server)).toEqual([]);
    expect(await findDamage(server)).toEqual([]);
    await expect(server.query('INSERT INTO open_rows VALUES (5)')).rejects.toThrow(/read-only/);
    await expect(server.query('SELECT 1 FROM accounts FOR UPDATE')).rejects.toThrow(/read-only/);
  });

  test.each(STANDBY_PLACES)('a standby that goes on from %s', { timeout: 120_000 }, async (_place, is) => {
    const middle = (world.from + world.until) / 2;
    const lsn = await find((record) => is(record, middle));
    await using standby = await world.layOut(world.main, lsn, 'standby');
    const client = await world.server.connect();
    try {
      await standby.start();
      expect(await findFaults(standby)).toEqual([]);
      const locked = standby.query("SET lock_timeout = '50ms'; SELECT * FROM placed");
      await expect(locked).rejects.toThrow(/lock timeout/);
      await standby.changeSettings({
        primary_conninfo: primaryOf(world),
      });
      await reload(standby);
      await client.query('UPDATE accounts SET balance = balance + 1');
      await client.query('INSERT INTO entries (account, delta) SELECT id, 1 FROM accounts');
      await client.query('UPDATE accounts SET balance = balance - 1');
      await client.query('INSERT INTO entries (account, delta) SELECT id, -1 FROM accounts');
      await untilReplayed(standby, await currentLsn(client), 30_000);
      expect(await findFaults(standby)).toEqual([]);
    } finally {
      await client.end();
    }
  });

  test('a standby sees what was open when it began as soon as it is committed', {
    timeout: 120_000,
  }, async () => {
    const lsn = await find(({ endLsn }) => endLsn < world.from + (world.until - world.from) / 3);
    await using standby = await world.layOut(world.main, lsn, 'standby', {
      primary_conninfo: primaryOf(world),
    });
    await standby.start();
    await world.open.query('COMMIT');
    const client = await world.server.connect();
    try {
      await client.query("COMMIT PREPARED 'held'");
      await untilReplayed(standby, await currentLsn(client), 30_000);
    } finally {
      await client.end();
    }
    expect(await standby.query('SELECT id FROM prepared_rows ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
    expect(await standby.query('SELECT id FROM open_rows')).toEqual([{ id: 1 }]);
    expect(await standby.query('SELECT count(*)::int AS count FROM placed')).toEqual([{ count: 100 }]);
    expect(await findDamage(standby)).toEqual([]);
  });

  test('statistics come along at the LSN that they were kept at, and nothing that leads elsewhere', async () => {
    const { main } = world;
    const paths = ['pg_stat/pgstat.stat', 'pg_stat/../evil', 'global/pg_control', 'pg_replslot/bad/state'];
    for (const path of paths) await main.timeline.putAuxiliaryFile(path, Uint8Array.of(1, 2, 3));
    const namesOf = async (lsn: Lsn, form: 'primary' | 'standby'): Promise<string[]> => {
      const cluster = await readCluster(main, lsn, form, READ);
      const names: string[] = [];
      for await (const file of clusterFiles(cluster, READ)) names.push(file.path);
      return names;
    };
    const last = main.timeline.lastRecordLsn;
    const names = await namesOf(last, 'primary');
    expect(names.filter((name) => name.startsWith('pg_stat/'))).toEqual(['pg_stat/pgstat.stat']);
    expect(names.filter((name) => name.startsWith('pg_replslot/'))).toEqual([]);
    expect(names.filter((name) => name === 'global/pg_control')).toHaveLength(1);
    expect(names.at(-1)).toBe('global/pg_control');
    expect(await namesOf(last, 'standby')).not.toContain('pg_stat/pgstat.stat');
    const before = await find(({ endLsn }) => endLsn < last);
    expect(await namesOf(before, 'primary')).not.toContain('pg_stat/pgstat.stat');
  });

  test('two start sets at one LSN are equal, and one at a later LSN is not', async () => {
    for (const form of ['primary', 'read-only', 'standby'] as const) {
      const lsn = await find(({ endLsn }) => endLsn < (world.from + world.until) / 2);
      const first = await readStartSet(world.main, lsn, form);
      expect(Buffer.compare(first, await readStartSet(world.main, lsn, form))).toBe(0);
      expect(Buffer.compare(first, await readStartSet(world.main, undefined, form))).not.toBe(0);
    }
  });
});
