import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { connect } from '../../src/libpq/client/connect.ts';
import { StockPostgres } from '../support/stock-postgres.ts';

const TIMEOUT_MS = 60_000;
let server: StockPostgres;
let client: ClientConnection;

beforeAll(async () => {
  server = await StockPostgres.create({ major: 17, settings: { fsync: false } });
  await server.start();
  const url = new URL(server.connectionString());
  const sockets = nodeSockets((error) => {
    throw error;
  });
  client = await connect(
    sockets,
    { host: url.hostname, port: Number(url.port) },
    {
      user: url.username,
      database: 'postgres',
      password: url.password,
      clock: nodeClock,
      random: nodeRandom,
      connectTimeoutMs: TIMEOUT_MS,
      signal: new AbortController().signal,
    },
  );
  await client.query('CREATE TABLE t (a int PRIMARY KEY, b text)');
}, TIMEOUT_MS);

afterAll(async () => {
  await client?.close();
  await server?.dispose();
});

const count = async (): Promise<unknown> => (await client.query('SELECT count(*) FROM t')).rows[0]?.[0];
const lines = (from: number, to: number): Uint8Array =>
  Buffer.from(
    Array.from({ length: to - from }, (_, at) => `${from + at}\t${'x'.repeat(at % 300)}\n`).join(''),
  );

test('rows go in and come out in chunks', { timeout: TIMEOUT_MS }, async () => {
  const copy = await client.copyIn('COPY t FROM STDIN');
  for (let at = 0; at < 20_000; at += 5000) await copy.send(lines(at, at + 5000));
  expect(await copy.finish()).toMatchObject({ commandTag: 'COPY 20000' });

  const chunks: Uint8Array[] = [];
  let rows = 0;
  for await (const { bytes, messages } of client.copyOutChunks(
    'COPY (TABLE t ORDER BY a) TO STDOUT',
    10_000,
  )) {
    expect(bytes.length).toBeLessThan(11_000);
    chunks.push(bytes);
    rows += messages;
  }
  expect(rows).toBe(20_000);
  const sent = Array.from({ length: 4 }, (_, at) => lines(at * 5000, at * 5000 + 5000));
  expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true);
  expect(await Array.fromAsync(client.copyOutChunks('COPY (SELECT 1 WHERE false) TO STDOUT', 100))).toEqual(
    [],
  );
  expect(await count()).toBe('20000');
});

test('what the server refuses is thrown, and the connection is as good as before', {
  timeout: TIMEOUT_MS,
}, async () => {
  await expect(client.copyIn('COPY nowhere FROM STDIN')).rejects.toMatchObject({ sqlState: '42P01' });
  await expect(client.copyOutChunks('COPY nowhere TO STDOUT', 10).next()).rejects.toMatchObject({
    sqlState: '42P01',
  });
  const copy = await client.copyIn('COPY t FROM STDIN');
  // The server says no to the first bytes, and takes the rest only to throw it away.
  for (let at = 0; at < 200 && !copy.isOver; at++) await copy.send(lines(0, 5000));
  await expect(copy.finish()).rejects.toMatchObject({ sqlState: '23505' });
  const given = await client.copyIn('COPY t FROM STDIN');
  await given.send(lines(30_000, 30_100));
  await given.fail('not wanted any more');
  expect(await count()).toBe('20000');
});
