// A stock server on storage, as `varve compute` runs it: everything in processes of their own.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRunning, listChildren, readProcess } from '../../src/io/node/process-table.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import { connect, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 20_000, interval: 20 };
/** docs/exit-codes.md */
const EXIT_BAD_REQUEST = 2;
const EXIT_CONFLICT = 4;
const EXIT_FENCED = 7;

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** The server's processes that still run. */
const runningOf = (pids: readonly { pid: number; startTime: string }[]): number[] =>
  pids.filter(isRunning).map(({ pid }) => pid);

function serverProcesses(postmasterPid: number): { pid: number; startTime: string }[] {
  const postmaster = readProcess(postmasterPid);
  if (postmaster === undefined) throw new Error('the server does not run');
  return [postmaster, ...listChildren(postmasterPid)];
}

test('what was committed is there after a stop, in another directory, with every step timed', {
  timeout: TIMEOUT_MS,
}, async () => {
  const first = world.spawnCompute(world.main, 'compute-1', ['--set', 'work_mem=7MB']);
  const { url, steps } = await readyLine(first);
  expect(Object.keys(steps)).toEqual([
    'prepare',
    'elect',
    'start set',
    'guard',
    'hand over',
    'server',
    'attach',
    'list',
    'lease',
  ]);
  expect(await query(url, 'SHOW work_mem')).toEqual([{ work_mem: '7MB' }]);
  await query(url, 'CREATE TABLE kept (id int PRIMARY KEY, note text)');
  await query(url, "INSERT INTO kept SELECT i, 'x' || i FROM generate_series(1, 1000) i");
  expect(await first.kill('SIGTERM')).toBe(0);
  expect(readdirSync(join(world.directory, 'compute-1'))).toEqual(['compute.id']);
  const second = world.spawnCompute(world.main, 'compute-2', ['--fill']);
  const again = await readyLine(second);
  expect(Object.keys(again.steps)).toContain('fill');
  expect(await query(again.url, 'SELECT count(*)::int AS n, max(note) AS note FROM kept')).toEqual([
    { n: 1000, note: 'x999' },
  ]);
  expect(await second.kill('SIGTERM')).toBe(0);
});

test('after a crash of a backend the server starts anew from storage, with all that was acknowledged', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-3');
  const { url, pid, term } = await readyLine(agent);
  await query(url, 'CREATE TABLE counted (id int PRIMARY KEY)');
  const client = await connect(url);
  let acknowledged = 0;
  const [{ backend }] = (await client.query('SELECT pg_backend_pid() AS backend')).rows as [
    { backend: number },
  ];
  const traffic = (async () => {
    for (;;) {
      await client.query('INSERT INTO counted VALUES ($1)', [acknowledged + 1]);
      acknowledged++;
    }
  })();
  const lost = expect(traffic).rejects.toThrow();
  await expect.poll(() => acknowledged, POLL).toBeGreaterThan(50);
  const before = serverProcesses(pid);
  process.kill(backend, 'SIGKILL');
  await lost;
  const again = await readyLine(agent);
  expect(again.term).toBeGreaterThan(term);
  expect(runningOf(before)).toEqual([]);
  const [row] = (await query(again.url, 'SELECT count(*)::int AS n FROM counted')) as [{ n: number }];
  // The one that was on its way may have come in, unacknowledged.
  expect([acknowledged, acknowledged + 1]).toContain(row.n);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a later compute of the branch fences the one before, whose server is killed', {
  timeout: TIMEOUT_MS,
}, async () => {
  const first = world.spawnCompute(world.main, 'compute-4');
  const { url, pid } = await readyLine(first);
  await query(url, 'CREATE TABLE shared_rows (id int PRIMARY KEY)');
  await query(url, 'INSERT INTO shared_rows VALUES (1)');
  const before = serverProcesses(pid);
  const second = world.spawnCompute(world.main, 'compute-5');
  const later = await readyLine(second);
  // Nobody takes its WAL: it gets to know at its next commit at the latest.
  await expect(query(url, 'INSERT INTO shared_rows VALUES (2)')).rejects.toThrow();
  expect(await first.ended).toBe(EXIT_FENCED);
  expect(first.errorText).toMatch(/fenced/);
  expect(runningOf(before)).toEqual([]);
  expect(await query(later.url, 'SELECT id FROM shared_rows')).toEqual([{ id: 1 }]);
  expect(await second.kill('SIGTERM')).toBe(0);
});

test('the server does not outlive its agent, and the next one works in the same directory', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-6');
  const { url, pid } = await readyLine(agent);
  await query(url, 'CREATE TABLE survivors (id int)');
  const before = serverProcesses(pid);
  await agent.kill('SIGKILL');
  await expect.poll(() => runningOf(before), POLL).toEqual([]);
  const next = world.spawnCompute(world.main, 'compute-6');
  expect(await query((await readyLine(next)).url, 'SELECT * FROM survivors')).toEqual([]);
  expect(await next.kill('SIGTERM')).toBe(0);
});

test('a setting that durability rests on is refused, and the directory is left alone', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-7', ['--set', 'fsync=on']);
  expect(await agent.ended).toBe(EXIT_BAD_REQUEST);
  expect(JSON.parse(agent.errorText).error).toMatchObject({ code: 'SETTING_FIXED' });
});

