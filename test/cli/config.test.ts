import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, describe, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { variablesOf } from '../../src/cli/configuration/environment.ts';
import { leavesOf, sectionsOf } from '../../src/cli/configuration/sections.ts';
import { maskSecrets } from '../../src/cli/configuration/setting.ts';
import type { CliContext } from '../../src/cli/context.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { nodeFiles } from '../../src/io/node/files.ts';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'varve-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

type Environment = Record<string, string>;

interface Shown {
  readonly section: string;
  readonly option: string;
  readonly value: string | null;
  readonly source: string;
  readonly variable?: string;
  readonly file?: string;
  readonly line?: number;
}

let files = 0;

function writeToml(text: string): string {
  const path = join(directory, `${++files}.toml`);
  writeFileSync(path, text);
  return path;
}

function prepare(environment: Environment): { program: Command; written: { out: string } } {
  const written = { out: '' };
  const context: CliContext = {
    version: '1.2.3',
    runtime: { version: 'v24.0.0', platform: 'linux-x64' },
    isJson: true,
    output: {
      isTerminal: false,
      write: async (text) => void (written.out += text),
      writeJson: async (value) => void (written.out += JSON.stringify(value)),
    },
    diagnostics: { isTerminal: false, write: () => undefined, nowMs: () => 0 },
    files: nodeFiles,
    environment,
    answerNo: () => undefined,
  };
  return { program: makeProgram(context, () => undefined), written };
}

/** What `varve config` shows. */
async function show(args: readonly string[], environment: Environment = {}): Promise<Shown[]> {
  const { program, written } = prepare(environment);
  await program.parseAsync(['config', ...args], { from: 'user' });
  return (JSON.parse(written.out) as { options: Shown[] }).options;
}

/** What a command is given in the end, without being run. */
async function flagsOf(args: readonly string[], environment: Environment = {}): Promise<object> {
  const { program } = prepare(environment);
  let seen: object | undefined;
  for (const command of leavesOf(program)) command.action(() => void (seen = command.opts()));
  await program.parseAsync(args, { from: 'user' });
  if (seen === undefined) throw new Error('no command was run');
  return seen;
}

async function failureOf(doing: Promise<unknown>): Promise<{ code: string; reason: string }> {
  try {
    await doing;
  } catch (error) {
    if (error instanceof VarveError) return { code: error.code, reason: error.reason };
    throw error;
  }
  throw new Error('nothing has failed');
}

describe('precedence', () => {
  const file = writeToml('[start]\nport = 1001\npg = 16\nhost = "::1"\nprocesses = true\n');
  const config = ['--config', file];

  test('a flag counts before the environment, that before the file, that before the default', async () => {
    const environment = { VARVE_START_PORT: '1002', VARVE_PORT: '1003', VARVE_PG: '15' };
    expect(await flagsOf([...config, 'start', '--port', '1004'], environment)).toMatchObject({ port: 1004 });
    const flags = await flagsOf([...config, 'start'], environment);
    expect(flags).toMatchObject({ port: 1002, pg: 15, host: '::1', processes: true, safekeepers: 3 });
    expect(await flagsOf([...config, 'start'], { VARVE_PORT: '1003' })).toMatchObject({ port: 1003 });
    expect(await flagsOf([...config, 'start'])).toMatchObject({ port: 1001, pg: 16 });
    expect(await flagsOf(['start', '--config', file])).toMatchObject({ port: 1001 });
    expect(await flagsOf(['start'], { VARVE_CONFIG: file })).toMatchObject({ port: 1001 });
  });

  test('what is shown says which of them it was', async () => {
    const shown = await show([...config, 'start', '--effective', '--host', 'here'], { VARVE_PG: '15' });
    const of = (option: string) => shown.find((each) => each.option === option);
    expect(of('host')).toEqual({ section: 'start', option: 'host', value: 'here', source: 'flag' });
    expect(of('pg')).toMatchObject({ value: '15', source: 'environment', variable: 'VARVE_PG' });
    expect(of('port')).toMatchObject({ value: '1001', source: 'file', file, line: 2 });
    expect(of('safekeepers')).toMatchObject({ value: '3', source: 'default' });
    expect(of('suspend-after')).toMatchObject({ value: '5m', source: 'default' });
    expect((await show([...config])).map(({ option }) => option)).toEqual([
      'pg',
      'host',
      'port',
      'processes',
    ]);
  });

  test('--no-config leaves flags only, and an empty variable is none', async () => {
    expect(
      await flagsOf(['--no-config', 'start'], { VARVE_PORT: '1003', VARVE_NONSENSE: '1' }),
    ).not.toHaveProperty('port');
    expect(await flagsOf([...config, 'start'], { VARVE_START_PORT: '' })).toMatchObject({ port: 1001 });
  });

  test('a required option may come from a file', async () => {
    const all = writeToml(
      '[safekeeper]\nid = 2\ndir = "kept"\nlisten-pg = "127.0.0.1:1"\nlisten-http = "127.0.0.1:2"\npeer-recovery = false\n',
    );
    expect(await flagsOf(['safekeeper', '--config', all])).toMatchObject({
      id: 2,
      // Beside the file, wherever the command is given.
      dir: join(directory, 'kept'),
      listenPg: { host: '127.0.0.1', port: 1 },
      peerRecovery: false,
      sync: true,
    });
    await expect(flagsOf(['safekeeper'])).rejects.toThrow("required option '--id <n>' not specified");
  });

  test('settings of a server and lists are written as TOML has them, and flags add to them', async () => {
    const all = writeToml(
      '[compute]\nsafekeepers = ["1=127.0.0.1:1", "2=127.0.0.1:2"]\n[compute.set]\nwork_mem = "8MB"\njit = false\n',
    );
    const rest = [
      '--tenant',
      '1'.repeat(32),
      '--timeline',
      '2'.repeat(32),
      '--pageserver',
      'a:1',
      '--dir',
      'x',
    ];
    const flags = await flagsOf(['compute', '--config', all, ...rest, '--set', 'work_mem=9MB']);
    expect(flags).toMatchObject({ set: { work_mem: '9MB', jit: 'false' } });
    expect((flags as { safekeepers: unknown[] }).safekeepers).toHaveLength(2);
  });
});

