// Standbys that cannot go on are made anew, from storage; and what they read moves up with what they have replayed.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseLsn } from '../../src/base/lsn.ts';
import { signal, VarveWorld } from '../end-to-end/varve-world.ts';
import { connect, query, type Ready, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 150_000;
const POLL = { timeout: 60_000, interval: 50 };
/** From when on nothing is replayed any more. */
const REBUILD_POLL = { timeout: 120_000, interval: 100 };
/** docs/exit-codes.md */
const EXIT_CONFLICT = 4;
const LEASE_MS = 3000;
const SEGMENT_BYTES = 16 * 1024 * 1024;
const SUMMARY = `SELECT count(*)::int AS rows, sum(id)::text AS ids, md5(string_agg(text, '' ORDER BY id)) AS texts FROM `;

let world: VarveWorld;
let url: string;

beforeAll(async () => {
  world = await VarveWorld.start(['--control-file-save-interval', '200ms']);
  await world.createTimeline();
  // Nothing is kept for longer than somebody has a lease for it.
  const config = {
    pitr_interval: '0s',
    gc_horizon: 0,
    lsn_lease_length: `${LEASE_MS}ms`,
    checkpoint_distance: 4_194_304,
  };
  await world.client.patchConfig(world.tenantId, config, signal());
  url = (await readyLine(world.spawnCompute(world.main, 'primary'))).url;
  await write('entries', 2000);
  // Nobody touches it, on either server.
  await write('unread', 5000);
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** Makes a table of so many rows, of about 300 bytes each. */
async function write(table: string, rows: number): Promise<void> {
  await query(
    url,
    `CREATE TABLE ${table} AS SELECT id, repeat(md5(id::text), 8) AS text FROM generate_series(1, ${rows}) id`,
  );
}

const primaryLsn = async (): Promise<number> =>
  parseLsn((await query(url, 'SELECT pg_current_wal_flush_lsn()::text AS lsn'))[0]?.['lsn'] as string);

const replayLsn = async (standbyUrl: string): Promise<number> => {
  const rows = await query(standbyUrl, 'SELECT pg_last_wal_replay_lsn()::text AS lsn');
  return parseLsn(rows[0]?.['lsn'] as string);
};

async function expectEqual(standbyUrl: string, tables: readonly string[]): Promise<void> {
  const lsn = await primaryLsn();
  await expect.poll(() => replayLsn(standbyUrl), POLL).toBeGreaterThanOrEqual(lsn);
  for (const table of tables)
    expect(await query(standbyUrl, SUMMARY + table)).toEqual(await query(url, SUMMARY + table));
}

/** What the pageserver has is in layers, and nothing older than leases say is kept. */
async function collect(): Promise<void> {
  const key = world.keyOf(world.main);
  await world.received(world.main, (await primaryLsn()) as never);
  await world.client.checkpoint(key, { waitsForUpload: true }, signal());
  await world.client.collectGarbage(key, 0, signal());
}

const oldestSegment = (id: number): string | undefined => {
  const directory = join(world.directory, `safekeeper-${id}`, world.tenantId, world.main);
  return readdirSync(directory)
    .filter((name) => /^[0-9A-F]{24}/.test(name))
    .sort()[0];
};

test('a standby for which no safekeeper has WAL any more is made anew, and has what its branch has', {
  timeout: TIMEOUT_MS,
}, async () => {
  const standby = world.spawnCompute(world.main, 'standby-behind', ['--standby']);
  const { url: standbyUrl, pid } = await readyLine(standby);
  await expectEqual(standbyUrl, ['entries']);
  const [found] = await query(standbyUrl, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'");
  const startupPid = found?.['pid'] as number;
  // While this is stopped nobody starts a receiver of WAL.
  process.kill(startupPid, 'SIGSTOP');
  try {
    const [receiver] = await query(standbyUrl, 'SELECT pid FROM pg_stat_wal_receiver');
    process.kill(receiver?.['pid'] as number, 'SIGTERM');
    const before = world.safekeeperIds.map(oldestSegment);
    await write('big', 120_000);
    await expect
      .poll(async () => {
        await query(
          url,
          'CREATE TABLE IF NOT EXISTS beats (id int, text text); INSERT INTO beats VALUES (1)',
        );
        await collect();
        return world.safekeeperIds.filter((id, index) => oldestSegment(id) === before[index]);
      }, REBUILD_POLL)
      .toEqual([]);
  } finally {
    process.kill(startupPid, 'SIGCONT');
  }
  const again = await readyLine(standby);
  expect(again.pid).not.toBe(pid);
  expect(standby.log.map(({ reason }) => reason)).toContainEqual(expect.stringContaining('does not go on'));
  await expectEqual(again.url, ['entries', 'unread', 'big', 'beats']);
  expect(await standby.kill('SIGTERM')).toBe(0);
});

test('a standby whose lease is lost is made anew', { timeout: TIMEOUT_MS }, async () => {
  const standby = world.spawnCompute(world.main, 'standby-leased', ['--standby']);
  const { url: standbyUrl, pid } = await readyLine(standby);
  await expectEqual(standbyUrl, ['entries']);
  const startLsn = await replayLsn(standbyUrl);
  standby.signal('SIGSTOP');
  const stoppedAtMs = performance.now();
  try {
    // Its lease ends, and what it reads is collected.
    await expect
      .poll(async () => {
        await write(`more_${Date.now()}`, 10);
        await collect();
        const { min_readable_lsn: leastLsn } = await world.info(world.main);
        return leastLsn > startLsn && performance.now() - stoppedAtMs > LEASE_MS + 1000;
      }, POLL)
      .toBe(true);
  } finally {
    standby.signal('SIGCONT');
  }
  const again = await readyLine(standby);
  expect(again.pid).not.toBe(pid);
  // A page that it could not get may have ended the server a moment earlier.
  expect(standby.log.map(({ message }) => message)).toContain('The lease could not be renewed');
  await expectEqual(again.url, ['entries', 'unread']);
  expect(await standby.kill('SIGTERM')).toBe(0);
});

test('what a standby has not read it reads where it is, and what is behind that is collected', {
  timeout: TIMEOUT_MS,
}, async () => {
  const standby = world.spawnCompute(world.main, 'standby-moving', ['--standby']);
  const ready: Ready & { readonly startLsn?: string } = await readyLine(standby);
  const startLsn = parseLsn(ready.startLsn ?? '');
  await write('steps', 60_000);
  await query(url, "UPDATE entries SET text = 'changed' WHERE id % 7 = 0");
  await query(url, 'DELETE FROM steps WHERE id > 30000');
  await query(url, 'VACUUM steps');
  expect(await primaryLsn()).toBeGreaterThan(startLsn + SEGMENT_BYTES);
  /** Asking for it keeps it for as long as a lease lasts, too: this is asked less often than that. */
  const isKept = async (): Promise<boolean> => {
    await collect();
    try {
      await world.client.leaseLsn(world.keyOf(world.main), startLsn, signal());
      return true;
    } catch (error) {
      expect(error).toMatchObject({ kind: 'precondition' });
      return false;
    }
  };
  expect(await isKept()).toBe(true);
  // It is moved once a minute.
  await expect.poll(isKept, { timeout: 120_000, interval: LEASE_MS + 1500 }).toBe(false);
  await expectEqual(ready.url, ['unread', 'entries', 'steps']);
  expect(await standby.kill('SIGTERM')).toBe(0);
});

test('a standby that is promoted is ended, and nobody takes its WAL', { timeout: TIMEOUT_MS }, async () => {
  const standby = world.spawnCompute(world.main, 'standby-promoted', ['--standby']);
  const { url: standbyUrl } = await readyLine(standby);
  const client = await connect(standbyUrl);
  expect((await client.query('SELECT pg_promote()')).rows).toEqual([{ pg_promote: true }]);
  await client.query('SET synchronous_commit = off');
  // Even where it does not wait for who confirms commits.
  await client.query('CREATE TABLE astray (id int)').catch(() => undefined);
  await client.end().catch(() => undefined);
  const again = await readyLine(standby);
  expect(standby.errorText).toContain('promoted');
  for (const each of [url, again.url]) {
    expect(await query(each, "SELECT to_regclass('astray')::text AS name")).toEqual([{ name: null }]);
  }
  await query(url, 'CREATE TABLE later (id int)');
  await expect
    .poll(
      async () => (await query(again.url, "SELECT to_regclass('later')::text AS name"))[0]?.['name'],
      POLL,
    )
    .toBe('later');
  expect(await standby.kill('SIGTERM')).toBe(0);
});

test.each(['read-only', 'standby'] as const)(
  'a proposer refuses a promoted server that began as %s',
  {
    timeout: TIMEOUT_MS,
  },
  async (form) => {
    await using restored = await world.restoreStartSet(world.main, form, { synchronous_standby_names: '' });
    const { server } = restored;
    expect(await server.query('SELECT pg_is_in_recovery() AS yes')).toEqual([{ yes: true }]);
    expect(await server.query('SELECT pg_promote() AS yes')).toEqual([{ yes: true }]);
    await server.query('CREATE TABLE astray (id int)');
    const proposer = world.spawnProposer(world.main, server);
    expect([await proposer.ended, proposer.errorText]).toEqual([
      EXIT_CONFLICT,
      expect.stringContaining('WRONG_SERVER'),
    ]);
    // It has fenced nobody.
    await query(url, `CREATE TABLE before_${form === 'standby' ? 'a_standby' : 'the_past'} (id int)`);
    expect(await query(url, "SELECT to_regclass('astray')::text AS name")).toEqual([{ name: null }]);
  },
);
