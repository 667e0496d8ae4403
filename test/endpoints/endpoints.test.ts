import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { readyLine } from '../compute/compute-client.ts';
import { connect, ENDPOINT, EndpointWorld, never, queryOnce } from './endpoint-world.ts';

let world: EndpointWorld;

beforeAll(async () => {
  world = await EndpointWorld.start();
});

afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await world.manager.stop(ENDPOINT, never);
  world.news.length = 0;
  world.onWake = async () => world.spec();
});

const listen = (port: number) => ({ host: '127.0.0.1', port, mayMove: false });
const suspendAt = async (port: number): Promise<number> =>
  (await world.manager.suspend({ endpointId: ENDPOINT, listen: listen(port) }, never)).port;

test('starts, says its head, and stops; each may be asked for again', async () => {
  const running = await world.start();
  expect(await queryOnce(running.port, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(await world.start({ listen: listen(running.port) })).toMatchObject({ pid: running.pid });
  await queryOnce(running.port, 'CREATE TABLE IF NOT EXISTS t (a int); INSERT INTO t VALUES (1)');
  expect(world.manager.headOf(world.storage.main)).toBeGreaterThan(running.startLsn);
  await world.manager.stop(ENDPOINT, never);
  await world.manager.stop(ENDPOINT, never);
  expect(world.manager.headOf(world.storage.main)).toBeUndefined();
  await expect(connect(running.port)).rejects.toThrow('ECONNREFUSED');
  expect(world.news).toEqual([]);
});

test('a suspended one is woken by the first client, and those that come meanwhile are served, too', async () => {
  const { port } = await world.start();
  await queryOnce(port, 'CREATE TABLE IF NOT EXISTS kept (a int); INSERT INTO kept VALUES (42)');
  expect(await suspendAt(port)).toBe(port);
  expect(await suspendAt(port)).toBe(port);
  world.onWake = async () => world.spec({ listen: listen(port) });
  const beganAtMs = performance.now();
  const clients = await Promise.all([connect(port), connect(port), connect(port)]);
  console.log(`woken after ${(performance.now() - beganAtMs).toFixed(0)} ms`);
  expect((await clients[0]?.query('SELECT a FROM kept'))?.rows).toContainEqual({ a: 42 });
  // Through the relay it is the same session as ever, in both directions.
  const many = await clients[1]?.query('SELECT repeat($1, 1000000) AS text', ['abc']);
  expect(many?.rows[0].text).toHaveLength(3_000_000);
  await Promise.all(clients.map((client) => client.end()));
  await world.told(`active ${ENDPOINT}`);
  expect(world.news).toEqual([`wake ${ENDPOINT}`, `active ${ENDPOINT}`]);
});

test('whoever only connects wakes nobody, and neither does who cancels a query', async () => {
  const port = await suspendAt(0);
  const scanner = createConnection(port, '127.0.0.1');
  await once(scanner, 'connect');
  scanner.end();
  const canceller = createConnection(port, '127.0.0.1');
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(1234 * 65536 + 5678, 4);
  canceller.end(request);
  canceller.resume();
  await once(canceller, 'close');
  expect(world.news).toEqual([]);
});

test('a client that wakes what cannot be woken is told why, and the next one may try again', async () => {
  const port = await suspendAt(0);
  world.onWake = async () => {
    throw new VarveError('precondition', 'BRANCH_GONE', 'the branch is being deleted');
  };
  await expect(connect(port)).rejects.toThrow('the branch is being deleted');
  world.onWake = async () => world.spec({ listen: listen(port), settings: { shared_buffers: 'much' } });
  await expect(connect(port)).rejects.toThrow('the server did not start');
  await world.told(`failed ${ENDPOINT} POSTGRES_ENDED`);
  // It is listened for all the same: what it has failed of may be over.
  world.onWake = async () => world.spec({ listen: listen(port) });
  expect(await queryOnce(port, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('a start for a client that waits for storage ends when the endpoint is stopped', async () => {
  const port = await suspendAt(0);
  const nobody = createServer().listen(0, '127.0.0.1');
  await once(nobody, 'listening');
  const { port: closedPort } = nobody.address() as { port: number };
  await new Promise((resolve) => nobody.close(resolve));
  const pageserver = { host: '127.0.0.1', port: closedPort };
  world.onWake = async () => world.spec({ listen: listen(port), pageserver });
  const refused = expect(connect(port)).rejects.toThrow('cancelled');
  const isWaiting = (): boolean =>
    world.logger.lines.some(({ message }) => message === 'The pageserver does not serve a start yet');
  while (!isWaiting()) await new Promise((resolve) => setTimeout(resolve, 10));
  const beganAtMs = performance.now();
  await world.manager.stop(ENDPOINT, never);
  // Storage would be waited for for 20 seconds.
  expect(performance.now() - beganAtMs).toBeLessThan(10_000);
  await refused;
  expect(world.news).toEqual([`wake ${ENDPOINT}`]);
});

test('one that nobody uses is suspended; a transaction and a lock that are held keep it', async () => {
  const { port } = await world.start({ suspendAfterSeconds: 1 });
  const client = await connect(port);
  await client.query('BEGIN');
  const beganAtMs = performance.now();
  while (performance.now() - beganAtMs < 1800) await queryOnce(port, 'SELECT pg_sleep(0.4)');
  await client.query('COMMIT');
  await client.query('SELECT pg_advisory_lock(1)');
  expect(world.news).toEqual([]);
  // The session stays open, and does nothing.
  await client.query('SELECT pg_advisory_unlock(1)');
  const idleAtMs = performance.now();
  const lost = new Promise<void>((resolve) => client.once('end', resolve));
  await world.told(`suspended ${ENDPOINT}`);
  expect(performance.now() - idleAtMs).toBeGreaterThan(990);
  await lost;
  world.onWake = async () => world.spec({ listen: listen(port) });
  expect(await queryOnce(port, 'SELECT 2 AS two')).toEqual([{ two: 2 }]);
});

test('a server that crashes is started anew, and who comes then is served', async () => {
  const { port, pid } = await world.start();
  process.kill(pid, 'SIGKILL');
  await world.told(`active ${ENDPOINT}`);
  expect(await queryOnce(port, 'SELECT 3 AS three')).toEqual([{ three: 3 }]);
});

test('one that another compute has taken the branch from is started for the next client', async () => {
  const { port } = await world.start();
  const other = world.storage.spawnCompute(world.storage.main, 'other');
  await readyLine(other);
  await world.told(`failed ${ENDPOINT} FENCED`);
  expect(await other.kill('SIGTERM')).toBe(0);
  world.onWake = async () => world.spec({ listen: listen(port) });
  expect(await queryOnce(port, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

test('roles are made in a server that runs', async () => {
  const { port } = await world.start();
  const role = { name: 'reader', password: null, login: true };
  await world.manager.applyRoles(ENDPOINT, [role], never);
  expect(await queryOnce(port, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'reader'")).toEqual([
    { rolcanlogin: true },
  ]);
});

test('a port that is taken is named, with who has it; where it may move, it does', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  try {
    await expect(world.start({ listen: listen(port) })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringMatching(
        new RegExp(`port ${port} of 127.0.0.1 is taken by .*\\(process ${process.pid}\\)`),
      ),
    });
    const moved = await world.start({ listen: { host: '127.0.0.1', port, mayMove: true } });
    expect(moved.port).not.toBe(port);
  } finally {
    server.close();
  }
});
