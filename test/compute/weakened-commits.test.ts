// What is promised of a commit, and what makes less of that: sessions that do not wait, and waits that are cut short.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 20_000, interval: 20 };

let world: VarveWorld;
let url: string;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
  url = (await readyLine(world.spawnCompute(world.main, 'compute'))).url;
  await query(url, 'CREATE TABLE rows_of (session text PRIMARY KEY)');
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** A session that commits a row while there is no quorum, and how it waits. */
async function beginCommit(
  session: string,
  settings = '',
): Promise<{ pid: number; outcome: Promise<string>; warnings: string[] }> {
  const client = await connect(url);
  const warnings: string[] = [];
  client.on('notice', ({ message }) => void (message === undefined || warnings.push(message)));
  if (settings !== '') await client.query(settings);
  const [{ pid }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows as [{ pid: number }];
  const commit = async (): Promise<string> => {
    try {
      await client.query('INSERT INTO rows_of VALUES ($1)', [session]);
      return 'acknowledged';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await client.end();
    }
  };
  const outcome = commit();
  return { pid, outcome, warnings };
}

const waitOf = async (pid: number): Promise<unknown> =>
  (await query(url, `SELECT wait_event FROM pg_stat_activity WHERE pid = ${pid}`))[0]?.['wait_event'];

const waits = (pid: number): Promise<void> => expect.poll(() => waitOf(pid), POLL).toBe('SyncRep');

test('without a quorum a commit waits, and what a session weakens for itself or is made to give up is not promised', {
  timeout: TIMEOUT_MS,
}, async () => {
  const letGo = world.pauseQuorum();
  const patient = await beginCommit('patient');
  const timed = await beginCommit('timed', "SET statement_timeout = '200ms'");
  const cancelled = await beginCommit('cancelled');
  const terminated = await beginCommit('terminated');
  const careless = await beginCommit('careless', 'SET synchronous_commit = off');
  // Who has said so does not wait at all.
  expect(await careless.outcome).toBe('acknowledged');
  for (const { pid } of [patient, cancelled, terminated]) await waits(pid);
  // Nothing of them is seen by others before it is acknowledged.
  expect(await query(url, 'SELECT session FROM rows_of')).toEqual([{ session: 'careless' }]);
  await query(url, `SELECT pg_cancel_backend(${cancelled.pid})`);
  expect(await cancelled.outcome).toBe('acknowledged');
  expect(cancelled.warnings).toEqual(['canceling wait for synchronous replication due to user request']);
  await query(url, `SELECT pg_terminate_backend(${terminated.pid})`);
  expect(await terminated.outcome).toMatch(/terminat/);
  // A statement's limit does not end the wait for the quorum: it would be the same as to cancel it.
  expect(await waitOf(timed.pid)).toBe('SyncRep');
  expect(timed.warnings).toEqual([]);
  // ALTER SYSTEM changes nothing of what durability rests on: nobody is let go by it.
  await query(url, "ALTER SYSTEM SET synchronous_standby_names = ''");
  await query(url, 'SELECT pg_reload_conf()');
  expect(await waitOf(patient.pid)).toBe('SyncRep');
  letGo();
  expect(await patient.outcome).toBe('acknowledged');
  expect(await timed.outcome).toBe('acknowledged');
  expect(patient.warnings).toEqual([]);
});
