// What a compute has on its disk stays below its budget: blocks are given back, and read again. The long form of the first test
// is `npm run disk-budget`, which also has clusters without checksums.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { listChildren } from '../../src/io/node/process-table.ts';
import { lastLogged, runStress, startBudgetWorld, usedBytes } from '../disk-budget/stress.ts';
import { connect, query, readyLine } from './compute-client.ts';

const MIB = 1024 * 1024;
const TIMEOUT_MS = 240_000;
const BUDGET_MIB = 80;
/** WAL that safekeepers have not taken yet, and what is written between two looks. */
const MARGIN_MIB = 128;
const ARGS = ['--set', 'shared_buffers=16MB', '--log-level', 'info'];

test('sessions find what they have written', { timeout: TIMEOUT_MS }, async () => {
  const result = await runStress({
    ...{ sessions: 16, milliseconds: 4000, seed: 2, hasChecksums: true, budgetMib: BUDGET_MIB },
    rows: 2600,
  });
  expect(result.problems).toEqual([]);
  expect(result.restarted).toBe(true);
  expect(result.databaseBytes).toBeGreaterThan(BUDGET_MIB * MIB);
  expect(result.usedBytesMax).toBeLessThan((BUDGET_MIB + MARGIN_MIB) * MIB);
  expect(result.givenBytes).toBeGreaterThan(10 * MIB);
  expect(result.blocksAgain).toBeGreaterThan(1000);
});

test('a load of several times the budget', { timeout: TIMEOUT_MS }, async () => {
  await using world = await startBudgetWorld(false);
  const agent = world.spawnCompute(world.main, 'compute', ['--disk-budget', `${BUDGET_MIB}MB`, ...ARGS]);
  const { url } = await readyLine(agent);
  const client = await connect(url);
  await client.query('CREATE TABLE loaded (id int, body text)');
  for (let part = 0; part < 10; part++)
    await client.query(`INSERT INTO loaded SELECT i, repeat(md5(i::text), 50)
      FROM generate_series(${part * 15_000 + 1}, ${(part + 1) * 15_000}) i`);
  const { rows } = await client.query(`SELECT pg_relation_size('loaded')::int AS size, count(*)::int AS n,
    count(*) FILTER (WHERE body <> repeat(md5(id::text), 50))::int AS bad FROM loaded`);
  expect(rows).toEqual([{ size: expect.any(Number), n: 150_000, bad: 0 }]);
  expect(rows[0].size).toBeGreaterThan(3 * BUDGET_MIB * MIB);
  expect(await usedBytes(join(world.directory, 'compute'))).toBeLessThan((BUDGET_MIB + MARGIN_MIB) * MIB);
  expect(lastLogged(agent, 'givenBytes')).toBeGreaterThan(BUDGET_MIB * MIB);
  await client.end();
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('what cannot be given back ends the server in order, and it begins anew', {
  timeout: TIMEOUT_MS,
}, async () => {
  await using world = await startBudgetWorld(false);
  const args = ['--disk-budget', '64MB', '--disk-wait', '1s', ...ARGS];
  const agent = world.spawnCompute(world.main, 'compute', args);
  const { url } = await readyLine(agent);
  await query(url, 'CREATE TABLE logged AS SELECT generate_series(1, 100) AS id');
  await query(url, 'CREATE UNLOGGED TABLE scratch (id int, body text)');
  const client = await connect(url);
  const filling = (async () => {
    for (;;)
      await client.query(
        'INSERT INTO scratch SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, 2000) i',
      );
  })();
  await expect(filling).rejects.toThrow(/terminating connection|Connection terminated/);
  const again = await readyLine(agent);
  expect(agent.errorText).toContain('The local directory is full');
  expect(agent.errorText).toContain('Writing is slowed until the disk has room');
  expect(await query(again.url, 'SELECT count(*)::int AS n FROM logged')).toEqual([{ n: 100 }]);
  expect(await query(again.url, 'SELECT count(*)::int AS n FROM scratch')).toEqual([{ n: 0 }]);
  expect(await usedBytes(join(world.directory, 'compute'))).toBeLessThan(64 * MIB);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a compute whose evictor is killed begins anew', { timeout: TIMEOUT_MS }, async () => {
  await using world = await startBudgetWorld(false);
  const agent = world.spawnCompute(world.main, 'compute', ARGS);
  const { url } = await readyLine(agent);
  await query(url, 'CREATE TABLE kept AS SELECT generate_series(1, 100) AS id');
  const evictor = await findEvictor(agent.pid);
  process.kill(evictor, 'SIGKILL');
  const again = await readyLine(agent);
  expect(await query(again.url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 100 }]);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

/** The agent starts it when the server is ready. */
async function findEvictor(agentPid: number): Promise<number> {
  for (;;) {
    const found = listChildren(agentPid).find(({ pid }) => isEvictor(pid));
    if (found !== undefined) return found.pid;
    await delay(5);
  }
}

function isEvictor(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').includes('VARVE_SHIM_EVICTOR=1');
  } catch (error) {
    // It has ended by now.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}
