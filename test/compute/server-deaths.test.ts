// What is left of a server when a part of it, or of what looks after it, is killed: nothing, and at once.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRunning, listChildren, readProcess } from '../../src/io/node/process-table.ts';
import type { ProgramIdentity } from '../../src/io/servers.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { connect, query, type Ready, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 60_000;
const POLL = { timeout: 10_000, interval: 10 };

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

function serverProcesses({ pid }: Ready): ProgramIdentity[] {
  const postmaster = readProcess(pid);
  if (postmaster === undefined) throw new Error('the server does not run');
  return [postmaster, ...listChildren(pid)];
}

const untilGone = (processes: readonly ProgramIdentity[]): Promise<void> =>
  expect.poll(() => processes.filter(isRunning), POLL).toEqual([]);

test('a backend that does nothing, not even look around, dies with its postmaster', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'first');
  const ready = await readyLine(agent);
  const client = await connect(ready.url);
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const processes = serverProcesses(ready);
  process.kill((rows[0] as { pid: number }).pid, 'SIGSTOP');
  process.kill(ready.pid, 'SIGKILL');
  await untilGone(processes);
  // It is started anew.
  const { url } = await readyLine(agent);
  expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(await agent.kill('SIGTERM')).toBe(0);
  await client.end();
});

test('the server dies with its agent, also where whatever else looks after it dies at the same time', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'second');
  const ready = await readyLine(agent);
  const client = await connect(ready.url);
  const processes = serverProcesses(ready);
  expect(processes.length).toBeGreaterThan(4);
  const agentPid = (readProcess(ready.pid) as { parentPid: number }).parentPid;
  const others = listChildren(agentPid).filter(({ pid }) => pid !== ready.pid);
  expect(others.length).toBeGreaterThan(0);
  for (const { pid } of others) process.kill(pid, 'SIGKILL');
  await agent.kill('SIGKILL');
  await untilGone(processes);
  await client.end();
});
