import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { query, type Ready, SystemWorld } from '../system/system-world.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const TIMEOUT_MS = 90_000;

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs a command to its end, as a person does, with something on its standard input. */
async function varve(args: readonly string[], input = '', path?: string): Promise<Outcome> {
  const environment = path === undefined ? process.env : { ...process.env, PATH: path };
  const child = spawn(process.execPath, [BIN, ...args], { env: environment });
  child.stdin.on('error', () => undefined).end(input);
  const [output, errors, [status]] = await Promise.all([
    readText(child.stdout),
    readText(child.stderr),
    once(child, 'close'),
  ]);
  return { status, output, errors };
}

async function answerOf<Value>(args: readonly string[]): Promise<Value> {
  const { status, output, errors } = await varve([...args, '--json']);
  expect(errors).toBe('');
  expect(status).toBe(0);
  return JSON.parse(output) as Value;
}

async function errorOf(
  args: readonly string[],
): Promise<{ status: number | null; code: string; message: string }> {
  const { status, output, errors } = await varve([...args, '--json']);
  expect(output).toBe('');
  const { code, message } = JSON.parse(errors).error;
  return { status, code, message };
}

describe('projects, branches and endpoints by the command line', () => {
  let world: SystemWorld;
  let ready: Ready;
  let at: readonly string[];

  beforeAll(async () => {
    world = await SystemWorld.make();
    ({ ready } = await world.start('--api-port', '0', '--suspend-after', '0s'));
    at = ['--dir', world.directory];
  }, TIMEOUT_MS);

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  test('a branch has what its parent had, and its own address', { timeout: TIMEOUT_MS }, async () => {
    await query(ready.url, 'CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)');
    const { status, output } = await varve(['branch', 'create', 'dev', ...at]);
    expect(status).toBe(0);
    const [said, url] = output.trimEnd().split('\n') as [string, string];
    expect(said).toMatch(/^made the branch dev at [0-9A-F]+\/[0-9A-F]+$/);
    expect(url).not.toBe(ready.url);
    expect(await query(url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    await query(url, 'DROP TABLE kept');
    expect(await query(ready.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    expect(await varve(['url', 'dev', ...at])).toEqual({ status: 0, output: `${url}\n`, errors: '' });
    expect(await answerOf(['url', 'dev', ...at])).toEqual({ url });

    const { output: table } = await varve(['branch', 'list', ...at]);
    const [head, ...rows] = table.trimEnd().split('\n');
    expect(head).toMatch(/^name +parent +from +state +created +id$/);
    expect(rows).toEqual([
      expect.stringMatching(/^main +- +- +ready, default +20.* br-/),
      expect.stringMatching(/^dev +main +[0-9A-F/]+ +ready +20.* br-/),
    ]);
  });

  test('a branch goes back, and what it had is kept', { timeout: TIMEOUT_MS }, async () => {
    const { branch } = await answerOf<{ branch: { ancestorLsn: string } }>([
      ...['branch', 'create', 'early', '--no-endpoint', ...at],
    ]);
    await query(ready.url, 'INSERT INTO kept VALUES (2)');
    const { status, output } = await varve([
      ...['branch', 'restore', 'main', '--lsn', branch.ancestorLsn, '--keep-as', 'later', ...at],
    ]);
    expect({ status, output }).toEqual({
      status: 0,
      output: 'restored main; what it had is the branch later\n',
    });
    expect(await query(ready.url, 'SELECT a FROM kept')).toEqual([{ a: 1 }]);
    const { url } = await answerOf<{ url: string }>(['endpoint', 'create', 'later', ...at]);
    expect(await query(url, 'SELECT a FROM kept ORDER BY 1')).toEqual([{ a: 1 }, { a: 2 }]);
    await answerOf(['branch', 'reset', 'main', ...at]);
    expect(await query(ready.url, 'SELECT count(*)::int AS n FROM kept')).toEqual([{ n: 2 }]);
  });

  test('SQL from an option, from a pipe, and by psql', { timeout: TIMEOUT_MS }, async () => {
    const rows = await varve(['connect', 'main', ...at, '-c', "SELECT 1 AS one; SELECT ';' AS text"]);
    expect(rows).toEqual({
      status: 0,
      output: ' one\n-----\n   1\n(1 row)\n\n text\n------\n ;\n(1 row)\n\n',
      errors: '',
    });
    const piped = await varve(
      ['connect', 'main', ...at, '--json'],
      'SELECT 1\n  AS one;\nSELECT nothing; SELECT 2',
    );
    expect(piped.output).toBe('{"columns":["one"],"rows":[["1"]],"commandTag":"SELECT 1"}\n');
    expect(piped.status).toBe(2);
    expect(JSON.parse(piped.errors).error.message).toBe('column "nothing" does not exist');

    const directory = await mkdtemp(join(tmpdir(), 'varve-psql-'));
    try {
      const psql = join(directory, 'psql');
      await writeFile(psql, '#!/bin/sh\necho "$@"; exit 3\n');
      await chmod(psql, 0o755);
      const path = `${directory}:/usr/bin:/bin`;
      const { status, output } = await varve(['connect', 'main', ...at, '--', '-A', '-t'], '', path);
      expect({ status, output }).toEqual({ status: 3, output: `${ready.url} -A -t\n` });
      const own = await varve(['connect', 'main', ...at, '--no-psql'], 'SELECT 1 AS one', path);
      expect(own).toMatchObject({ status: 0, output: ' one\n-----\n   1\n(1 row)\n\n' });
      await rm(psql);
      const missing = await varve(['connect', 'main', ...at, '--', '-A'], '', directory);
      expect(missing).toMatchObject({ status: 5, errors: expect.stringContaining('psql is not on PATH') });
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('a server is stopped, and the way to start it is said', { timeout: TIMEOUT_MS }, async () => {
    await answerOf(['endpoint', 'stop', 'dev', ...at]);
    const refused = await errorOf(['url', 'dev', ...at]);
    expect(refused).toMatchObject({ status: 5, code: 'ENDPOINT_STOPPED' });
    const advice = /‘varve (endpoint start .*)’/.exec(refused.message)?.[1]?.split(' ') ?? [];
    expect(await answerOf(advice)).toMatchObject({ endpoint: { state: 'active' } });
    await answerOf(['endpoint', 'suspend', 'dev', ...at]);
    // Whoever connects wakes it.
    const { output } = await varve(['connect', 'dev', ...at, '-c', 'SELECT 1 AS one']);
    expect(output).toContain('(1 row)');
    expect(await errorOf(['url', 'early', ...at])).toMatchObject({ status: 5, code: 'NO_ENDPOINT' });
    expect(await errorOf(['endpoint', 'create', 'dev', ...at])).toMatchObject({
      status: 4,
      code: 'PRIMARY_EXISTS',
    });
  });

  test('a project of its own', { timeout: TIMEOUT_MS }, async () => {
    await answerOf(['project', 'create', 'other', '--branch', 'trunk', ...at]);
    const there = [...at, '--project', 'other'];
    const { endpoints } = await answerOf<{ endpoints: unknown[] }>(['endpoint', 'list', ...there]);
    expect(endpoints).toEqual([]);
    const { url } = await answerOf<{ url: string }>(['endpoint', 'create', 'trunk', ...there]);
    expect(await query(url, "SELECT to_regclass('kept') AS kept")).toEqual([{ kept: null }]);
    await answerOf(['project', 'delete', 'other', ...at]);
    expect((await varve(['project', 'list', ...at])).output).not.toContain('other');
  });

  test('what cannot be is refused, and nothing is changed', { timeout: TIMEOUT_MS }, async () => {
    const before = await answerOf(['branch', 'list', ...at]);
    const refusals: [readonly string[], number, string][] = [
      [['branch', 'create', 'dev'], 4, 'BRANCH_EXISTS'],
      [['branch', 'create', '../dev'], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', "a'; DROP TABLE branches"], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', 'a'.repeat(64)], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', ''], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', 'new', '--parent', 'nobody'], 3, 'BRANCH_NOT_FOUND'],
      [['branch', 'create', 'new', '--at', '2999-01-01T00:00:00Z'], 2, 'TIME_IN_FUTURE'],
      [['branch', 'create', 'new', '--at', 'yesterday'], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', 'new', '--at', '99999d'], 2, 'INVALID_ARGUMENT'],
      [['branch', 'create', 'new', '--lsn', '0/1', '--at', '1h'], 2, 'CONFLICTING_OPTIONS'],
      [['branch', 'create', 'new', '--expires', '2001-01-01T00:00:00Z'], 2, 'BAD_EXPIRY'],
      [['branch', 'delete', '..'], 2, 'INVALID_ARGUMENT'],
      [['branch', 'delete', 'nobody'], 3, 'BRANCH_NOT_FOUND'],
      [['branch', 'restore', 'dev'], 2, 'MISSING_ARGUMENT'],
      [['branch', 'rename', 'dev', 'main'], 4, 'BRANCH_EXISTS'],
      [['branch', 'list', '--project', 'nobody'], 3, 'PROJECT_NOT_FOUND'],
      [['branch', 'list', '--token-path', 'nowhere'], 2, 'MISSING_ARGUMENT'],
      [['endpoint', 'create', 'dev', '--at', '1h'], 2, 'CONFLICTING_OPTIONS'],
      [['endpoint', 'start', 'ep-0123456789abcdef'], 3, 'ENDPOINT_NOT_FOUND'],
      [['endpoint', 'start', 'early'], 3, 'ENDPOINT_NOT_FOUND'],
    ];
    const waiting = refusals.values();
    const judge = async (): Promise<void> => {
      for (const [args, status, code] of waiting) {
        const refused = await errorOf([...args, ...at]);
        expect([args, refused.status, refused.code]).toEqual([args, status, code]);
      }
    };
    await Promise.all(Array.from({ length: 4 }, judge));
    expect(await answerOf(['branch', 'list', ...at])).toEqual(before);
  });

  test('a protected branch stays until it is not', { timeout: TIMEOUT_MS }, async () => {
    await answerOf(['branch', 'protect', 'dev', ...at]);
    expect(await errorOf(['branch', 'delete', 'dev', ...at])).toMatchObject({ code: 'BRANCH_PROTECTED' });
    await answerOf(['branch', 'unprotect', 'dev', ...at]);
    expect(await answerOf(['branch', 'expire', 'dev', '2h', ...at])).toMatchObject({
      branch: { expiresAt: expect.any(String) },
    });
    expect(await answerOf(['branch', 'expire', 'dev', 'never', ...at])).toMatchObject({
      branch: { expiresAt: null },
    });
    await answerOf(['branch', 'rename', 'dev', 'feature/dev', ...at]);
    expect(await answerOf(['branch', 'delete', 'feature/dev', ...at])).toEqual({ deleted: true });
    expect(await errorOf(['url', 'feature/dev', ...at])).toMatchObject({
      status: 3,
      code: 'BRANCH_NOT_FOUND',
    });
  });

  test('from elsewhere, with a token', { timeout: TIMEOUT_MS }, async () => {
    const tokenPath = join(world.directory, 'keys', 'api-token');
    expect(await answerOf(['project', 'list', '--api', ready.api, '--token-path', tokenPath])).toMatchObject({
      projects: [{ name: 'main' }],
    });
    const refused = await errorOf(['project', 'list', '--api', ready.api]);
    expect(refused).toMatchObject({ status: 5, code: 'TOKEN_MISSING' });
    expect(refused.message).toContain('--token-path');
  });
});

test('without a system the way to start one is said', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'varve-none-'));
  try {
    for (const args of [
      ['branch', 'list'],
      ['url', 'main'],
      ['connect', 'main'],
    ]) {
      const { status, code, message } = await errorOf([...args, '--dir', directory]);
      expect({ status, code }).toEqual({ status: 5, code: 'NOT_RUNNING' });
      expect(message).toContain('‘varve start');
    }
  } finally {
    await rm(directory, { recursive: true });
  }
  const { status, code } = await errorOf(['branch', 'list', '--api', 'http://127.0.0.1:1']);
  expect({ status, code }).toEqual({ status: 6, code: 'API_UNREACHABLE' });
});
