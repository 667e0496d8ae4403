import { expect, test } from 'vitest';
import { errorOf } from '../compute/compute-client.ts';
import { query, SystemWorld } from './system-world.ts';

test('after all was killed a branch is there whose parent nobody uses', { timeout: 120_000 }, async () => {
  await using world = await SystemWorld.make();
  const first = await world.start('--processes', '--safekeepers', '1');
  const branch = async (name: string, parent: string): Promise<string> => {
    const created = await world.run('branch create', name, '--parent', parent).line<{ url: string }>();
    return created.url;
  };
  await query(first.ready.url, 'CREATE TABLE kept (a int)');
  const parent = await branch('parent', 'main');
  await query(parent, 'INSERT INTO kept SELECT generate_series(1, 1000)');
  const child = await branch('child', 'parent');
  expect(await query(child, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 1000 }]);
  // At once, so that nobody writes down how much is committed.
  for (const each of world.processes()) {
    try {
      process.kill(Number(each.split(' ')[0]), 'SIGKILL');
    } catch (error) {
      // It has ended with another one.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  await first.process.ended;
  await world.untilNothingIsLeft();
  const second = await world.start('--processes');
  const beganAtMs = performance.now();
  expect(await query(child, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 1000 }]);
  expect(performance.now() - beganAtMs).toBeLessThan(30_000);
  expect(await second.process.kill('SIGTERM')).toBe(0);
});

test('a service that dies while another one still starts ends the start', { timeout: 120_000 }, async () => {
  await using world = await SystemWorld.make();
  const system = world.run('start', '--port', '0', '--processes');
  const find = (part: string): number | undefined => {
    const found = world.processes().find((each) => each.includes(part) && each.includes('/varve '));
    return found === undefined ? undefined : Number(found.split(' ')[0]);
  };
  const untilThere = async (part: string): Promise<number> => {
    for (;;) {
      const pid = find(part);
      if (pid !== undefined) return pid;
      if (system.isEnded) throw new Error(system.errorText);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  // It would be waited for, for as long as it is stopped.
  process.kill(await untilThere(' pageserver '), 'SIGSTOP');
  process.kill(await untilThere(' safekeeper --id 2'), 'SIGKILL');
  expect(await system.ended).toBe(6);
  expect(errorOf(system)).toMatchObject({
    code: 'SERVICE_ENDED',
    message: expect.stringContaining('the safekeeper-2 has ended (SIGKILL)'),
  });
  await world.untilNothingIsLeft();
});

test('a start waits for a restore of main that goes on', { timeout: 120_000 }, async () => {
  await using world = await SystemWorld.make();
  const first = await world.start('--processes', '--safekeepers', '1');
  await query(first.ready.url, 'CREATE TABLE kept AS SELECT 1 AS a');
  const [row] = await query(first.ready.url, 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
  const pageserver = world.processes().find((each) => each.includes('/varve pageserver '));
  process.kill(Number(pageserver?.split(' ')[0]), 'SIGSTOP');
  const restore = world.run('branch restore', 'main', '--lsn', row?.['lsn'] as string);
  const isReplacing = async (): Promise<boolean> => {
    const { branches } = await world.run('branch list').line<{ branches: { state: string }[] }>();
    return branches.some(({ state }) => state === 'replacing');
  };
  while (!(await isReplacing())) expect(restore.isEnded).toBe(false);
  await first.process.kill('SIGKILL');
  await restore.kill('SIGKILL');
  await world.untilNothingIsLeft();
  const second = await world.start('--processes');
  expect(await query(second.ready.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
  expect(await second.process.kill('SIGTERM')).toBe(0);
});
