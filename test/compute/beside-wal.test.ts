// What a server keeps in files and in no WAL, over the lives of its computes: free space maps and statistics.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { parseLsn } from '../../src/base/lsn.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 180_000;
const POLL = { timeout: 60_000, interval: 100 };
const CHANGED_A_LIFE = 40;

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

interface Life {
  readonly agent: VarveProcess;
  readonly url: string;
  readonly directory: string;
}

async function begin(name: string, args: readonly string[] = [], timelineId = world.main): Promise<Life> {
  const agent = world.spawnCompute(timelineId, name, args);
  return { agent, url: (await readyLine(agent)).url, directory: join(world.directory, name) };
}

async function stop({ agent }: Life): Promise<void> {
  expect(await agent.kill('SIGTERM')).toBe(0);
}

async function one(url: string, text: string): Promise<Record<string, unknown>> {
  const [row] = await query(url, text);
  return row as Record<string, unknown>;
}

const pagesOf = async (url: string, table: string): Promise<number> =>
  (await one(url, `SELECT (pg_relation_size('${table}') / 8192)::int AS pages`))['pages'] as number;

const mapOf = async ({ url, directory }: Life, table: string): Promise<string> => {
  const { path } = await one(url, `SELECT pg_relation_filepath('${table}') || '_fsm' AS path`);
  return join(directory, 'data', path as string);
};

/** Rows as long as those that are there. */
const insert = (url: string, table: string, count: number): Promise<unknown> =>
  query(url, `INSERT INTO ${table} SELECT i, repeat('x', 200) FROM generate_series(1, ${count}) i`);

test('a table that is half empty is filled by later computes, and not extended', {
  timeout: TIMEOUT_MS,
}, async () => {
  const first = await begin('maps-1');
  await query(first.url, 'CREATE TABLE halved (id int, filler text) WITH (autovacuum_enabled = off)');
  await query(first.url, 'CREATE TABLE dropped AS SELECT * FROM halved');
  for (const table of ['halved', 'dropped']) {
    await insert(first.url, table, 40_000);
    await query(first.url, `DELETE FROM ${table} WHERE id % 2 = 0`);
    await query(first.url, `VACUUM ${table}`);
  }
  const pages = await pagesOf(first.url, 'halved');
  expect(pages).toBeGreaterThan(1000);
  const { lsn } = await one(first.url, 'SELECT pg_current_wal_lsn()::text AS lsn');
  await stop(first);

  // As of before the stop nothing was saved: this is what happens without a map.
  const branch = parseTimelineId('b'.repeat(32));
  await world.createBranch(branch, world.main, parseLsn(lsn as string));
  const without = await begin('maps-without', [], branch);
  expect(existsSync(await mapOf(without, 'halved'))).toBe(false);
  await insert(without.url, 'halved', 10_000);
  expect(await pagesOf(without.url, 'halved')).toBeGreaterThan(pages + 200);
  await stop(without);

  const second = await begin('maps-2');
  const halvedMap = await mapOf(second, 'halved');
  const droppedMap = await mapOf(second, 'dropped');
  // A machine that is busy may take longer than a start waits.
  await expect.poll(() => existsSync(halvedMap) && existsSync(droppedMap), POLL).toBe(true);
  await insert(second.url, 'halved', 10_000);
  expect(await pagesOf(second.url, 'halved')).toBe(pages);
  await query(second.url, 'DROP TABLE dropped');
  await stop(second);

  // What the second one has used up is not offered again, and the rest is.
  const third = await begin('maps-2');
  await expect.poll(() => existsSync(halvedMap), POLL).toBe(true);
  await insert(third.url, 'halved', 9000);
  expect(await pagesOf(third.url, 'halved')).toBe(pages);
  expect(existsSync(droppedMap)).toBe(false);
  await insert(third.url, 'halved', 5000);
  expect(await pagesOf(third.url, 'halved')).toBeGreaterThan(pages);
  expect(await one(third.url, 'SELECT count(*)::int AS n FROM halved')).toEqual({ n: 44_000 });
  expect(readFileSync(join(third.directory, 'postgres.log'), 'utf8')).not.toMatch(/WARNING|ERROR/);
  await stop(third);
});

