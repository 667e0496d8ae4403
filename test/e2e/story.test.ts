import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect } from '../compute/compute-client.ts';
import { runVarve, runVarveJson } from '../support/varve-command.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { query, SystemWorld } from '../system/system-world.ts';

/** Machines on which this runs may be busy. */
const TIMEOUT_MS = 120_000;
const ROWS = 1_000_000;
/** One that the primary key leads to. */
const SOME_ID = 777_777;

/** What a table has: as many rows, with these contents, and what its index finds. */
interface Contents {
  readonly count: number;
  readonly ids: string;
  readonly texts: string;
  readonly found: string | undefined;
}

async function contentsOf(url: string): Promise<Contents> {
  const client = await connect(url);
  try {
    const { rows } = await client.query(
      'SELECT count(*)::int AS count, sum(id)::text AS ids, sum(hashtext(text))::text AS texts FROM notes',
    );
    await client.query('SET enable_seqscan = off');
    const found = await client.query('SELECT text FROM notes WHERE id = $1', [SOME_ID]);
    return { ...rows[0], found: found.rows[0]?.text };
  } finally {
    await client.end();
  }
}

/** A time of the machine's clock that no commit shares a millisecond with. */
async function timeBetween(url: string): Promise<string> {
  const [row] = await query(url, 'SELECT pg_sleep(0.005), clock_timestamp() AS now');
  await query(url, 'SELECT pg_sleep(0.005)');
  const { now } = row as { now: Date };
  return now.toISOString();
}