describe('who asks a running system', () => {
  const file = writeToml(
    '[start]\ndir = "data"\nport = 1\n[client]\napi = "http://127.0.0.1:5480"\nproject = "shop"\n',
  );

  test('asks where [client] says, or in the directory that start has', async () => {
    const data = join(directory, 'data');
    expect(await flagsOf(['branch', 'list', '--config', file])).toMatchObject({
      dir: data,
      api: 'http://127.0.0.1:5480',
      project: 'shop',
    });
    expect(await flagsOf(['stop', '--config', file])).toEqual({ dir: data });
    expect(
      await flagsOf(['url', 'main'], { VARVE_CLIENT_DIR: '/there', VARVE_START_DIR: '/here' }),
    ).toMatchObject({
      dir: '/there',
    });
  });

  test('a directory that is given by a flag is the one that is asked', async () => {
    const flags = await flagsOf(['branch', 'list', '--config', file, '--dir', '/elsewhere']);
    expect(flags).toMatchObject({ dir: '/elsewhere', api: undefined });
    // What is given by a flag is there to be refused.
    const both = await flagsOf(['branch', 'list', '--token-path', 'x', '--dir', '/elsewhere']);
    expect(both).toMatchObject({ tokenPath: 'x' });
  });
});

describe('what is refused, with where it stands and what was meant', () => {
  test.each([
    ['[strat]\nport = 1\n', 'UNKNOWN_SETTING', /:1: there is no section “strat” \(did you mean start\?\)$/],
    [
      '[start]\n\nprot = 1\n',
      'UNKNOWN_SETTING',
      /:3: there is no option “prot” in \[start\] \(did you mean port\?\)$/,
    ],
    ['[pageserver]\ncolour = 1\n', 'UNKNOWN_SETTING', /:2: there is no option “colour” in \[pageserver\]$/],
    ['[start]\nport = [\n', 'BAD_CONFIGURATION', /:3: this is no TOML: invalid value$/],
    ['start = 1\n', 'BAD_CONFIGURATION', /:1: start is a section/],
    ['[start]\nprocesses = "yes"\n', 'BAD_SETTING', /:2: processes is true or false$/],
    ['[start]\nhost = true\n', 'BAD_SETTING', /:2: host is a text or a number$/],
    ['[start]\nhost = 2026-01-01\n', 'BAD_SETTING', /:2: host is a text or a number$/],
    [
      '[start]\n# a port\nport = 70000\n',
      'INVALID_ARGUMENT',
      /^start.port cannot be “70000” \(.*:3\): The ports are/,
    ],
    [
      '[start]\nlog-level = "loud"\n',
      'INVALID_ARGUMENT',
      /^start.log-level cannot be “loud” .*Allowed choices/,
    ],
    ['[safekeeper]\ninject-sync-delay-ms = 3\n', 'UNKNOWN_SETTING', /:2: there is no option/],
    ['[start]\ndetach = true\n', 'UNKNOWN_SETTING', /:2: there is no option “detach”/],
    ['[compute]\nset = ["a=b"]\n', 'BAD_SETTING', /:2: set is a table/],
  ])('%j', async (text, code, reason) => {
    const failure = await failureOf(flagsOf(['start', '--config', writeToml(text)]));
    expect(failure).toEqual({ code, reason: expect.stringMatching(reason) });
  });

  test('variables of ours that nobody knows; those of our own programs are passed over', async () => {
    const failure = await failureOf(flagsOf(['start'], { VARVE_STRAT_PORT: '1' }));
    expect(failure).toMatchObject({
      code: 'UNKNOWN_SETTING',
      reason: expect.stringContaining('VARVE_STRAT_PORT (did you mean VARVE_START_PORT?)'),
    });
    expect(await failureOf(flagsOf(['start'], { VARVE_PROCESSES: 'maybe' }))).toMatchObject({
      code: 'BAD_SETTING',
    });
    await flagsOf(['start'], { VARVE_TEST_FAMILY: 'x', VARVE_SHIM_DATA: 'y', OTHER: 'z' });
  });

  test('a file that is too large, or is not there', async () => {
    const large = writeToml(`#${'x'.repeat(65 * 1024)}\n`);
    expect(await failureOf(flagsOf(['start', '--config', large]))).toMatchObject({
      code: 'BAD_CONFIGURATION',
    });
    const missing = join(directory, 'missing.toml');
    expect(await failureOf(flagsOf(['start', '--config', missing]))).toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });

  test('help is shown whatever a file says', async () => {
    const bad = writeToml('[strat]\n');
    await expect(flagsOf(['start', '--config', bad, '--help'])).rejects.toThrow('(outputHelp)');
  });
});

