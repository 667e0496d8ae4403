// `varve compute --read-only --at`: a branch as of a time, and that nobody can make more of it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { parseLsn } from '../../src/base/lsn.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
/** docs/exit-codes.md */
const EXIT_BAD_REQUEST = 2;
const EXIT_PRECONDITION = 5;
const NOTE = 'SELECT clock_timestamp()::text AS time, pg_current_wal_insert_lsn()::text AS lsn';

let world: VarveWorld;
let url: string;
let primary: VarveProcess;

interface Moment {
  readonly time: string;
  readonly lsn: string;
}

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  primary = world.spawnCompute(world.main, 'primary');
  url = (await readyLine(primary)).url;
  await query(url, 'CREATE TABLE entries (id int PRIMARY KEY)');
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** As ISO 8601: what PostgreSQL writes has a blank, and so short a zone that it is read all the same. */
const now = async (): Promise<Moment> => (await query(url, NOTE))[0] as unknown as Moment;

const at = (name: string, time: string): VarveProcess =>
  world.spawnCompute(world.main, name, ['--read-only', '--at', time]);

async function idsAt(name: string, time: string): Promise<unknown[]> {
  const past = at(name, time);
  const { url: pastUrl, steps } = await readyLine(past);
  expect(Object.keys(steps).slice(0, 3)).toEqual(['prepare', 'find', 'lease']);
  const rows = await query(pastUrl, 'SELECT id FROM entries ORDER BY id');
  expect(await past.kill('SIGTERM')).toBe(0);
  return rows.map(({ id }) => id);
}

test('what was committed up to a time is there, to the microsecond, and nothing later', {
  timeout: TIMEOUT_MS,
}, async () => {
  const moments: string[] = [];
  for (let id = 1; id <= 3; id++) {
    await query(url, `INSERT INTO entries VALUES (${id})`);
    moments.push((await now()).time);
  }
  const [first, second, third] = moments as [string, string, string];
  expect(await idsAt('past-1', first)).toEqual([1]);
  expect(await idsAt('past-2', second.replace(' ', 'T'))).toEqual([1, 2]);
  // Nothing later is committed: what is asked for is the end, also while the pageserver has not got it.
  expect(await idsAt('past-3', third)).toEqual([1, 2, 3]);
  await query(url, 'INSERT INTO entries VALUES (4)');
  const { time } = await now();
  expect(await idsAt('past-4', time)).toEqual([1, 2, 3, 4]);
});

test('a time that cannot be served is refused with a reason of its own', {
  timeout: TIMEOUT_MS,
}, async () => {
  const refused: readonly [string, number, string][] = [
    ['2001-01-01T00:00:00Z', EXIT_PRECONDITION, 'TIME_BEFORE_HISTORY'],
    [new Date(Date.now() + 3_600_000).toISOString(), EXIT_BAD_REQUEST, 'TIME_IN_FUTURE'],
    ['2026-01-01T00:00:00', EXIT_BAD_REQUEST, 'INVALID_ARGUMENT'],
    ['yesterday', EXIT_BAD_REQUEST, 'INVALID_ARGUMENT'],
  ];
  for (const [index, [time, code, name]] of refused.entries()) {
    const process = at(`refused-${index}`, time);
    expect([time, await process.ended]).toEqual([time, code]);
    expect(process.errorText).toContain(name);
  }
});

test('a time is also one of the parent’s, on a branch', { timeout: TIMEOUT_MS }, async () => {
  const { time } = await now();
  const { lsn } = await now();
  await world.received(world.main, parseLsn(lsn));
  const branch = parseTimelineId('3'.repeat(32));
  await world.createBranch(branch, world.main, parseLsn(lsn));
  const past = world.spawnCompute(branch, 'past-branch', ['--read-only', '--at', time]);
  const rows = await query((await readyLine(past)).url, 'SELECT count(*)::int AS n FROM entries');
  expect(rows).toEqual([{ n: 4 }]);
  expect(await past.kill('SIGTERM')).toBe(0);
});

test('one that is promoted is ended, commits nothing, and no one has its WAL', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { lsn } = await now();
  const past = world.spawnCompute(world.main, 'promoted', ['--read-only', '--at', lsn]);
  const { url: pastUrl } = await readyLine(past);
  const client = await connect(pastUrl);
  expect((await client.query('SELECT pg_promote()')).rows).toEqual([{ pg_promote: true }]);
  // It waits for the one that confirms commits, which never comes.
  await expect(client.query('INSERT INTO entries VALUES (1000)')).rejects.toThrow();
  await client.end().catch(() => undefined);
  // The agent has started it anew, as it was.
  const again = await readyLine(past);
  expect(past.errorText).toContain('promoted');
  expect(await query(again.url, 'SELECT pg_is_in_recovery() AS yes')).toEqual([{ yes: true }]);
  await expectNothingOf(1000);
  expect(await past.kill('SIGTERM')).toBe(0);
});

/** Neither on safekeepers, nor on the pageserver, nor in the branch. */
async function expectNothingOf(id: number): Promise<void> {
  const rows = await query(url, `SELECT id FROM entries WHERE id = ${id}`);
  expect(rows).toEqual([]);
  const { lsn } = await now();
  const statuses = await Promise.all(
    world.safekeeperIds.map((each) => world.safekeeperStatus(each, world.main)),
  );
  for (const { acceptor_state } of statuses) {
    expect(acceptor_state.term).toBe(statuses[0]?.acceptor_state.term);
  }
  expect((await world.info(world.main)).last_record_lsn).toBeLessThanOrEqual(parseLsn(lsn));
}
