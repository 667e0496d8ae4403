import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { jobs } from '../../../test/support/sample-jobs.ts';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { InlineWorkers } from '../inline-workers.ts';
import { resolveModule, type Workers } from '../workers.ts';
import { nodeClock } from './clock.ts';
import { nodeFiles } from './files.ts';
import { NodeWorkers, type WorkersOptions } from './workers.ts';

type Jobs = typeof jobs;
const never = new AbortController().signal;
const SETUP = {
  jobsModule: new URL('../../../test/support/sample-jobs.ts', import.meta.url).href,
  filesEngine: 'portable',
};
const opened: Workers<Jobs>[] = [];

afterEach(async () => {
  for (const workers of opened.splice(0)) await workers.close();
});

function open(options: Partial<WorkersOptions> = {}): NodeWorkers<Jobs> {
  const workers = new NodeWorkers<Jobs>({ ...SETUP, threadsMax: 1, ...options });
  opened.push(workers);
  return workers;
}

function openInline(): InlineWorkers<Jobs> {
  const workers = new InlineWorkers(jobs, { files: nodeFiles, clock: nodeClock });
  opened.push(workers);
  return workers;
}

const failureOf = async (running: Promise<unknown>): Promise<VarveError> => {
  const error = await running.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(VarveError);
  return error as VarveError;
};

/** Resolves when the job has written into what it shares. */
const untilBegun = async (shared: SharedArrayBuffer): Promise<void> => {
  await Atomics.waitAsync(new Int32Array(shared), 0, 0).value;
};

const sharedCounts = (): SharedArrayBuffer => new SharedArrayBuffer(8);

test.each([
  ['threads', () => open()],
  ['this thread', openInline],
] as const)(
  'jobs in %s: results, errors with kind, code, reason, place and cause, files',
  async (_, make) => {
    const workers = make();
    expect(await workers.run('add', { left: 1, right: 2 }, never)).toBe(3);
    const error = await failureOf(workers.run('fail', { file: '/data/layer' }, never));
    expect(error).toBeInstanceOf(CorruptionError);
    expect(error).toMatchObject({
      kind: 'corruption',
      code: 'OUTER',
      reason: 'the outer reason',
      place: { file: '/data/layer', lsn: 0x1_0000_0028 },
      message: 'the outer reason (file /data/layer, LSN 1/28)',
      cause: { kind: 'corruption', code: 'INNER', place: { offset: 7 } },
    });
    expect(error.stack).toContain('sample-jobs.ts');
    await expect(workers.run('bug', undefined, never)).rejects.toMatchObject({
      name: 'TypeError',
      message: 'a bug',
    });
    const missing = await failureOf(workers.run('sizeOf', '/nowhere/at/all', never));
    expect([missing.kind, missing.place]).toEqual(['not-found', { file: '/nowhere/at/all' }]);
    expect(await workers.run('sizeOf', fileURLToPath(import.meta.url), never)).toBeGreaterThan(1000);
    expect(await workers.run('add', { left: 3, right: 4 }, never)).toBe(7);
    await workers.close();
    const closed = await failureOf(workers.run('add', { left: 1, right: 2 }, never));
    expect([closed.kind, closed.code]).toEqual(['cancelled', 'CLOSING']);
  },
);

test.each([
  ['threads', () => open()],
  ['this thread', openInline],
] as const)('a cancelled job in %s has stopped when its caller hears of it', async (_, make) => {
  const workers = make();
  const shared = sharedCounts();
  const counts = new Int32Array(shared);
  const cancellation = new AbortController();
  const running = failureOf(workers.run('stepUntilCancelled', shared, cancellation.signal));
  const waiting = failureOf(workers.run('add', { left: 1, right: 2 }, cancellation.signal));
  await untilBegun(shared);
  cancellation.abort();
  expect(await running).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
  expect(counts[1]).toBe(1);
  expect(await waiting).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
  expect(await failureOf(workers.run('add', { left: 1, right: 2 }, cancellation.signal))).toMatchObject({
    kind: 'cancelled',
  });
  expect(await workers.run('add', { left: 1, right: 2 }, never)).toBe(3);
});

