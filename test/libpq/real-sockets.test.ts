import { connect as connectTls } from 'node:tls';
import { Client, type QueryConfig } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { type ConnectOptions, connect } from '../../src/libpq/client/connect.ts';
import { PostgresError } from '../../src/libpq/client/postgres-error.ts';
import type { CopyEnd } from '../../src/libpq/copy-stream.ts';
import { KEEPALIVE_TAG, XLOG_DATA_TAG, XLogData } from '../../src/postgres/wire/replication-messages.ts';
import { makeSelfSigned } from '../support/certificates.ts';
import { RawClient } from '../support/raw-client.ts';
import { StockPostgres } from '../support/stock-postgres.ts';
import { sockets, startService } from './test-service.ts';

const identity = makeSelfSigned(['localhost', '127.0.0.1']);

function clientOptions(changes: Partial<ConnectOptions> = {}): ConnectOptions {
  return {
    user: 'varve',
    clock: nodeClock,
    random: nodeRandom,
    connectTimeoutMs: 10_000,
    signal: new AbortController().signal,
    ...changes,
  };
}

describe('a stock driver', () => {
  test.each([
    ['in clear text', {}, false],
    ['over TLS', { tls: { identity } }, { ca: identity.certificate, servername: 'localhost' }],
  ])('runs queries %s', async (_, options, ssl) => {
    await using service = await startService(options);
    const client = new Client({ host: '127.0.0.1', port: service.port, user: 'u', database: 'd', ssl });
    await client.connect();
    const { rows, command } = await client.query('HELLO');
    expect(rows).toEqual([{ name: 'grün', number: 42, nothing: null }]);
    expect(command).toBe('HELLO');
    await expect(client.query('FAIL')).rejects.toMatchObject({ code: '42601', message: 'this never works' });
    // By the extended protocol.
    const extended: QueryConfig & { queryMode: string } = { text: 'SET', queryMode: 'extended' };
    expect((await client.query(extended)).command).toBe('SET');
    expect(service.handler.sessions.every(({ isSecure }) => isSecure === (ssl !== false))).toBe(true);
    await client.end();
    await Promise.all(service.runs);
    expect(service.endings).toEqual([{ kind: 'client-closed' }]);
  });

  test('sends its token as a password', async () => {
    const authentication = {
      mode: 'token',
      authenticate: async (token: string) => `tenant of ${token}`,
    } as const;
    await using service = await startService({ authentication });
    const client = new Client({ host: '127.0.0.1', port: service.port, user: 'u', password: 'abc' });
    await client.connect();
    await client.query('SET');
    expect(service.handler.sessions[0]?.identity).toBe('tenant of abc');
    await client.end();
  });

  test('is told of a shutdown', async () => {
    await using service = await startService();
    const client = new Client({ host: '127.0.0.1', port: service.port, user: 'u' });
    const failed = new Promise<Error>((resolve) => client.once('error', resolve));
    await client.connect();
    service.stop();
    expect(await failed).toMatchObject({ code: '57P01', message: 'shutdown' });
    await client.end();
    await Promise.all(service.runs);
    expect(service.endings).toEqual([{ kind: 'cancelled' }]);
  });
});

