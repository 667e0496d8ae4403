// What a compute says of input that it cannot work with, and that it leaves nothing behind.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseTimelineId } from '../../src/base/ids.ts';
import { VarveWorld } from '../end-to-end/varve-world.ts';
import type { VarveProcess } from '../support/varve-process.ts';
import { errorOf, query, readyLine } from './compute-client.ts';

const TIMEOUT_MS = 120_000;
const POLL = { timeout: 20_000, interval: 20 };
const SHORT_WAIT = ['--storage-wait', '1500ms'];
/** docs/exit-codes.md */
const EXIT = { badRequest: 2, notFound: 3, conflict: 4, precondition: 5, unavailable: 6 };

let world: VarveWorld;

beforeAll(async () => {
  world = await VarveWorld.start();
  await world.createTimeline();
}, TIMEOUT_MS);

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

/** Processes that have been told of a path, but for ours. */
function processesAbout(path: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {
        // It has ended.
        return '';
      }
    })
    .filter((text) => text.includes(path));
}

/** Waits until a compute has given up, and looks at what is left of it. */
async function failureOf(agent: VarveProcess, name: string): Promise<Record<string, unknown>> {
  const exitCode = await agent.ended;
  const directory = join(world.directory, name);
  expect(processesAbout(directory)).toEqual([]);
  if (existsSync(directory)) expect(readdirSync(directory)).toEqual(['compute.id']);
  return { exitCode, ...errorOf(agent) };
}

const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

