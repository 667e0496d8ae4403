import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SafekeeperClient } from '../../src/http/safekeeper-client.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeHttp } from '../../src/io/node/http.ts';
import { runVarve, startVarve } from '../support/varve-command.ts';
import { WalPusher } from '../support/wal-pusher.ts';
import { KEY, makeTestWal, newTimeline, START_LSN, signal, TENANT, TIMELINE } from './running-safekeeper.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Ready {
  readonly id: number;
  readonly directory: string;
  readonly pg: Address;
  readonly http: Address;
  readonly pgTenantOnly?: Address;
}

let directory: string;
let children: ChildProcess[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-process-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'close');
  }
  rmSync(directory, { recursive: true });
});

const LOCAL = '127.0.0.1:0';

const argumentsFor = (id: number, dir: string, ...more: string[]): string[] => [
  ...['safekeeper', '--id', String(id), '--dir', dir],
  ...['--listen-pg', LOCAL, '--listen-http', LOCAL, ...more],
];

class Running {
  readonly child: ChildProcess;
  readonly ready: Ready;
  readonly errors: Promise<string>;

  private constructor(child: ChildProcess, ready: Ready, errors: Promise<string>) {
    this.child = child;
    this.ready = ready;
    this.errors = errors;
  }

  static async start(...args: string[]): Promise<Running> {
    const child = startVarve([...args, '--json']);
    children.push(child);
    if (child.stdout === null || child.stderr === null) throw new Error('started without pipes');
    const errors = text(child.stderr);
    for await (const line of createInterface({ input: child.stdout })) {
      return new Running(child, JSON.parse(line) as Ready, errors);
    }
    throw new Error(`it did not start: ${await errors}`);
  }

  get client(): SafekeeperClient {
    return new SafekeeperClient({
      http: nodeHttp((error) => {
        throw error;
      }),
      clock: nodeClock,
      baseUrl: `http://127.0.0.1:${this.ready.http.port}`,
    });
  }

  pusher(): Promise<WalPusher> {
    return WalPusher.start({ address: this.ready.pg, tenantId: TENANT, timelineId: TIMELINE });
  }

