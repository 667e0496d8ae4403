import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectVarve, startVarve, type Varve } from '../../src/index.ts';

const ROOT = join(import.meta.dirname, '../..');
const TIMEOUT_MS = 90_000;

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** Those that were started with the directory's name. */
function processesOf(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
        return command.includes(directory) ? [`${pid} ${command}`] : [];
      } catch {
        // It has ended.
        return [];
      }
    });
}

async function untilNoProcess(directory: string): Promise<void> {
  const untilMs = performance.now() + 10_000;
  while (processesOf(directory).length > 0) {
    if (performance.now() > untilMs) throw new Error(`still there: ${processesOf(directory).join(', ')}`);
    await delay(10);
  }
}

/** A time of the server's that no commit shares a millisecond with. */
async function timeBetween(url: string): Promise<Date> {
  const [row] = await query(url, 'SELECT pg_sleep(0.005), clock_timestamp() AS now');
  await query(url, 'SELECT pg_sleep(0.005)');
  return row?.['now'] as Date;
}

async function branchNames({ api, directory }: Varve): Promise<string[]> {
  const token = (await readFile(join(directory, 'keys/api-token'), 'utf8')).trim();
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${api}/api/v1/projects/main/branches`, { headers });
  const { branches } = (await answer.json()) as { readonly branches: readonly { readonly name: string }[] };
  return branches.map(({ name }) => name);
}

describe('a system of the library', () => {
  let varve: Varve;

  beforeAll(async () => {
    varve = await startVarve();
    await query(varve.url, 'CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)');
  }, TIMEOUT_MS);

  afterAll(async () => {
    await varve?.stop();
  }, TIMEOUT_MS);

  test('five branches at the same time: each has its own rows', { timeout: TIMEOUT_MS }, async () => {
    const sums = await Promise.all(
      [10, 20, 30, 40, 50].map(async (own) => {
        await using branch = await varve.branch();
        await query(branch.url, `INSERT INTO kept VALUES (${own})`);
        return await query(branch.url, 'SELECT sum(a)::int AS sum FROM kept');
      }),
    );
    expect(sums).toEqual([11, 21, 31, 41, 51].map((sum) => [{ sum }]));
    expect(await query(varve.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    expect(await branchNames(varve)).toEqual(['main']);
  });

  test('a branch at a time, of a branch, of an LSN; and reset', { timeout: TIMEOUT_MS }, async () => {
    await using branch = await varve.branch({ name: 'with-history' });
    expect(branch.name).toBe('with-history');
    const before = await timeBetween(branch.url);
    await query(branch.url, 'DELETE FROM kept');
    const [lsn] = await query(branch.url, 'SELECT pg_current_wal_flush_lsn()::text AS lsn');
    await query(branch.url, 'INSERT INTO kept VALUES (2)');
    {
      await using past = await branch.at(before);
      expect(await query(past.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
      await expect(query(past.url, 'DELETE FROM kept')).rejects.toThrow('read-only');
    }
    {
      await using atTime = await varve.branch({ parent: branch.id, at: before.toISOString() });
      expect(await query(atTime.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
      await using atLsn = await varve.branch({ parent: branch.name, lsn: lsn?.['lsn'] as string });
      expect(await query(atLsn.url, 'SELECT a FROM kept')).toEqual([]);
      await expect(branch.delete()).rejects.toMatchObject({ code: 'BRANCH_HAS_CHILDREN' });
    }
    expect(await query(branch.url, 'SELECT a FROM kept')).toEqual([{ a: 2 }]);
    await branch.reset();
    expect(await query(branch.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    await branch.delete();
    await branch.delete();
    await expect(query(branch.url, 'SELECT')).rejects.toThrow('ECONNREFUSED');
  });

  test('what is wrong is refused by its code, and leaves no branch', { timeout: TIMEOUT_MS }, async () => {
    const future = new Date(Date.now() + 3_600_000);
    await expect(varve.branch({ at: future })).rejects.toMatchObject({ code: 'TIME_IN_FUTURE' });
    await expect(varve.branch({ at: 'yesterday' })).rejects.toMatchObject({ code: 'BAD_TIME' });
    await expect(varve.branch({ lsn: 'here' })).rejects.toMatchObject({ code: 'BAD_LSN' });
    await expect(varve.branch({ parent: 'nobody' })).rejects.toMatchObject({ code: 'BRANCH_NOT_FOUND' });
    await expect(varve.branch({ name: 'main' })).rejects.toMatchObject({ code: 'BRANCH_EXISTS' });
    await expect(varve.branch({ lsn: '0/1' })).rejects.toMatchObject({ code: 'BAD_BRANCH_POINT' });
    await expect(varve.branch({ at: new Date(0) })).rejects.toMatchObject({ code: 'BAD_BRANCH_POINT' });
    expect(await branchNames(varve)).toEqual(['main']);
    await expect(startVarve({ directory: varve.directory })).rejects.toMatchObject({
      code: 'SYSTEM_RUNNING',
    });
  });

  test('another project, and another process’s view of all', { timeout: TIMEOUT_MS }, async () => {
    const other = await connectVarve({ directory: varve.directory });
    const project = await other.project('second');
    await query(project.url, 'CREATE TABLE of_second (a int)');
    await using branch = await project.branch();
    expect(await query(branch.url, 'SELECT a FROM of_second')).toEqual([]);
    expect((await varve.project('second')).url).toBe(project.url);
    expect((await varve.project('main')).url).toBe(varve.url);
    await branch.delete();
    await project.delete();
    await other.stop();
    // It was somebody else's.
    expect(await query(varve.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
  });

  test('a second system beside it; stopped, nothing is left of it', { timeout: TIMEOUT_MS }, async () => {
    let directory: string;
    {
      await using second = await startVarve({ safekeepers: 1, suspendAfterSeconds: 0, logLevel: 'warn' });
      directory = second.directory;
      expect(second.url).not.toBe(varve.url);
      await using _left = await second.branch();
      expect(processesOf(directory)).not.toEqual([]);
      await second.stop();
    }
    expect(processesOf(directory)).toEqual([]);
    expect(existsSync(directory)).toBe(false);
    await expect(connectVarve({ directory })).rejects.toMatchObject({ code: 'NOT_RUNNING' });
  });
});

test('a start that fails says why, and leaves nothing', { timeout: TIMEOUT_MS }, async () => {
  const list = (): string[] => readdirSync(tmpdir()).filter((name) => /^varve-\w{6}$/.test(name));
  const before = list();
  await expect(startVarve({ postgresMajor: 11 })).rejects.toMatchObject({ code: 'WRONG_POSTGRES_MAJOR' });
  await expect(startVarve({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(list().filter((name) => !before.includes(name))).toEqual([]);
});

test('a directory of one’s own stays, with what is in it', { timeout: TIMEOUT_MS }, async () => {
  const top = await mkdtemp(join(tmpdir(), 'varve-library-'));
  try {
    const directory = join(top, 'kept');
    {
      await using first = await startVarve({ directory });
      await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS a');
    }
    await using second = await startVarve({ directory });
    expect(await query(second.url, 'SELECT a FROM kept')).toEqual([{ a: 7 }]);
  } finally {
    await rm(top, { recursive: true, force: true });
  }
});

test('it ends with the process that has started it, killed at that', { timeout: TIMEOUT_MS }, async () => {
  const program = `
    import { startVarve } from ${JSON.stringify(join(ROOT, 'src/index.ts'))};
    const varve = await startVarve();
    console.log(varve.directory);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const directory = await new Promise<string>((resolve) => {
    child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
  });
  try {
    expect(processesOf(directory)).not.toEqual([]);
    child.kill('SIGKILL');
    await untilNoProcess(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

/** A project that depends on the package, as npm would have it, but that the package is taken as it lies in the repository. */
async function makeProject(): Promise<{ readonly directory: string } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-example-'));
  const modules = join(directory, 'node_modules');
  await mkdir(join(modules, 'varve'), { recursive: true });
  const manifest = { name: 'varve', type: 'module', exports: './src/index.ts' };
  await writeFile(join(modules, 'varve/package.json'), JSON.stringify(manifest));
  await symlink(join(ROOT, 'src'), join(modules, 'varve/src'));
  for (const name of ['pg', 'vitest']) await symlink(join(ROOT, 'node_modules', name), join(modules, name));
  return { directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

async function run(directory: string, ...args: string[]): Promise<{ code: unknown; output: string }> {
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST'));
  const child = spawn(process.execPath, args, {
    cwd: directory,
    env: Object.fromEntries(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, output };
}

test('the example for Vitest, as a project of its own', { timeout: TIMEOUT_MS }, async () => {
  await using project = await makeProject();
  const { directory } = project;
  await cp(join(ROOT, 'examples/vitest'), directory, { recursive: true });
  const results = join(directory, 'results.json');
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const { code, output } = await run(directory, vitest, 'run', '--reporter=json', `--outputFile=${results}`);
  expect(code, output).toBe(0);
  expect(JSON.parse(await readFile(results, 'utf8'))).toMatchObject({ numTotalTests: 3, numPassedTests: 3 });
});

test('the program of docs/library.md prints what it says', { timeout: TIMEOUT_MS }, async () => {
  await using project = await makeProject();
  const page = await readFile(join(ROOT, 'docs/library.md'), 'utf8');
  const [program = ''] = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  await writeFile(join(project.directory, 'program.mts'), program);
  const promised = [...program.matchAll(/; \/\/ (\[.*\])$/gm)].map(([, printed]) => `${printed}\n`);
  expect(promised).toHaveLength(2);
  expect(await run(project.directory, 'program.mts')).toEqual({ code: 0, output: promised.join('') });
});
