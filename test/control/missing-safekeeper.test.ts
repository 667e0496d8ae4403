import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Branch, branchAnswerSchema, projectAnswerSchema } from '../../src/contracts/control-api.ts';
import { type DatabaseLocation, openPostgresDoor } from '../../src/control/database/postgres-door.ts';
import type { SafekeeperService } from '../../src/safekeeper/main.ts';
import { ControlWorld } from './control-world.ts';

let world: ControlWorld;

beforeAll(async () => {
  world = await ControlWorld.start();
  await world.must(projectAnswerSchema, 'POST', 'projects', { name: 'p' });
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const branch = async (name: string): Promise<Branch> =>
  (await world.must(branchAnswerSchema, 'POST', 'projects/p/branches', { name })).branch;

test('a branch is made while a safekeeper is away, which gets it when it is there; without a quorum it waits', async () => {
  const away = (id: number): Promise<void> => (world.safekeepers[id - 1] as SafekeeperService).close();
  await away(3);
  const made = await branch('two-of-three');
  expect(made.state).toBe('ready');
  const [left] = await world.rows<{ kind: string }>(
    "SELECT kind FROM varve_control.operations WHERE state = 'running'",
  );
  expect(left?.kind).toBe('complete-timeline');
  await world.startSafekeeper(3);
  await world.settled();
  expect((await world.stored()).safekeepers[2]).toContain(made.timelineId);

  await Promise.all([away(2), away(3)]);
  const waiting = branch('one-of-three');
  await expect
    .poll(() => world.rows("SELECT FROM varve_control.operations WHERE attempts > 0 AND state = 'running'"))
    .toHaveLength(1);
  const status = await world.ask<{ branches: { safekeepers: { error: string | null }[] }[] }>(
    'GET',
    'status',
  );
  expect(status.json.branches[0]?.safekeepers.map(({ error }) => error === null)).toEqual([
    true,
    false,
    false,
  ]);
  await world.startSafekeeper(2);
  expect((await waiting).state).toBe('ready');
  await world.startSafekeeper(3);
  await world.settled();
});

test('a control plane that loses its database says so, and a second one does not get it', async () => {
  const { logger } = world;
  await expect(world.second()).rejects.toMatchObject({ code: 'CONTROL_PLANE_RUNNING' });
  await world.rows(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()",
  );
  expect(await world.life.service.lost).toMatchObject({
    kind: 'unavailable',
    code: 'CONTROL_DATABASE_LOST',
  });
  expect(logger.lines.some(({ message }) => message.includes('database is lost'))).toBe(true);
  await world.restart();
  expect((await world.ask('GET', 'projects/p')).status).toBe(200);
});

test('a connection that is lost within a transaction makes that fail, and ends nothing else', async () => {
  const { pool } = openPostgresDoor(world.database.clientConfig() as DatabaseLocation, world.logger);
  const client = await pool.connect();
  const [{ pid }] = (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid', [])).rows as [
    { pid: number },
  ];
  await world.rows('SELECT pg_terminate_backend($1)', [pid]);
  // That it is lost comes as an event, which nobody waits for.
  await expect(client.query('SELECT pg_sleep(1)', [])).rejects.toThrow();
  client.release();
  await pool.end();
});