test('a table that is changed a little in each life is vacuumed and analyzed in the end', {
  timeout: TIMEOUT_MS,
}, async () => {
  const settings = ['--set', 'autovacuum_naptime=1s'];
  const counts = (url: string): Promise<Record<string, unknown>> =>
    one(
      url,
      `SELECT n_dead_tup::int AS dead, n_mod_since_analyze::int AS changed, autovacuum_count::int AS vacuums,
       autoanalyze_count::int AS analyzes FROM pg_stat_all_tables WHERE relname = 'changed_slowly'`,
    );
  const change = (url: string, life: number): Promise<unknown> =>
    query(
      url,
      `DELETE FROM changed_slowly WHERE id > ${life * CHANGED_A_LIFE} AND id <= ${(life + 1) * CHANGED_A_LIFE}`,
    );
  const first = await begin('autovacuum-1', settings);
  await query(
    first.url,
    `CREATE TABLE changed_slowly (id int PRIMARY KEY) WITH (
       autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_insert_threshold = -1,
       autovacuum_analyze_threshold = 100, autovacuum_analyze_scale_factor = 0, autovacuum_enabled = off)`,
  );
  await query(first.url, 'INSERT INTO changed_slowly SELECT generate_series(1, 1000)');
  await query(first.url, 'VACUUM ANALYZE changed_slowly');
  await query(first.url, 'ALTER TABLE changed_slowly SET (autovacuum_enabled = on)');
  await change(first.url, 0);
  await stop(first);
  for (const life of [1, 2]) {
    const later = await begin(`autovacuum-${life + 1}`, settings);
    const so = life * CHANGED_A_LIFE;
    expect(await counts(later.url)).toEqual({ dead: so, changed: so, vacuums: 0, analyzes: 0 });
    await change(later.url, life);
    if (life === 2) {
      await expect
        .poll(() => counts(later.url), POLL)
        .toEqual({ dead: 0, changed: 0, vacuums: 1, analyzes: 1 });
    }
    await stop(later);
  }
});

test('after a compute was killed its statistics are not used, and old maps do no harm', {
  timeout: TIMEOUT_MS,
}, async () => {
  const first = await begin('killed-1');
  await query(first.url, 'CREATE TABLE killed (id int, filler text) WITH (autovacuum_enabled = off)');
  await insert(first.url, 'killed', 20_000);
  await query(first.url, 'DELETE FROM killed WHERE id % 2 = 0');
  await query(first.url, 'VACUUM killed');
  const pages = await pagesOf(first.url, 'killed');
  await stop(first);
  const second = await begin('killed-2');
  const count = (url: string): Promise<Record<string, unknown>> =>
    one(url, `SELECT n_tup_ins::int AS n FROM pg_stat_all_tables WHERE relname = 'killed'`);
  expect(await count(second.url)).toEqual({ n: 20_000 });
  // The map that there is promises room that is used now, and the relation has got shorter than it says.
  await insert(second.url, 'killed', 9000);
  await query(second.url, "DELETE FROM killed WHERE ctid >= '(300,1)'");
  await query(second.url, 'VACUUM killed');
  const shorter = await pagesOf(second.url, 'killed');
  expect(shorter).toBeLessThan(pages);
  const [{ rows }] = (await query(second.url, 'SELECT count(*)::int AS rows FROM killed')) as [
    { rows: number },
  ];
  await second.agent.kill('SIGKILL');
  const third = await begin('killed-3');
  expect(await count(third.url)).toEqual({ n: 0 });
  await insert(third.url, 'killed', 3000);
  expect(await one(third.url, 'SELECT count(*)::int AS n FROM killed')).toEqual({ n: rows + 3000 });
  expect(readFileSync(join(third.directory, 'postgres.log'), 'utf8')).not.toMatch(/WARNING|ERROR|PANIC/);
  await stop(third);
});
