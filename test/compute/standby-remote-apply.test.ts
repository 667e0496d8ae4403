// Read-your-writes: a commit with `remote_apply` comes back when the standbys that follow the branch show it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 20_000, interval: 20 };
const TIMES = 200;

let world: VarveWorld;
let url: string;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  const primary = world.spawnCompute(world.main, 'primary', ['--set', 'synchronous_commit=remote_apply']);
  url = (await readyLine(primary)).url;
  await query(url, 'CREATE TABLE entries (id int PRIMARY KEY)');
  // The start of a standby takes WAL for made-up records, in front of where it begins.
  await query(
    url,
    'CREATE TABLE ballast AS SELECT i, repeat(md5(i::text), 8) AS text FROM generate_series(1, 2000) i',
  );
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

async function startStandby(name: string): Promise<{ url: string; process: VarveProcess }> {
  const process = world.spawnCompute(world.main, name, ['--standby']);
  return { ...(await readyLine(process)), process };
}

test(`a commit that has come back is seen on every standby at once, ${TIMES} times in a row`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const standbys = [await startStandby('standby-1'), await startStandby('standby-2')];
  const writer = await connect(url);
  const readers = await Promise.all(standbys.map(({ url: standbyUrl }) => connect(standbyUrl)));
  const text = 'SELECT coalesce(max(id), 0)::int AS id FROM entries';
  for (let id = 1; id <= TIMES; id++) {
    await writer.query(`INSERT INTO entries VALUES (${id})`);
    for (const reader of readers) expect((await reader.query(text)).rows).toEqual([{ id }]);
  }
  for (const reader of readers) await reader.end();
  await writer.end();
  for (const { process } of standbys) expect(await process.kill('SIGTERM')).toBe(0);
});

test('without a standby commits come back, and those that are held by one do when it is gone or silent', {
  timeout: TIMEOUT_MS,
}, async () => {
  await query(url, 'INSERT INTO entries VALUES (1001)');
  const { url: standbyUrl, process } = await startStandby('standby-3');
  await query(standbyUrl, 'SELECT pg_wal_replay_pause()');
  const isPaused = async (): Promise<unknown> =>
    (await query(standbyUrl, 'SELECT pg_get_wal_replay_pause_state() AS state'))[0]?.['state'];
  // A replay is paused at its next record.
  await query(url, 'SET synchronous_commit = on; INSERT INTO entries VALUES (1002)');
  await expect.poll(isPaused, POLL).toBe('paused');
  const held = query(url, 'INSERT INTO entries VALUES (1003)');
  const waiting = async (): Promise<unknown> =>
    (await query(url, "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))[0]?.[
      'n'
    ];
  await expect.poll(waiting, POLL).toBe(1);
  // What does not ask for so much does not wait for it.
  await query(url, 'SET synchronous_commit = on; INSERT INTO entries VALUES (1004)');
  expect(await waiting()).toBe(1);
  await query(standbyUrl, 'SELECT pg_wal_replay_resume()');
  await held;
  expect(await query(standbyUrl, 'SELECT id FROM entries WHERE id = 1003')).toHaveLength(1);

  const [receiver] = await query(standbyUrl, 'SELECT pid FROM pg_stat_wal_receiver');
  const receiverPid = receiver?.['pid'] as number;
  globalThis.process.kill(receiverPid, 'SIGSTOP');
  // It is waited for until it counts as gone: about ten seconds.
  await query(url, 'INSERT INTO entries VALUES (1005)');
  globalThis.process.kill(receiverPid, 'SIGCONT');
  await expect
    .poll(async () => (await query(standbyUrl, 'SELECT id FROM entries WHERE id = 1005')).length, POLL)
    .toBe(1);
  const last = query(url, 'INSERT INTO entries VALUES (1006)');
  await process.kill('SIGKILL');
  await last;
});