test('no two variables of the environment have one name', () => {
  const sections = sectionsOf(prepare({}).program);
  expect(sections.map(({ name }) => name)).toEqual([
    'start',
    'safekeeper',
    'pageserver',
    'control',
    'compute',
    'client',
  ]);
  const all = sections.flatMap(({ name, options }) => options.map(({ key }) => variablesOf(name, key)));
  const special = all.map(([variable]) => variable);
  expect(special.length).toBeGreaterThan(60);
  expect(new Set(special).size).toBe(special.length);
  const general = new Set(all.map(([, variable]) => variable));
  expect(special.filter((variable) => general.has(variable))).toEqual([]);
});

test('files in documents are files that are taken', async () => {
  const folder = new URL('../../docs/', import.meta.url);
  const blocks = readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => [...readFileSync(new URL(name, folder), 'utf8').matchAll(/```toml\n([\s\S]*?)```/g)]);
  expect(blocks.length).toBeGreaterThan(1);
  for (const [, text] of blocks) {
    expect((await show(['--config', writeToml(text as string)])).length).toBeGreaterThan(3);
  }
});

test('passwords are not shown', async () => {
  const url = 'postgres://me:s/e@cret@db/x?sslpassword=s3';
  const shown = await show(['control', '--database-url', url]);
  expect(shown).toMatchObject([{ value: 'postgres://me:***@db/x?sslpassword=***', source: 'flag' }]);
  expect(await show(['control'], { DATABASE_URL: url })).toMatchObject([{ variable: 'DATABASE_URL' }]);
  expect(JSON.stringify(await show([], { VARVE_CONTROL_DATABASE_URL: url }))).not.toMatch(/cret|s3/);
  expect(maskSecrets("host=a password='a b' user=c")).toBe('host=a password=*** user=c');
});

test('DATABASE_URL, which others know, too, counts where nothing else says', async () => {
  const file = writeToml('[control]\ndatabase-url = "postgres://ours"\n');
  const rest = ['control', '--listen', '127.0.0.1:0'];
  const environment = { DATABASE_URL: 'postgres://theirs' };
  expect(await flagsOf([...rest, '--config', file], environment)).toMatchObject({
    databaseUrl: 'postgres://ours',
  });
  expect(await flagsOf(rest, environment)).toMatchObject({ databaseUrl: 'postgres://theirs' });
  expect(await flagsOf(['--no-config', ...rest], environment)).not.toHaveProperty('databaseUrl');
});

test('the program takes varve.toml of its working directory, and says what is wrong with it', async () => {
  const place = join(directory, 'place');
  mkdirSync(place);
  const run = (...args: string[]): Promise<{ code: unknown; out: string; error: string }> =>
    new Promise((resolve) => {
      const env = { ...process.env, VARVE_START_HOST: '::1' };
      execFile(process.execPath, [BIN, ...args], { cwd: place, env }, (error, out, text) =>
        resolve({ code: error?.code ?? 0, out, error: text }),
      );
    });
  writeFileSync(join(place, 'varve.toml'), '[start]\nport = 7\n');
  const { code, out } = await run('config', 'start');
  expect(code).toBe(0);
  expect(out).toMatch(
    /^configuration file .*place\/varve\.toml\n\n\[start\]\nhost {2}::1 +environment, VARVE_START_HOST\n/,
  );
  expect(out).toMatch(/\nport {2}7 +.*place\/varve\.toml:2\n$/);
  writeFileSync(join(place, 'varve.toml'), '[start]\nprot = 7\n');
  expect(await run('status')).toMatchObject({
    code: 2,
    error: expect.stringContaining('did you mean port?'),
  });
}, 60_000);