describe('TLS', () => {
  test('from the first byte', async () => {
    await using service = await startService({ tls: { identity } });
    const secure = connectTls({ port: service.port, host: '127.0.0.1', ca: identity.certificate });
    const received: Buffer[] = [];
    secure.on('data', (chunk) => received.push(chunk));
    const body = Buffer.from('user\0u\0\0');
    const header = Buffer.alloc(8);
    header.writeInt32BE(body.length + 8);
    header.writeInt32BE(3 << 16, 4);
    secure.write(Buffer.concat([header, body, Buffer.from('X\0\0\0\x04')]));
    await new Promise((resolve) => secure.on('end', resolve));
    expect(Buffer.concat(received).toString('latin1')).toMatch(/^R.*server_version.*I$/s);
    await Promise.all(service.runs);
    expect(service.endings).toEqual([{ kind: 'client-closed' }]);
  });

  test('bytes that come along with the request are refused, and so is garbage after it', async () => {
    await using service = await startService({ tls: { identity } });
    const request = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    const eager = new RawClient(await sockets.connect(service.listener.address, AbortSignal.timeout(5000)));
    eager.send([...request, 0]);
    await eager.until(() => false);
    expect(eager.errors).toEqual(['FATAL 08P01: 1 unencrypted bytes came with the request for encryption']);
    const garbage = new RawClient(await sockets.connect(service.listener.address, AbortSignal.timeout(5000)));
    garbage.send(request);
    await garbage.until(() => garbage.received.length > 0);
    garbage.send('this is no handshake, and never will be one');
    await garbage.until(() => false);
    await Promise.all(service.runs);
    expect(service.endings).toMatchObject([
      { kind: 'error', error: { code: 'UNENCRYPTED_DATA' } },
      { kind: 'error', error: { code: 'TLS_FAILED' } },
    ]);
  });

  test('our client insists on it, and on a server that it trusts', async () => {
    await using service = await startService({ tls: { identity } });
    const tls = { authorities: identity.certificate, serverName: 'localhost' };
    const client = await connect(sockets, service.listener.address, clientOptions({ tls }));
    expect((await client.query('HELLO')).rows).toEqual([['grün', '42', null]]);
    await client.close();
    const other = makeSelfSigned(['localhost']).certificate;
    await expect(
      connect(sockets, service.listener.address, clientOptions({ tls: { ...tls, authorities: other } })),
    ).rejects.toMatchObject({ code: 'TLS_FAILED' });
    await expect(connect(sockets, service.listener.address, clientOptions())).rejects.toMatchObject({
      sqlState: '28000',
    });
    await using plain = await startService();
    await expect(connect(sockets, plain.listener.address, clientOptions({ tls }))).rejects.toMatchObject({
      code: 'TLS_REFUSED',
    });
  });
});

