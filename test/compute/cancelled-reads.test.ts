// A backend that waits for a page which does not come can be made to give up.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 60_000;
const POLL = { timeout: 10_000, interval: 20 };
/** The server knows of a read of a file, and of no more. */
const READING = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'DataFileRead'";
const END = 'SELECT pg_cancel_backend($1), pg_terminate_backend($2)';
/** Above pid_max. */
const NOBODY = 2 ** 30;
const GIVEN_UP = /could not read blocks? .*: Operation canceled/;

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

test('by statement_timeout, cancel and terminate, and others read on', { timeout: TIMEOUT_MS }, async () => {
  const first = world.spawnCompute(world.main, 'compute');
  const { url: firstUrl } = await readyLine(first);
  for (const table of ['far_0', 'far_1', 'far_2']) {
    const rows = "SELECT i, repeat('x', 500) AS filler FROM generate_series(1, 5000) i";
    await query(firstUrl, `CREATE TABLE ${table} AS ${rows}`);
  }
  expect(await first.kill('SIGTERM')).toBe(0);
  const agent = world.spawnCompute(world.main, 'compute');
  const { url } = await readyLine(agent);
  const watcher = await connect(url);
  const [timed, cancelled, terminated] = [await connect(url), await connect(url), await connect(url)];
  // All that these need of the catalogs is there before the pageserver stops.
  const clients = [timed, cancelled, terminated];
  const read = (index: number): string => `SELECT count(i)::int AS n FROM far_${index}`;
  for (const [index, client] of clients.entries()) await client.query(`EXPLAIN ${read(index)}`);
  await timed.query("SET statement_timeout = '300ms'");
  const pidOf = async (client: typeof timed): Promise<number> =>
    ((await client.query('SELECT pg_backend_pid() AS pid')).rows[0] as { pid: number }).pid;
  const pids = [await pidOf(cancelled), await pidOf(terminated)];
  await watcher.query(READING);
  await watcher.query(END, [NOBODY, NOBODY]);
  world.pageserver.signal('SIGSTOP');
  try {
    const failed = clients.map((client, index) =>
      client.query(read(index)).then(
        () => 'answered',
        (error: Error) => error.message,
      ),
    );
    expect(await failed[0]).toMatch(GIVEN_UP);
    await expect.poll(async () => (await watcher.query(READING)).rows).toEqual([{ n: 2 }]);
    await watcher.query(END, pids);
    expect(await failed[1]).toMatch(GIVEN_UP);
    expect(await failed[2]).toMatch(/canceled|terminat/);
    await expect.poll(async () => (await watcher.query(READING)).rows, POLL).toEqual([{ n: 0 }]);
    world.pageserver.signal('SIGCONT');
    expect((await cancelled.query(read(1))).rows).toEqual([{ n: 5000 }]);
  } finally {
    world.pageserver.signal('SIGCONT');
  }
  await Promise.all([watcher, ...clients].map((client) => client.end()));
  expect(await agent.kill('SIGTERM')).toBe(0);
});