  /** How it ended, and its log. */
  async end(signalName: NodeJS.Signals): Promise<{ code: number | null; log: Record<string, unknown>[] }> {
    this.child.kill(signalName);
    const [code] = (await once(this.child, 'close')) as [number | null];
    const lines = (await this.errors).split('\n').filter((line) => line !== '');
    return { code, log: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
  }
}

test('it says where it serves, and ends in order when it is told to, with readers and writers connected', async () => {
  const safekeeper = await Running.start(...argumentsFor(7, directory, '--listen-pg-tenant-only', LOCAL));
  expect(safekeeper.ready).toMatchObject({ id: 7, directory, pg: { host: '127.0.0.1' } });
  const { pg, http, pgTenantOnly } = safekeeper.ready;
  expect(new Set([pg.port, http.port, pgTenantOnly?.port, 0]).size).toBe(4);
  expect(await safekeeper.client.status(signal())).toEqual({ id: 7 });
  await safekeeper.client.createTimeline(newTimeline(), signal());
  const pusher = await safekeeper.pusher();
  await pusher.elect(1, START_LSN);
  const end = await pusher.push(makeTestWal());
  const { code, log } = await safekeeper.end('SIGTERM');
  expect(code).toBe(0);
  expect(log.map(({ message }) => message)).toEqual(
    expect.arrayContaining(['the safekeeper serves', 'the safekeeper closes', 'the safekeeper has closed']),
  );
  expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  await pusher.ended();
  await pusher.close();

  const again = await Running.start(...argumentsFor(7, directory));
  expect(await again.client.timelineStatus(KEY, signal())).toMatchObject({ flush_lsn: end, commit_lsn: end });
  expect((await again.end('SIGINT')).code).toBe(0);
});

test('what was acknowledged is there after kill -9', async () => {
  const safekeeper = await Running.start(...argumentsFor(1, directory));
  await safekeeper.client.createTimeline(newTimeline(), signal());
  const pusher = await safekeeper.pusher();
  await pusher.elect(1, START_LSN);
  const end = await pusher.push(makeTestWal());
  expect(await safekeeper.end('SIGKILL')).toMatchObject({ code: null });
  await pusher.ended();
  await pusher.close();
  const again = await Running.start(...argumentsFor(1, directory));
  expect(await again.client.timelineStatus(KEY, signal())).toMatchObject({ flush_lsn: end });
});

test('a directory is for one process, whatever it is called, and for one safekeeper', async () => {
  const safekeeper = await Running.start(...argumentsFor(1, directory));
  const link = `${directory}-link`;
  symlinkSync(directory, link);
  try {
    const second = await runVarve(...argumentsFor(1, link, '--log-level', 'silent'), '--json');
    expect(second.code).toBe(4);
    expect(JSON.parse(second.error)).toMatchObject({ error: { code: 'DIRECTORY_IN_USE' } });
  } finally {
    rmSync(link);
  }
  await safekeeper.end('SIGTERM');
  const wrong = await runVarve(...argumentsFor(2, directory, '--log-level', 'silent'), '--json');
  expect(wrong.code).toBe(5);
  expect(JSON.parse(wrong.error)).toMatchObject({ error: { code: 'WRONG_NODE' } });
});

test('without tokens it does not listen where others can connect, unless that is said by name', async () => {
  for (const door of ['--listen-pg', '--listen-http', '--listen-pg-tenant-only']) {
    const args = argumentsFor(1, directory, door, '0.0.0.0:0', '--log-level', 'silent');
    const { code, out, error } = await runVarve(...args, '--json');
    expect({ code, out }).toEqual({ code: 5, out: '' });
    expect(JSON.parse(error)).toMatchObject({ error: { code: 'INSECURE_LISTEN' } });
    expect(error).toContain('--insecure-listen');
  }
  const args = argumentsFor(1, directory, '--listen-pg', '0.0.0.0:0', '--insecure-listen');
  const safekeeper = await Running.start(...args);
  expect((await safekeeper.end('SIGTERM')).code).toBe(0);
});

test('a second signal ends it at once', async () => {
  // A request that never ends keeps it from closing.
  const safekeeper = await Running.start(...argumentsFor(1, directory));
  await safekeeper.client.createTimeline(newTimeline(), signal());
  const pusher = await safekeeper.pusher();
  const hanging = startRequestWithoutEnd(safekeeper.ready.http.port);
  await hanging.begun;
  safekeeper.child.kill('SIGTERM');
  await pusher.ended();
  const { code } = await safekeeper.end('SIGTERM');
  expect(code).toBe(143);
  await pusher.close();
  await hanging.ended;
});

test('a port that is taken is a conflict, and the directory is free again', async () => {
  const other = createServer();
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as { port: number };
  const args = argumentsFor(1, directory, '--listen-http', `127.0.0.1:${port}`, '--log-level', 'silent');
  const { code, error } = await runVarve(...args, '--json');
  expect(code).toBe(4);
  expect(JSON.parse(error)).toMatchObject({ error: { code: 'ADDRESS_IN_USE' } });
  other.close();
});

test('wrong options are errors of usage', async () => {
  const wrong = async (...more: string[]) => (await runVarve(...argumentsFor(1, directory, ...more))).code;
  expect(await wrong('--id', '0')).toBe(2);
  expect(await wrong('--listen-pg', 'here')).toBe(2);
  expect(await wrong('--listen-pg', '127.0.0.1:65536')).toBe(2);
  expect(await wrong('--s3', 'http://bucket')).toBe(2);
  expect(await wrong('--tls-cert', 'a.pem')).toBe(2);
  expect(await wrong('--log-level', 'loud')).toBe(2);
  expect((await runVarve('safekeeper', '--id', '1')).code).toBe(2);
});

test('the page for users has every option', async () => {
  const page = readFileSync(new URL('../../docs/safekeeper.md', import.meta.url), 'utf8');
  const { out } = await runVarve('safekeeper', '--help');
  const options = [...out.matchAll(/^ {2}(--[a-z0-9-]+)/gm)].map(([, option]) => option as string);
  expect(options.length).toBeGreaterThan(15);
  expect(options.filter((option) => !page.includes(`\`${option}`))).toEqual([]);
});

test('benchmarks may have no syncs, or slow ones, and it is said loudly', async () => {
  const args = argumentsFor(1, directory, '--no-sync', '--inject-sync-delay-ms', '1');
  const safekeeper = await Running.start(...args);
  const { code, log } = await safekeeper.end('SIGTERM');
  expect(code).toBe(0);
  const warnings = log.filter(({ level }) => level === 'warn').map(({ message }) => String(message));
  expect(warnings.join('\n')).toMatch(/NOTHING IS SYNCED.*each sync is delayed/s);
});

/** A request whose body does not come to an end before the connection does. */
function startRequestWithoutEnd(port: number): { begun: Promise<void>; ended: Promise<void> } {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  const head = 'POST /v1/tenant/timeline HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n';
  socket.write(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n`);
  // The server says 100 when it has begun to serve the request.
  const begun = new Promise<void>((resolve) => socket.once('data', () => resolve()));
  return { begun, ended };
}