describe('our client and our server', () => {
  test('copy both ways, end both halves, and go on', async () => {
    await using service = await startService();
    const client = await connect(
      sockets,
      service.listener.address,
      clientOptions({ parameters: { application_name: 'a', options: '-c timeline_id=1' } }),
    );
    service.handler.onCopied = (stream, body) => {
      stream.sendWithPayload(
        Buffer.from(['d', ...'\0\0\0\0'].join('')).fill(body.length + 4, 4),
        body.slice(),
      );
    };
    const bodies: string[] = [];
    let onEcho = (): void => undefined;
    const ends: CopyEnd[] = [];
    const stream = await client.copyBoth('COPY', {
      onCopyData: (bytes, offset, length) => {
        // Also with the first one, which comes along with CopyBothResponse.
        expect(stream.isReceiving).toBe(true);
        bodies.push(Buffer.from(bytes.subarray(offset, offset + length)).toString());
        onEcho();
      },
      onCopyEnd: (end) => ends.push(end),
    });
    const echoed = new Promise<void>((resolve) => {
      onEcho = () => (bodies.length >= 3 ? resolve() : undefined);
    });
    stream.sendCopyData(Buffer.from('one'));
    stream.sendCopyData(Buffer.from('two'));
    await echoed;
    expect(bodies).toEqual(['first', 'one', 'two']);
    await client.endCopy();
    expect(service.handler.ends).toEqual([{ kind: 'done' }]);
    expect((await client.query('SET')).commandTag).toBe('SET');
    await client.close();
    await Promise.all(service.runs);
    expect(service.endings).toEqual([{ kind: 'client-closed' }]);
  });

  test('an error of the server within a COPY reaches the receiver with its SQLSTATE', async () => {
    await using service = await startService();
    const client = await connect(sockets, service.listener.address, clientOptions());
    const ended = Promise.withResolvers<CopyEnd>();
    await client.copyBoth('COPY', { onCopyData: () => undefined, onCopyEnd: ended.resolve });
    service.stop();
    const end = await ended.promise;
    expect(end).toMatchObject({ kind: 'failed', error: { sqlState: '57P01', kind: 'unavailable' } });
    await client.close();
  });

  test('a signal ends a connection at any time', async () => {
    await using service = await startService();
    const life = new AbortController();
    const client = await connect(sockets, service.listener.address, clientOptions({ signal: life.signal }));
    const waiting = client.query('WAIT');
    life.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(client.isClosed).toBe(true);
    await expect(
      connect(sockets, service.listener.address, clientOptions({ signal: life.signal })),
    ).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  test('a server that says nothing is given up', async () => {
    await using listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, () => undefined);
    await expect(
      connect(sockets, listener.address, clientOptions({ connectTimeoutMs: 30 })),
    ).rejects.toMatchObject({ kind: 'unavailable', code: 'CONNECT_TIMEOUT' });
  });

  test.each([
    ['garbage', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'BAD_MESSAGE_LENGTH'],
    ['a message of 2 GB', Buffer.from('E\x7f\xff\xff\xff', 'latin1'), 'BAD_MESSAGE_LENGTH'],
    ['a row before the login', Buffer.from('D\0\0\0\x06\0\0', 'latin1'), 'UNEXPECTED_MESSAGE'],
    ['MD5', Buffer.from('R\0\0\0\x0c\0\0\0\x05abcd', 'latin1'), 'UNSUPPORTED_AUTHENTICATION'],
    ['a password, where there is none', Buffer.from('R\0\0\0\x08\0\0\0\x03', 'latin1'), 'NO_PASSWORD'],
    [
      'the end of SCRAM at its beginning',
      Buffer.from('R\0\0\0\x08\0\0\0\x0c', 'latin1'),
      'UNEXPECTED_MESSAGE',
    ],
    ['nothing, and closes', Buffer.alloc(0), 'CONNECTION_LOST'],
  ])('a server that answers with %s', async (_, answer, code) => {
    await using listener = await sockets.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      const server = new RawClient(connection);
      connection.send(answer);
      if (answer.length === 0) connection.end();
      void server;
    });
    await expect(connect(sockets, listener.address, clientOptions())).rejects.toMatchObject({ code });
  });
});