/** A port of this machine where nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await closed(server);
  return port;
}

test('a pageserver that is away is waited for, which is said, until the limit', {
  timeout: TIMEOUT_MS,
}, async () => {
  const port = await freePort();
  const args = ['--pageserver', `127.0.0.1:${port}`, ...SHORT_WAIT];
  const agent = world.spawnCompute(world.main, 'away-1', args);
  expect(await failureOf(agent, 'away-1')).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'STORAGE_TIMEOUT',
    message: expect.stringMatching(new RegExp(`within 1500 ms: .*${port}`)),
  });
  expect(agent.log).toContainEqual(
    expect.objectContaining({
      message: 'The pageserver does not serve a start yet',
      reason: expect.stringContaining(String(port)),
    }),
  );
});

test('a pageserver that comes late is found', { timeout: TIMEOUT_MS }, async () => {
  const port = await freePort();
  const agent = world.spawnCompute(world.main, 'away-2', ['--pageserver', `127.0.0.1:${port}`]);
  await expect.poll(() => agent.errorText, POLL).toMatch(/does not serve a start yet/);
  const sockets = new Set<Socket>();
  const forwarder = createServer((client) => {
    const server = dial(world.pageserverPort, '127.0.0.1');
    for (const each of [client, server]) {
      sockets.add(each);
      each.on('error', () => undefined);
    }
    client.pipe(server).pipe(client);
  });
  await new Promise<void>((resolve) => forwarder.listen(port, '127.0.0.1', resolve));
  try {
    const { url } = await readyLine(agent);
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(await agent.kill('SIGTERM')).toBe(0);
  } finally {
    for (const each of sockets) each.destroy();
    await closed(forwarder);
  }
});

test('without a quorum of safekeepers a start is given up', {
  timeout: TIMEOUT_MS,
}, async () => {
  const resume = world.pauseQuorum();
  const agent = world.spawnCompute(world.main, 'away-3', SHORT_WAIT);
  const failure = await failureOf(agent, 'away-3');
  resume();
  expect(failure).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'STORAGE_TIMEOUT',
    message: expect.stringMatching(/quorum/),
  });
  expect(agent.log).toContainEqual(
    expect.objectContaining({ message: 'A quorum of safekeepers is waited for' }),
  );
});

test('programs of another major are refused before anybody is fenced', { timeout: TIMEOUT_MS }, async () => {
  const running = world.spawnCompute(world.main, 'major-1');
  const { url } = await readyLine(running);
  const agent = world.spawnCompute(world.main, 'major-2', ['--pg', '16']);
  expect(await failureOf(agent, 'major-2')).toMatchObject({
    exitCode: EXIT.precondition,
    code: 'WRONG_POSTGRES_MAJOR',
    message: expect.stringMatching(/of PostgreSQL 17, not 16/),
  });
  await query(url, 'CREATE TABLE goes_on (id int)');
  expect(await running.kill('SIGTERM')).toBe(0);
});

test('programs that are not there are named', { timeout: TIMEOUT_MS }, async () => {
  const agent = world.spawnCompute(world.main, 'major-3', ['--pg-bin', '/nowhere/bin']);
  expect(await failureOf(agent, 'major-3')).toMatchObject({
    exitCode: EXIT.precondition,
    code: 'POSTGRES_PROGRAMS',
    message: expect.stringMatching(/\/nowhere\/bin\/postgres/),
  });
});

test('a port that somebody has is named before anybody is fenced', { timeout: TIMEOUT_MS }, async () => {
  const running = world.spawnCompute(world.main, 'port-1');
  const { url } = await readyLine(running);
  const { port } = new URL(url);
  const agent = world.spawnCompute(world.main, 'port-2', ['--listen', `127.0.0.1:${port}`]);
  expect(await failureOf(agent, 'port-2')).toMatchObject({
    exitCode: EXIT.conflict,
    code: 'PORT_IN_USE',
    message: expect.stringContaining(port),
  });
  await query(url, 'CREATE TABLE still_goes_on (id int)');
  expect(await running.kill('SIGTERM')).toBe(0);
});

test('a branch that there is not is named by each safekeeper', { timeout: TIMEOUT_MS }, async () => {
  const timelineId = parseTimelineId('9'.repeat(32));
  const agent = world.spawnCompute(timelineId, 'branch-1', SHORT_WAIT);
  expect(await failureOf(agent, 'branch-1')).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'STORAGE_TIMEOUT',
  });
  expect(agent.log).toContainEqual(
    expect.objectContaining({ reason: expect.stringContaining(`${timelineId} not found`) }),
  );
});

test('an LSN before all history is refused', { timeout: TIMEOUT_MS }, async () => {
  const agent = world.spawnCompute(world.main, 'lsn-1', ['--read-only', '--at', '0/10']);
  expect(await failureOf(agent, 'lsn-1')).toMatchObject({
    exitCode: EXIT.precondition,
    code: 'LSN_NOT_KEPT',
    message: expect.stringContaining('0/10'),
  });
});

test('an LSN that has not been written is waited for', { timeout: TIMEOUT_MS }, async () => {
  const args = ['--read-only', '--at', 'FF/0', ...SHORT_WAIT];
  const agent = world.spawnCompute(world.main, 'lsn-2', args);
  expect(await failureOf(agent, 'lsn-2')).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'STORAGE_TIMEOUT',
    message: expect.stringMatching(/within 1500 ms: an LSN that is still to come .*FF/),
  });
});

test('a disk without space is no storage that is waited for', { timeout: TIMEOUT_MS }, async () => {
  // Files may have 32 kB: what is above fails as on a full disk.
  const wrapper = ['sh', '-c', 'trap "" XFSZ; ulimit -f 64; exec "$@"', 'sh'];
  const agent = world.spawnCompute(world.main, 'full-1', ['--fill'], { wrapper });
  expect(await failureOf(agent, 'full-1')).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'FILE_IO',
    message: expect.stringMatching(/too large.*full-1\/data\//),
  });
});

test.each([
  ['that nobody may make', '/sys/varve-compute', EXIT.precondition, 'PERMISSION_DENIED'],
  ['that is a file', '/proc/version', EXIT.conflict, 'FILE_EXISTS'],
  ['below a file', '/proc/version/below', EXIT.badRequest, 'NOT_A_DIRECTORY'],
])('a directory %s is named', { timeout: TIMEOUT_MS }, async (_name, directory, exitCode, code) => {
  const agent = world.spawnCompute(world.main, 'none-1', ['--dir', directory]);
  expect(await failureOf(agent, 'none-1')).toMatchObject({
    ...{ exitCode, code },
    message: expect.stringContaining(directory),
  });
});

test('a directory whose name leaves no room for a socket’s', { timeout: TIMEOUT_MS }, async () => {
  const name = 'n'.repeat(90);
  const agent = world.spawnCompute(world.main, name);
  expect(await failureOf(agent, name)).toMatchObject({
    exitCode: EXIT.badRequest,
    code: 'DIRECTORY_NAME_TOO_LONG',
    message: expect.stringContaining(name),
  });
});

test.each([
  ['a value that is none', 'work_mem=banana', /invalid value for parameter "work_mem": "banana"/],
  ['a library that is not there', 'shared_preload_libraries=no_such', /could not access file "no_such"/],
  [
    'a setting that there is not',
    'no_such_setting=1',
    /unrecognized configuration parameter "no_such_setting"/,
  ],
])('%s: the server’s last words are in the error', { timeout: TIMEOUT_MS }, async (_name, setting, words) => {
  const agent = world.spawnCompute(world.main, 'setting-1', ['--set', setting]);
  expect(await failureOf(agent, 'setting-1')).toMatchObject({
    exitCode: EXIT.unavailable,
    code: 'POSTGRES_ENDED',
    message: expect.stringMatching(words),
  });
});
