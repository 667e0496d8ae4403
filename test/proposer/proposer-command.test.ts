// `varve proposer` with safekeepers and a stock server, each a process of its own.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { formatLsn } from '../../src/base/lsn.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { runVarve, runVarveJson, startVarve } from '../support/varve-command.ts';

const NAME = 'varve';
const TENANT = 'a'.repeat(32);

/** A process of `varve`, whose lines on standard output are read one after another. */
class VarveProcess {
  readonly child: ChildProcess;
  readonly closed: Promise<[number | null]>;
  error = '';
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  constructor(...args: string[]) {
    this.child = startVarve([...args, '--json']);
    this.closed = once(this.child, 'close') as Promise<[number | null]>;
    const { stdout, stderr } = this.child;
    if (stdout === null || stderr === null) throw new Error('started without pipes');
    stderr.setEncoding('utf8').on('data', (text: string) => {
      this.error += text;
    });
    this.#reader = createInterface(stdout);
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  async line<Value>(): Promise<Value> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`it has ended: ${this.error}`);
    return JSON.parse(value) as Value;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    this.child.kill(signal);
    const [code] = await this.closed;
    return code;
  }
}

interface Event {
  readonly event: string;
  readonly term: number;
  readonly lsn: string;
}

let directory: string;
let server: StockPostgres;
let timelineCount = 0;
const safekeepers: VarveProcess[] = [];
const ports: number[] = [];
let timelineArguments: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'varve-proposer-'));
  for (const id of [1, 2, 3]) {
    const listen = ['--listen-pg', '127.0.0.1:0', '--listen-http', '127.0.0.1:0'];
    const process = new VarveProcess(
      ...['safekeeper', '--id', String(id), '--dir', join(directory, `sk${id}`), ...listen],
      ...['--log-level', 'error'],
    );
    safekeepers.push(process);
    ports.push((await process.line<{ pg: { port: number } }>()).pg.port);
  }
  server = await StockPostgres.create({
    major: 17,
    segmentSizeMiB: 1,
    settings: { fsync: false, synchronous_standby_names: NAME, wal_keep_size: '256MB' },
  });
  await server.start();
}, 60_000);

afterAll(async () => {
  for (const safekeeper of safekeepers) await safekeeper.kill('SIGTERM');
  await server.dispose();
  await rm(directory, { recursive: true, force: true });
});

const running: VarveProcess[] = [];
beforeEach(() => {
  const timeline = (++timelineCount).toString(16).padStart(32, '0');
  const members = ports.map((port, index) => `${index + 1}=127.0.0.1:${port}`).join(',');
  timelineArguments = ['--tenant', TENANT, '--timeline', timeline, '--safekeepers', members];
});
afterEach(async () => {
  for (const each of running.splice(0)) await each.kill();
});

function startRun(...args: string[]): VarveProcess {
  const conninfo = `host=${server.socketDirectory} port=${server.port} user=postgres`;
  const started = new VarveProcess(
    ...['proposer', 'run', ...timelineArguments, '--postgres', conninfo, '--application-name', NAME, ...args],
  );
  running.push(started);
  return started;
}

const sync = (): Promise<{ code: number | null; values: { term: number; lsn: string }[] }> =>
  runVarveJson('proposer', 'sync', ...timelineArguments, '--segment-size', String(1024 * 1024));

describe('varve proposer', () => {
  test('commits wait for it, and go on after it was killed, in the next term', async () => {
    const first = startRun();
    expect(await first.line<Event>()).toMatchObject({ event: 'elected', term: 1 });
    await server.query('create table t1 (n int)');
    await server.query('insert into t1 select generate_series(1, 1000)');
    await first.kill();
    let isInserted = false;
    const inserting = server.query('insert into t1 values (1001)').then(() => {
      isInserted = true;
    });
    const second = startRun();
    expect(await second.line<Event>()).toMatchObject({ event: 'elected', term: 2 });
    await inserting;
    expect(isInserted).toBe(true);
    expect(await second.kill('SIGTERM')).toBe(0);
    const end = await second.line<Event>();
    expect(end).toMatchObject({ event: 'finished', term: 2 });
    const { code, values } = await sync();
    expect([code, values]).toEqual([0, [{ term: 3, lsn: end.lsn }]]);
  });

  test('ends with status 7 when a successor has taken over', async () => {
    const run = startRun();
    await run.line<Event>();
    const { code, values } = await sync();
    expect([code, values[0]?.term]).toEqual([0, 2]);
    const [status] = await run.closed;
    expect(status).toBe(7);
    expect(JSON.parse(run.error.trim().split('\n').at(-1) as string)).toMatchObject({
      error: { kind: 'fenced' },
    });
  });

  test('a shutdown of the server ends it when all is committed', async () => {
    const run = startRun();
    await run.line<Event>();
    await server.query('create table t3 as select generate_series(1, 10000) as n');
    await server.stop('fast');
    const end = await run.line<Event>();
    expect(end.event).toBe('finished');
    expect(await run.closed).toEqual([0, null]);
    const { values } = await sync();
    expect(values).toEqual([{ term: 2, lsn: end.lsn }]);
    await server.start();
  });

  test('an empty log begins where it is told, and sync of one says 0/0', async () => {
    expect(await sync()).toMatchObject({ code: 0, values: [{ term: 0, lsn: '0/0' }] });
    const run = startRun('--initial-lsn', formatLsn(0x100_0028));
    expect(await run.line<Event>()).toMatchObject({ event: 'elected', lsn: '0/1000028' });
    await run.kill();
    const segments = ['--segment-size', String(1024 * 1024)];
    const { code, out } = await runVarve('proposer', 'sync', ...timelineArguments, ...segments);
    expect(code).toBe(0);
    expect(out).toMatch(/^0\/[0-9A-F]+\n$/);
  });

  test.each([
    [['--safekeepers', '1=x'], 'Write HOST:PORT'],
    [['--safekeepers', 'x:1'], 'Write ID=HOST:PORT'],
    [['--safekeepers', '1=x:1,1=y:1'], 'names a safekeeper twice'],
    [['--tenant', 'x'], 'Write 32 hexadecimal digits'],
    [['--segment-size', '5'], 'power of two'],
  ])('%j is refused', async (args, reason) => {
    const { code, error } = await runVarve('proposer', 'sync', ...timelineArguments, ...args);
    expect(code).toBe(2);
    expect(error).toContain(reason);
  });
});