describe('our client and a stock PostgreSQL', () => {
  let postgres: StockPostgres;
  beforeAll(async () => {
    postgres = await StockPostgres.create({
      major: 17,
      settings: { wal_level: 'replica', max_wal_senders: 4 },
    });
    await postgres.start();
  });
  afterAll(() => postgres.dispose());

  const address = (): { host: string; port: number } => ({ host: '127.0.0.1', port: postgres.port });
  const login = (changes: Partial<ConnectOptions> = {}): ConnectOptions => {
    const { PGUSER: user = '', PGPASSWORD: password = '' } = postgres.clientEnvironment();
    return clientOptions({ user, database: 'postgres', password, ...changes });
  };

  test('SCRAM-SHA-256, queries, and errors between them', async () => {
    const client = await connect(
      sockets,
      address(),
      login({ password: async () => login().password as string }),
    );
    expect(client.parameters.get('server_version')).toMatch(/^17\./);
    expect(await client.query("SELECT 1 AS a, NULL AS b, 'grün' AS c")).toEqual({
      columns: ['a', 'b', 'c'],
      rows: [['1', null, 'grün']],
      commandTag: 'SELECT 1',
    });
    const failed = client.query('SELECT 1/0');
    await expect(failed).rejects.toBeInstanceOf(PostgresError);
    await expect(failed).rejects.toMatchObject({ sqlState: '22012', message: 'division by zero' });
    expect((await client.query('SELECT count(*) FROM generate_series(1, 3000)')).rows).toEqual([['3000']]);
    await client.close();
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    await expect(connect(sockets, address(), login({ password: 'wrong' }))).rejects.toMatchObject({
      sqlState: '28P01',
      severity: 'FATAL',
    });
  });

  test('over a Unix socket', async () => {
    const path = `${postgres.socketDirectory}/.s.PGSQL.${postgres.port}`;
    const client = await connect(sockets, { path }, login());
    expect((await client.query('SELECT inet_server_addr()')).rows).toEqual([[null]]);
    await client.close();
  });

  test('START_REPLICATION PHYSICAL streams WAL, ends, and the connection goes on', async () => {
    const client = await connect(sockets, address(), login({ parameters: { replication: 'true' } }));
    const { rows, columns } = await client.query('IDENTIFY_SYSTEM');
    expect(columns).toEqual(['systemid', 'timeline', 'xlogpos', 'dbname']);
    const startLsn = rows[0]?.[2] as string;
    await expect(client.copyBoth('START_REPLICATION SLOT "no" PHYSICAL 0/0', nobody)).rejects.toMatchObject({
      sqlState: '42704',
      kind: 'not-found',
    });
    const data = new XLogData();
    const enough = Promise.withResolvers<void>();
    let receivedBytes = 0;
    let nextLsn: number | undefined;
    await client.copyBoth(`START_REPLICATION PHYSICAL ${startLsn}`, {
      onCopyData: (_, offset, length, view) => {
        const tag = view.getUint8(offset);
        expect([XLOG_DATA_TAG, KEEPALIVE_TAG]).toContain(tag);
        if (tag !== XLOG_DATA_TAG) return;
        data.read(view, offset, length);
        expect(data.startLsn).toBe(nextLsn ?? data.startLsn);
        nextLsn = data.startLsn + data.dataLength;
        receivedBytes += data.dataLength;
        if (receivedBytes > 1_000_000) enough.resolve();
      },
      onCopyEnd: (end) => {
        if (end.kind !== 'done') enough.reject(new Error(end.kind));
      },
    });
    await postgres.query("CREATE TABLE t AS SELECT i, repeat('x', 500) AS x FROM generate_series(1, 5000) i");
    await enough.promise;
    await client.endCopy();
    expect((await client.query('IDENTIFY_SYSTEM')).rows).toHaveLength(1);
    await client.close();
  });

  test('COPY TO STDOUT comes in chunks, holds the server back, and the connection goes on', async () => {
    const client = await connect(sockets, address(), login());
    const numbers = (count: number): string => `COPY (SELECT generate_series(1, ${count})) TO STDOUT`;
    const chunks: Uint8Array[] = [];
    for await (const chunk of client.copyOut(numbers(10_000))) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString().split('\n').map(Number).at(9999)).toBe(10_000);
    await expect(client.copyOut('COPY nothing TO STDOUT').next()).rejects.toMatchObject({
      sqlState: '42P01',
    });
    // An error in its midst: what came before it is there.
    const failing = client.copyOut(`COPY (SELECT 10 / (100 - n) FROM generate_series(1, 100) n) TO STDOUT`);
    let rows = 0;
    const all = async (): Promise<void> => {
      for await (const _ of failing) rows++;
    };
    await expect(all()).rejects.toMatchObject({ sqlState: '22012' });
    expect(rows).toBe(99);
    expect((await client.query('SELECT 1')).rows).toEqual([['1']]);

    // Many times of what sockets hold: the server waits until it is asked for more.
    const slow = client.copyOut(numbers(20_000_000));
    await slow.next();
    const states = `SELECT wait_event FROM pg_stat_activity WHERE query LIKE 'COPY%20000000%' AND state = 'active'`;
    await vi.waitFor(
      async () => expect(await postgres.query(states)).toEqual([{ wait_event: 'ClientWrite' }]),
      { timeout: 20_000 },
    );
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'ASSERTION' });
    await slow.return();
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'COPY_GIVEN_UP' });
    expect(client.isClosed).toBe(true);
  });

  test('a server that crashes is a lost connection', async () => {
    const client = await connect(sockets, address(), login());
    const waiting = client.query('SELECT pg_sleep(100)');
    const failed = expect(waiting).rejects.toMatchObject({ kind: 'unavailable' });
    await postgres.crash();
    await failed;
    await client.close();
    await postgres.start();
  });
});

const nobody = { onCopyData: (): void => undefined, onCopyEnd: (): void => undefined };