test('what durability rests on cannot be changed by SQL', { timeout: TIMEOUT_MS }, async () => {
  const agent = world.spawnCompute(world.main, 'compute-8');
  const { url } = await readyLine(agent);
  const names = [
    'synchronous_standby_names',
    'fsync',
    'full_page_writes',
    'restart_after_crash',
    'wal_level',
  ];
  for (const name of names) {
    const [shown] = (await query(url, `SHOW ${name}`)) as [Record<string, unknown>];
    await query(url, `ALTER SYSTEM RESET ${name}`);
    await query(url, 'SELECT pg_reload_conf()');
    expect(await query(url, `SHOW ${name}`)).toEqual([shown]);
  }
  expect(readFileSync(join(world.directory, 'compute-8', 'data', 'postgresql.auto.conf'), 'utf8')).toMatch(
    /^#/,
  );
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('prepared transactions, sequences and unlogged tables come over a restart as after a crash', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-9');
  const { url } = await readyLine(agent);
  await query(url, 'CREATE TABLE held (id int PRIMARY KEY)');
  await query(url, 'CREATE UNLOGGED TABLE scratch AS SELECT 1 AS id');
  await query(url, 'CREATE SEQUENCE numbers');
  await query(url, "SELECT nextval('numbers') FROM generate_series(1, 10)");
  const client = await connect(url);
  await client.query('BEGIN');
  await client.query('INSERT INTO held VALUES (1)');
  await client.query("PREPARE TRANSACTION 'kept'");
  await client.end();
  expect(await agent.kill('SIGKILL')).toBe('SIGKILL');
  const next = world.spawnCompute(world.main, 'compute-9', ['--set', 'max_prepared_transactions=0']);
  const again = (await readyLine(next)).url;
  expect(await query(again, 'SELECT gid FROM pg_prepared_xacts')).toEqual([{ gid: 'kept' }]);
  expect(await query(again, 'SELECT * FROM held')).toEqual([]);
  await query(again, "COMMIT PREPARED 'kept'");
  expect(await query(again, 'SELECT * FROM held')).toEqual([{ id: 1 }]);
  expect(await query(again, 'SELECT * FROM scratch')).toEqual([]);
  const [row] = (await query(again, "SELECT nextval('numbers')::int AS n")) as [{ n: number }];
  expect(row.n).toBeGreaterThan(10);
  expect(row.n).toBeLessThanOrEqual(10 + 1 + 32);
  expect(await next.kill('SIGTERM')).toBe(0);
});

test('a read-only compute has the branch as of its LSN, while another writes, and can write nothing', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-10', ['--set', 'max_connections=120']);
  const { url } = await readyLine(agent);
  await query(url, 'CREATE TABLE history (id int PRIMARY KEY)');
  await query(url, 'INSERT INTO history VALUES (1)');
  const [{ lsn }] = (await query(url, 'SELECT pg_current_wal_lsn()::text AS lsn')) as [{ lsn: string }];
  await query(url, 'INSERT INTO history VALUES (2)');
  const past = world.spawnCompute(world.main, 'compute-11', ['--read-only', '--at', lsn]);
  const { url: pastUrl, steps } = await readyLine(past);
  expect(Object.keys(steps)).toContain('lease');
  expect(await query(pastUrl, 'SELECT * FROM history')).toEqual([{ id: 1 }]);
  await expect(query(pastUrl, 'INSERT INTO history VALUES (3)')).rejects.toThrow(/read-only transaction/);
  await expect(query(pastUrl, 'BEGIN READ WRITE')).rejects.toThrow(/recovery/);
  await query(url, 'INSERT INTO history VALUES (4)');
  expect(await past.kill('SIGTERM')).toBe(0);
  expect(await query(url, 'SELECT count(*)::int AS n FROM history')).toEqual([{ n: 3 }]);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('one directory is one compute’s', { timeout: TIMEOUT_MS }, async () => {
  const agent = world.spawnCompute(world.main, 'compute-12');
  const { url } = await readyLine(agent);
  const other = world.spawnCompute(world.main, 'compute-12');
  expect(await other.ended).toBe(EXIT_CONFLICT);
  expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(await agent.kill('SIGTERM')).toBe(0);
});

test('a standby follows its branch, and reads what was acknowledged', {
  timeout: TIMEOUT_MS,
}, async () => {
  const agent = world.spawnCompute(world.main, 'compute-13');
  const { url } = await readyLine(agent);
  await query(url, 'CREATE TABLE followed (id int PRIMARY KEY)');
  await query(url, 'INSERT INTO followed SELECT generate_series(1, 5000)');
  // The start of a standby takes WAL for made-up records, in front of where it begins.
  await query(
    url,
    'CREATE TABLE ballast AS SELECT i, repeat(md5(i::text), 8) AS text FROM generate_series(1, 2000) i',
  );
  const standby = world.spawnCompute(world.main, 'compute-14', ['--standby']);
  const { url: standbyUrl } = await readyLine(standby);
  expect(await query(standbyUrl, 'SELECT pg_is_in_recovery() AS yes')).toEqual([{ yes: true }]);
  await query(url, 'INSERT INTO followed VALUES (5001)');
  const count = async (): Promise<unknown> =>
    (await query(standbyUrl, 'SELECT count(*)::int AS n FROM followed'))[0]?.['n'];
  await expect.poll(count, POLL).toBe(5001);
  await expect(query(standbyUrl, 'DELETE FROM followed')).rejects.toThrow(/read-only transaction/);
  expect(await standby.kill('SIGTERM')).toBe(0);
  expect(await agent.kill('SIGTERM')).toBe(0);
});