describe('the story of the README, with a million rows', () => {
  let world: SystemWorld;
  let system: VarveProcess;
  let main: string;
  let loaded: Contents;
  let loadedAt: string;
  /** What each server has to have, by its connection string, whatever becomes of the machine. */
  const expected = new Map<string, Contents>();

  async function start(): Promise<void> {
    const started = await world.start('--api-port', '0');
    system = started.process;
    main = started.ready.url;
  }

  async function stop(): Promise<void> {
    expect(await runVarve('stop', '--dir', world.directory)).toMatchObject({ code: 0 });
    expect(await system.ended).toBe(0);
  }

  async function varve<Value>(...args: string[]): Promise<Value> {
    const { code, values, error } = await runVarveJson<Value>(...args, '--dir', world.directory);
    expect(error).toBeUndefined();
    expect(code).toBe(0);
    return values[0] as Value;
  }

  /** Of all servers at the same time: those that are suspended are woken. */
  async function expectAll(): Promise<void> {
    const urls = [...expected.keys()];
    expect(urls.length).toBeGreaterThan(2);
    const found = await Promise.all(urls.map(contentsOf));
    expect(new Map(urls.map((url, index) => [url, found[index]]))).toEqual(expected);
  }

  const below = (name: string): string => join(world.directory, name);

  beforeAll(async () => {
    world = await SystemWorld.make();
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  test('start, make a table, load a million rows', { timeout: TIMEOUT_MS }, async () => {
    await start();
    const create = 'CREATE TABLE notes (id int, text text)';
    expect(await varve('connect', 'main', '-c', create)).toMatchObject({ commandTag: 'CREATE TABLE' });
    const beganAtMs = performance.now();
    await query(main, `INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, ${ROWS}) i`);
    console.log('a million rows after', Math.round(performance.now() - beganAtMs), 'ms');
    await query(main, 'ALTER TABLE notes ADD PRIMARY KEY (id)');
    loaded = await contentsOf(main);
    expect(loaded).toMatchObject({
      count: ROWS,
      ids: String((ROWS * (ROWS + 1)) / 2),
      found: `note ${SOME_ID}`,
    });
    loadedAt = await timeBetween(main);
  });

  test('a branch has what is dropped on main, and changes it for itself', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const { url: dev } = await varve<{ url: string }>('branch', 'create', 'dev');
    await query(main, 'DROP TABLE notes');
    await expect(contentsOf(main)).rejects.toThrow('relation "notes" does not exist');
    expect(await contentsOf(dev)).toEqual(loaded);
    await query(dev, "DELETE FROM notes WHERE id <= 50000; INSERT INTO notes VALUES (0, 'of dev')");
    const ofDev = await contentsOf(dev);
    expect(ofDev.count).toBe(ROWS - 50_000 + 1);
    expected.set(dev, ofDev);
  });

  test('main goes back to a time, and to an LSN', { timeout: TIMEOUT_MS }, async () => {
    await varve('branch', 'restore', 'main', '--at', loadedAt, '--keep-as', 'dropped');
    expect(await contentsOf(main)).toEqual(loaded);
    await query(main, "INSERT INTO notes VALUES (-1, 'after all that')");
    const before = await contentsOf(main);
    const [position] = await query(main, 'SELECT pg_current_wal_insert_lsn() AS lsn');
    await query(main, 'DELETE FROM notes WHERE id BETWEEN 1 AND 50000');

    await varve('branch', 'restore', 'main', '--lsn', String(position?.['lsn']), '--keep-as', 'emptied');
    expect(await contentsOf(main)).toEqual(before);
    expected.set(main, before);
    // What the branch had is not lost, either.
    const { url: emptied } = await varve<{ url: string }>('endpoint', 'create', 'emptied');
    const rest = await contentsOf(emptied);
    expect(rest.count).toBe(ROWS + 1 - 50_000);
    await varve('endpoint', 'delete', 'emptied');
  });

  test('a server of the past shows it, and takes nothing', { timeout: TIMEOUT_MS }, async () => {
    const { url: past } = await varve<{ url: string }>(
      ...['endpoint', 'create', 'main', '--read-only', '--at', loadedAt],
    );
    // That was before main began anew, and is what the branch has that main was then.
    expect(await contentsOf(past)).toEqual(loaded);
    await expect(query(past, 'DELETE FROM notes')).rejects.toThrow('read-only transaction');
    expected.set(past, loaded);
  });

  test('who comes to a suspended server wakes it', { timeout: TIMEOUT_MS }, async () => {
    await varve('endpoint', 'suspend', 'main');
    const [status] = (await varve<{ branches: { endpoints: { state: string }[] }[] }>('status')).branches;
    expect(status?.endpoints).toContainEqual(
      expect.objectContaining({ kind: 'primary', state: 'suspended' }),
    );
    await expectAll();
  });

  test('after a stop all is there', { timeout: TIMEOUT_MS }, async () => {
    const before = main;
    await stop();
    await start();
    expect(main).toBe(before);
    expect(await contentsOf(main)).toEqual(expected.get(main));
  });

  test("all is there without the computes' directories", { timeout: TIMEOUT_MS }, async () => {
    await stop();
    await rm(below('computes'), { recursive: true });
    await start();
    await expectAll();
  });

  test("all is there without the pageserver's disk, after a kill -9", { timeout: TIMEOUT_MS }, async () => {
    // The last of it is on safekeepers only.
    await query(main, "INSERT INTO notes VALUES (-2, 'just before')");
    expected.set(main, await contentsOf(main));
    expect(await system.kill('SIGKILL')).toBe('SIGKILL');
    await world.untilNothingIsLeft();
    expect(await readdir(below('pageserver'))).toContain('tenants');
    await rm(below('pageserver'), { recursive: true });
    await start();
    await expectAll();
  });

  test('all is there without any disk of pageserver, computes and a safekeeper', {
    timeout: TIMEOUT_MS,
  }, async () => {
    await query(main, "INSERT INTO notes VALUES (-3, 'once more')");
    expected.set(main, await contentsOf(main));
    expect(await system.kill('SIGKILL')).toBe('SIGKILL');
    await world.untilNothingIsLeft();
    for (const name of ['pageserver', 'computes', 'safekeeper-2']) await rm(below(name), { recursive: true });
    await start();
    expect(await contentsOf(main)).toEqual(expected.get(main));
    // It goes on, with the majority that is left.
    await query(main, "INSERT INTO notes VALUES (-4, 'and on')");
    expect((await contentsOf(main)).count).toBe(ROWS + 4);
  });

  test('all is there when the bucket and the control plane are all that is left', {
    timeout: TIMEOUT_MS,
  }, async () => {
    expected.set(main, await contentsOf(main));
    await stop();
    for (const name of await readdir(world.directory)) {
      if (/^(?:pageserver|computes|logs|safekeeper-\d)$/.test(name))
        await rm(below(name), { recursive: true });
    }
    const started = await world.start('--api-port', '0');
    system = started.process;
    // WAL that no majority has is nothing that a server goes on from by itself. All else is up.
    expect(started.ready).toMatchObject({
      url: null,
      failure: { code: 'WAL_LOST', message: expect.stringContaining('‘varve branch restore main --lsn ') },
    });
    const { branches } = await varve<{
      branches: { branch: string; pageserver: { lastRecordLsn: string } }[];
    }>('status');
    const found = branches.filter(({ branch }) => ['main', 'dev'].includes(branch));
    expect(found).toHaveLength(2);
    for (const { branch, pageserver } of found) {
      await varve(
        'branch',
        'restore',
        branch,
        '--lsn',
        pageserver.lastRecordLsn,
        '--keep-as',
        `${branch}-lost`,
      );
    }
    await varve('endpoint', 'start', 'main');
    await expectAll();
    await query(main, "INSERT INTO notes VALUES (-5, 'on three safekeepers')");
    expect((await contentsOf(main)).count).toBe(ROWS + 5);
  });
});
