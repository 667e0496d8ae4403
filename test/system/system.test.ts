import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { errorOf } from '../compute/compute-client.ts';
import { query, SystemWorld } from './system-world.ts';

const TIMEOUT_MS = 90_000;

describe('a system on one directory', () => {
  let world: SystemWorld;
  let url: string;

  beforeAll(async () => {
    world = await SystemWorld.make();
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  test('its first start gives a database, an API, and what each step took', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { process, ready } = await world.start();
    console.log('first start', ready.totalMs, ready.steps);
    url = ready.url;
    expect(Object.keys(ready.steps).sort()).toEqual(
      ['compute', 'control plane', 'database', 'project main', 'storage'].sort(),
    );
    await query(url, 'CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)');
    expect((await fetch(`${ready.api}/projects`)).status).toBe(401);
    const status = world.run('status');
    expect(await status.line()).toMatchObject({
      url,
      branches: [{ project: 'main', branch: 'main', endpoints: [{ kind: 'primary', state: 'active' }] }],
    });
    const logs = world.run('logs', '-n', '1');
    expect(await logs.line()).toMatchObject({ service: expect.any(String), line: expect.any(String) });
    // Nobody else reads what opens everything.
    expect((await stat(join(world.directory, 'keys'))).mode & 0o077).toBe(0);
    const beganAtMs = performance.now();
    expect(await process.kill('SIGINT')).toBe(0);
    console.log('stopped after', Math.round(performance.now() - beganAtMs));
    await world.untilNothingIsLeft();
  });

  test('a later start has what was there, at the same address', { timeout: TIMEOUT_MS }, async () => {
    const { process, ready } = await world.start();
    console.log('second start', ready.totalMs, ready.steps);
    expect(ready.url).toBe(url);
    expect(await query(url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    await query(url, 'INSERT INTO kept VALUES (2)');

    // A second one on the same directory says who has it.
    const second = world.run('start', '--port', '0');
    expect(await second.ended).toBe(4);
    expect(errorOf(second)).toMatchObject({
      code: 'SYSTEM_RUNNING',
      message: expect.stringContaining(`process ${process.pid}, ${url}`),
    });
    expect(await query(url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 2 }]);

    expect(await process.kill('SIGKILL')).toBe('SIGKILL');
    await world.untilNothingIsLeft();
  });

  test('kill -9 leaves nobody behind, and the next start has all that was committed', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { process } = await world.start();
    expect(await query(url, 'SELECT a FROM kept ORDER BY a')).toEqual([{ a: 1 }, { a: 2 }]);
    // Twice: at once.
    process.signal('SIGINT');
    process.signal('SIGTERM');
    expect([0, 130]).toContain(await process.ended);
    await world.untilNothingIsLeft();
  });

  test('in the background, until it is stopped', { timeout: TIMEOUT_MS }, async () => {
    const { process, ready } = await world.start('--detach');
    expect(await process.ended).toBe(0);
    expect(ready.url).toBe(url);
    expect(await query(url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 2 }]);
    const stop = world.run('stop');
    expect(await stop.line()).toEqual({ stopped: true });
    await world.untilNothingIsLeft();
    const again = world.run('stop');
    expect(await again.line()).toEqual({ stopped: false });
    expect(await again.ended).toBe(1);
    const status = world.run('status');
    expect(await status.ended).toBe(5);
    expect(errorOf(status)).toMatchObject({ code: 'NOT_RUNNING' });
  });

  test('each service a process of its own: one that dies ends all, with a reason', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { process: system } = await world.start('--processes');
    expect(await query(url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 2 }]);
    const pageserver = world.processes().find((each) => each.includes(' pageserver '));
    process.kill(Number(pageserver?.split(' ')[0]), 'SIGKILL');
    expect(await system.ended).toBe(6);
    expect(errorOf(system)).toMatchObject({
      code: 'SERVICE_ENDED',
      message: expect.stringContaining('the pageserver has ended (SIGKILL)'),
    });
    await world.untilNothingIsLeft();
  });

  test('an interrupt while it starts ends it, too', { timeout: TIMEOUT_MS }, async () => {
    const process = world.run('start', '--port', '0');
    while (world.processes().length < 2 && !process.isEnded)
      await new Promise((resolve) => setImmediate(resolve));
    process.signal('SIGINT');
    await process.ended;
    await world.untilNothingIsLeft();
    const { process: next } = await world.start();
    await next.kill('SIGINT');
  });
});

test('a port that somebody has is named, with who that is, before anything is made', async () => {
  await using world = await SystemWorld.make();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  try {
    const refused = world.run('start', '--port', String(port));
    expect(await refused.ended).toBe(4);
    expect(errorOf(refused)).toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringMatching(
        new RegExp(`port ${port} of 127.0.0.1 is taken by .*\\(process ${process.pid}\\).*--port 0`),
      ),
    });
    await expect(stat(join(world.directory, 'system.json'))).rejects.toThrow('ENOENT');
  } finally {
    server.close();
  }
});

test('a directory that servers cannot get to on their own works', { timeout: TIMEOUT_MS }, async () => {
  await using world = await SystemWorld.make(0o700);
  const first = await world.start();
  await query(first.ready.url, 'CREATE TABLE kept (a int)');
  await first.process.kill('SIGKILL');
  await world.untilNothingIsLeft();
  const second = await world.start();
  expect(await query(second.ready.url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 0 }]);
  expect(await second.process.kill('SIGTERM')).toBe(0);
});

test('what is wrong with a start is said', async () => {
  await using world = await SystemWorld.make();
  const other = world.run('start', '--port', '0', '--pg', '16');
  expect(await other.ended).toBe(5);
  expect(errorOf(other)).toMatchObject({ code: 'WRONG_POSTGRES_MAJOR' });
  const many = world.run('start', '--safekeepers', '99');
  expect(await many.ended).toBe(2);
});