test('only so many jobs wait', async () => {
  const workers = open({ waitingMax: 1 });
  const shared = sharedCounts();
  const cancellation = new AbortController();
  const running = failureOf(workers.run('stepUntilCancelled', shared, cancellation.signal));
  const waiting = workers.run('add', { left: 1, right: 2 }, never);
  expect(await failureOf(workers.run('add', { left: 1, right: 2 }, never))).toMatchObject({
    kind: 'unavailable',
    code: 'WORKERS_BUSY',
  });
  await untilBegun(shared);
  cancellation.abort();
  await running;
  expect(await waiting).toBe(3);
});

test('WR-04: a worker that dies mid-job gives a typed error, and the jobs that waited get a new one', async () => {
  const workers = open();
  for (const name of ['exit', 'raise'] as const) {
    const dying = failureOf(workers.run(name, undefined, never));
    const waiting = workers.run('add', { left: 1, right: 2 }, never);
    expect(await dying).toMatchObject({ kind: 'unavailable', code: 'WORKER_DIED' });
    expect(await waiting).toBe(3);
  }
});

test('WR-04: a job that hangs is ended with its thread, and the pool goes on', async () => {
  const workers = open({ graceMs: 20 });
  const shared = sharedCounts();
  const cancellation = new AbortController();
  const hanging = failureOf(workers.run('hang', shared, cancellation.signal));
  const waiting = workers.run('add', { left: 1, right: 2 }, never);
  await untilBegun(shared);
  cancellation.abort();
  expect(await hanging).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' });
  expect(await waiting).toBe(3);
});

test('WR-04: after closing there is no thread, whatever its job does', async () => {
  const workers = open({ graceMs: 20, threadsMax: 2 });
  const [first, second] = [sharedCounts(), sharedCounts()];
  const hanging = failureOf(workers.run('hang', first, never));
  const stepping = failureOf(workers.run('stepUntilCancelled', second, never));
  const waiting = failureOf(workers.run('add', { left: 1, right: 2 }, never));
  await Promise.all([untilBegun(first), untilBegun(second)]);
  expect(threadResources()).toBeGreaterThan(0);
  await Promise.all([workers.close(), workers.close()]);
  for (const error of await Promise.all([hanging, stepping, waiting])) expect(error.kind).toBe('cancelled');
  expect(workers.threads).toBe(0);
  expect(threadResources()).toBe(0);
});

/** Message ports are what a thread that lives holds of this one. */
const threadResources = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === 'MessagePort' || name === 'Worker').length;

test('input and output that are no plain data are bugs', async () => {
  const workers = open();
  await expect(workers.run('returnFunction', undefined, never)).rejects.toMatchObject({
    name: 'DataCloneError',
  });
  const unclonable = (() => undefined) as unknown as string;
  await expect(workers.run('sizeOf', unclonable, never)).rejects.toMatchObject({ name: 'DataCloneError' });
  expect((await failureOf(workers.run('toString' as 'add', { left: 1, right: 2 }, never))).kind).toBe(
    'assertion',
  );
  expect(await workers.run('add', { left: 1, right: 2 }, never)).toBe(3);
});

test('a jobs module or file engine that is none is said to every caller', async () => {
  const workers = open({ jobsModule: new URL('./no-such-module.ts', import.meta.url).href });
  for (let round = 0; round < 2; round++) {
    await expect(workers.run('add', { left: 1, right: 2 }, never)).rejects.toThrow(/no-such-module/);
  }
  const other = open({ filesEngine: 'steam' });
  expect(await failureOf(other.run('add', { left: 1, right: 2 }, never))).toMatchObject({
    kind: 'bad-request',
    code: 'UNKNOWN_IO_ENGINE',
  });
});

test('a thread that has nothing to do ends', async () => {
  const workers = open({ idleTimeoutMs: 1 });
  expect(await workers.run('add', { left: 1, right: 2 }, never)).toBe(3);
  const pool = workers;
  while (pool.threads > 0) await nodeClock.yieldToOthers();
  expect(await workers.run('add', { left: 1, right: 2 }, never)).toBe(3);
});

test('the event loop goes on while a worker burns its core', async () => {
  const workers = open();
  await workers.run('add', { left: 1, right: 2 }, never);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await workers.run('burn', 300, never);
  delay.disable();
  expect(delay.percentile(50) / 1e6).toBeLessThan(10);
});

test('modules are found as they are named in the sources, and compiled', () => {
  expect(resolveModule('./jobs.ts', 'file:///a/src/x.ts').href).toBe('file:///a/src/jobs.ts');
  expect(resolveModule('./jobs.ts', 'file:///a/dist/x.js').href).toBe('file:///a/dist/jobs.js');
});
