// A stock server understands what our codecs write, and they read every byte that it sends.
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatLsn, parseLsn, toLsn } from '../../src/base/lsn.ts';
import { RM_HEAP } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import type { AuthenticationRequest } from '../../src/postgres/wire/authentication-request.ts';
import { encodeSaslInitialResponse } from '../../src/postgres/wire/authentication-response.ts';
import {
  type BackendMessage,
  backendBodyLimits,
  decodeBackendMessage,
  writeBackendMessage,
} from '../../src/postgres/wire/backend-messages.ts';
import { FrameCutter, MESSAGE_HEADER_BYTES } from '../../src/postgres/wire/framing.ts';
import { type FrontendMessage, writeFrontendMessage } from '../../src/postgres/wire/frontend-messages.ts';
import { MessageWriter } from '../../src/postgres/wire/message-writer.ts';
import { formatReplicationCommand } from '../../src/postgres/wire/replication-commands.ts';
import {
  HOT_STANDBY_FEEDBACK_BYTES,
  HotStandbyFeedback,
  KEEPALIVE_TAG,
  Keepalive,
  readReplicationTag,
  refuseReplicationTag,
  STANDBY_STATUS_BYTES,
  writeHotStandbyFeedback,
  writeStandbyStatus,
  XLOG_DATA_TAG,
  XLogData,
} from '../../src/postgres/wire/replication-messages.ts';
import {
  checkScramServerFinal,
  SCRAM_RAW_NONCE_BYTES,
  SCRAM_SHA_256_NAME,
  scramClientFinal,
  scramClientFirst,
} from '../../src/postgres/wire/scram.ts';
import {
  decodeEncryptionAnswer,
  encodeStartupPacket,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
} from '../../src/postgres/wire/startup.ts';
import { formatOptions } from '../../src/postgres/wire/startup-options.ts';
import { StockPostgres } from '../support/stock-postgres.ts';

/** Small, so that many messages are cut. */
const RECEIVE_BUFFER_BYTES = 4096;
const BODY_BYTES_MAX = 1024 * 1024;

let server: StockPostgres;

beforeAll(async () => {
  server = await StockPostgres.create({ major: 17, settings: { fsync: false, autovacuum: false } });
  await server.start();
});

afterAll(async () => {
  await server.dispose();
});

type Kind = BackendMessage['kind'];
type Of<K extends Kind> = Extract<BackendMessage, { readonly kind: K }>;

/** A connection with our codecs on top of a socket. */
class Connection implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #cutter = new FrameCutter({ limits: backendBodyLimits(BODY_BYTES_MAX), form: 'regular' });
  readonly #messages: BackendMessage[] = [];
  #encryptionAnswer: number | undefined;
  #awaitsEncryptionAnswer = false;
  #failure: unknown;
  #isClosed = false;
  #wake: () => void = () => undefined;

  private constructor(target: { path: string } | { host: string; port: number }) {
    const onread = {
      buffer: Buffer.alloc(RECEIVE_BUFFER_BYTES),
      callback: (length: number, buffer: Uint8Array): boolean => {
        try {
          this.#receive(buffer, length);
        } catch (error) {
          this.#failure = error;
        }
        this.#wake();
        return true;
      },
    };
    this.#socket = connect({ ...target, onread });
    this.#socket.on('error', (error) => {
      this.#failure = error;
      this.#wake();
    });
    this.#socket.on('close', () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  static overUnixSocket(): Connection {
    return new Connection({ path: `${server.socketDirectory}/.s.PGSQL.${server.port}` });
  }

  static overTcp(): Connection {
    return new Connection({ host: '127.0.0.1', port: server.port });
  }

  #receive(buffer: Uint8Array, length: number): void {
    let start = 0;
    if (this.#awaitsEncryptionAnswer) {
      this.#awaitsEncryptionAnswer = false;
      this.#encryptionAnswer = buffer[start++];
    }
    const cutter = this.#cutter;
    cutter.feed(buffer, start, length);
    while (cutter.next()) {
      const message = decodeBackendMessage(cutter.tag, cutter.bytes, cutter.bodyOffset, cutter.bodyLength);
      const writer = new MessageWriter();
      writeBackendMessage(writer, message);
      const original = cutter.bytes.subarray(
        cutter.bodyOffset - MESSAGE_HEADER_BYTES,
        cutter.bodyOffset + cutter.bodyLength,
      );
      if (Buffer.compare(writer.take(), original) !== 0) {
        throw new Error(`${message.kind} is written in another way than the server wrote it`);
      }
      this.#messages.push(message);
    }
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#isClosed) throw new Error('the server closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  send(...messages: FrontendMessage[]): void {
    const writer = new MessageWriter();
    for (const message of messages) writeFrontendMessage(writer, message);
    this.write(writer.take());
  }

  async isEncryptionGranted(asked: 'SslRequest' | 'GssEncRequest'): Promise<boolean> {
    this.#awaitsEncryptionAnswer = true;
    this.write(encodeStartupPacket({ kind: asked }));
    await this.#until(() => this.#encryptionAnswer !== undefined);
    const answer = this.#encryptionAnswer as number;
    this.#encryptionAnswer = undefined;
    return decodeEncryptionAnswer(asked, answer);
  }

  startUp(parameters: Record<string, string>, protocolVersion: number = PROTOCOL_3_0): void {
    const entries = new Map(Object.entries({ user: 'postgres', database: 'postgres', ...parameters }));
    this.write(encodeStartupPacket({ kind: 'Startup', protocolVersion, parameters: entries }));
  }

  async receive(): Promise<BackendMessage> {
    await this.#until(() => this.#messages.length > 0);
    return this.#messages.shift() as BackendMessage;
  }

  async receiveThe<K extends Kind>(kind: K): Promise<Of<K>> {
    const message = await this.receive();
    if (message.kind !== kind) throw new Error(`${JSON.stringify(message)} came instead of ${kind}`);
    return message as Of<K>;
  }

  /** All messages up to the next ReadyForQuery, and that. */
  async receiveUntilReady(): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = [];
    do messages.push(await this.receive());
    while (messages.at(-1)?.kind !== 'ReadyForQuery');
    return messages;
  }

  async query(query: string): Promise<BackendMessage[]> {
    this.send({ kind: 'Query', query });
    return this.receiveUntilReady();
  }

  /** Ends the connection as a client does, and checks that the server has left no byte that was not understood. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) {
      this.send({ kind: 'Terminate' });
      await this.#until(() => this.#isClosed);
    }
    expect(this.#cutter.restLength).toBe(0);
    this.#socket.destroy();
    if (this.#failure !== undefined) throw this.#failure;
  }
}

const text = (value: Uint8Array | null | undefined): string | null =>
  value === null || value === undefined ? null : Buffer.from(value).toString();
const kinds = (messages: readonly BackendMessage[]): string => messages.map(({ kind }) => kind).join(' ');
const rows = (messages: readonly BackendMessage[]): (string | null)[][] =>
  messages.flatMap((message) => (message.kind === 'DataRow' ? [message.values.map(text)] : []));

/** One that has started up by trust. */
async function open(parameters: Record<string, string> = {}): Promise<Connection> {
  const connection = Connection.overUnixSocket();
  connection.startUp(parameters);
  expect(await connection.receiveThe('Authentication')).toMatchObject({ request: { method: 'Ok' } });
  await connection.receiveUntilReady();
  return connection;
}

describe('starting up', () => {
  test('encryption is asked for, a newer protocol is negotiated down, options are understood', async () => {
    await using connection = Connection.overUnixSocket();
    expect(await connection.isEncryptionGranted('SslRequest')).toBe(false);
    expect(await connection.isEncryptionGranted('GssEncRequest')).toBe(false);
    const options = formatOptions([
      ['wire.text', 'a b\\c\t'],
      ['work_mem', '7MB'],
    ]);
    connection.startUp({ options, application_name: 'wire', '_pq_.unheard_of': 'x' }, PROTOCOL_3_2);
    expect(await connection.receiveThe('NegotiateProtocolVersion')).toEqual({
      kind: 'NegotiateProtocolVersion',
      protocolVersion: PROTOCOL_3_0,
      unrecognizedOptions: ['_pq_.unheard_of'],
    });
    expect(await connection.receiveThe('Authentication')).toMatchObject({ request: { method: 'Ok' } });
    const messages = await connection.receiveUntilReady();
    expect(messages).toContainEqual({ kind: 'ParameterStatus', name: 'application_name', value: 'wire' });
    expect(messages.find(({ kind }) => kind === 'BackendKeyData')).toMatchObject({
      secretKey: expect.toSatisfy((key: Uint8Array) => key.length === 4),
    });
    expect(messages.at(-1)).toEqual({ kind: 'ReadyForQuery', status: 'idle' });
    expect(rows(await connection.query('SHOW wire.text; SHOW work_mem'))).toEqual([['a b\\c\t'], ['7MB']]);
  });

  test('an unknown user is an error with all its fields', async () => {
    await using connection = Connection.overUnixSocket();
    connection.startUp({ user: 'nobody' });
    expect(await connection.receiveThe('Authentication')).toMatchObject({ request: { method: 'Ok' } });
    expect(await connection.receiveThe('ErrorResponse')).toMatchObject({
      fields: { severity: 'FATAL', sqlState: '28000', routine: expect.any(String), line: expect.any(String) },
    });
    await expect(connection.receive()).rejects.toThrow(/closed the connection/);
  });

  test('SCRAM over TCP: both sides prove that they know the password', async () => {
    const { user, password, database } = readConnectionString();
    await using connection = Connection.overTcp();
    connection.startUp({ user, database });
    const request = async (): Promise<AuthenticationRequest> =>
      (await connection.receiveThe('Authentication')).request;
    expect(await request()).toEqual({ method: 'SASL', mechanisms: [SCRAM_SHA_256_NAME] });
    const nonce = randomBytes(SCRAM_RAW_NONCE_BYTES).toString('base64');
    const response = Buffer.from(scramClientFirst(nonce));
    connection.send({
      kind: 'AuthenticationResponse',
      data: encodeSaslInitialResponse({ mechanism: SCRAM_SHA_256_NAME, response }),
    });
    const challenge = await request();
    if (challenge.method !== 'SASLContinue')
      throw new Error(`${challenge.method} came instead of SASLContinue`);
    const final = scramClientFinal(password, nonce, Buffer.from(challenge.data).toString());
    connection.send({ kind: 'AuthenticationResponse', data: Buffer.from(final.message) });
    const last = await request();
    if (last.method !== 'SASLFinal') throw new Error(`${last.method} came instead of SASLFinal`);
    checkScramServerFinal(final, Buffer.from(last.data).toString());
    expect(await request()).toEqual({ method: 'Ok' });
    await connection.receiveUntilReady();
  });

  test('a CancelRequest with the key of BackendKeyData ends a query', async () => {
    await using connection = Connection.overUnixSocket();
    connection.startUp({});
    const started = await connection.receiveUntilReady();
    const key = started.find((message) => message.kind === 'BackendKeyData');
    if (key === undefined) throw new Error('there was no BackendKeyData');
    const { processId, secretKey } = key;
    connection.send({
      kind: 'Query',
      query: "SELECT 1; DO $$BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(60); END$$",
    });
    // The query runs once its notice is here.
    while ((await connection.receive()).kind !== 'NoticeResponse');
    const canceller = Connection.overUnixSocket();
    canceller.write(encodeStartupPacket({ kind: 'CancelRequest', processId, secretKey }));
    await expect(canceller.receive()).rejects.toThrow(/closed the connection/);
    const messages = await connection.receiveUntilReady();
    expect(messages[0]).toMatchObject({ kind: 'ErrorResponse', fields: { sqlState: '57014' } });
  });
});

function readConnectionString(): { user: string; password: string; database: string } {
  const url = new URL(server.connectionString());
  const [user, password] = [url.username, url.password].map(decodeURIComponent) as [string, string];
  return { user, password, database: url.pathname.slice(1) };
}

describe('queries', () => {
  test('simple: rows, notices, errors, notifications, nothing at all', async () => {
    await using connection = await open();
    const messages = await connection.query(
      "SELECT 1 AS a, NULL AS b; SET work_mem = 100; LISTEN c; NOTIFY c, 'p'",
    );
    expect(kinds(messages)).toBe(
      'RowDescription DataRow CommandComplete CommandComplete CommandComplete CommandComplete NotificationResponse ReadyForQuery',
    );
    expect(messages[0]).toMatchObject({
      fields: [
        { name: 'a', typeOid: 23, typeSize: 4 },
        { name: 'b', typeOid: 25 },
      ],
    });
    expect(rows(messages)).toEqual([['1', null]]);
    expect(messages.at(-2)).toMatchObject({ channel: 'c', payload: 'p' });
    expect(kinds(await connection.query(''))).toBe('EmptyQueryResponse ReadyForQuery');
    expect(
      (await connection.query("DO $$BEGIN RAISE NOTICE 'n' USING HINT = 'h', DETAIL = 'd'; END$$"))[0],
    ).toMatchObject({
      kind: 'NoticeResponse',
      fields: { severity: 'NOTICE', message: 'n', hint: 'h', detail: 'd', context: expect.any(String) },
    });
    expect(await connection.query('BEGIN; SELECT x')).toMatchObject([
      { kind: 'CommandComplete', commandTag: 'BEGIN' },
      { kind: 'ErrorResponse', fields: { sqlState: '42703', position: '15' } },
      { kind: 'ReadyForQuery', status: 'failed' },
    ]);
  });

  test('extended: a statement, a portal, a limit, and what skips to Sync after an error', async () => {
    await using connection = await open();
    const parse = {
      kind: 'Parse',
      statement: 's',
      query: 'SELECT n, $1::text FROM generate_series(1, $2::int) n',
    } as const;
    connection.send(
      { ...parse, parameterTypeOids: [] },
      { kind: 'Describe', target: 'statement', name: 's' },
      {
        kind: 'Bind',
        portal: 'p',
        statement: 's',
        parameterFormats: ['text', 'binary'],
        parameters: [null, Uint8Array.of(0, 0, 0, 3)],
        resultFormats: ['binary', 'text'],
      },
      { kind: 'Describe', target: 'portal', name: 'p' },
      { kind: 'Execute', portal: 'p', rowsMax: 2 },
      { kind: 'Execute', portal: 'p', rowsMax: 0 },
      { kind: 'Close', target: 'portal', name: 'p' },
      { kind: 'Close', target: 'statement', name: 's' },
      { kind: 'Sync' },
    );
    const messages = await connection.receiveUntilReady();
    expect(kinds(messages)).toBe(
      'ParseComplete ParameterDescription RowDescription BindComplete RowDescription DataRow DataRow PortalSuspended DataRow CommandComplete CloseComplete CloseComplete ReadyForQuery',
    );
    expect(messages[1]).toEqual({ kind: 'ParameterDescription', typeOids: [25, 23] });
    expect(messages[4]).toMatchObject({ fields: [{ format: 'binary' }, { format: 'text' }] });
    expect(messages[8]).toEqual({ kind: 'DataRow', values: [Uint8Array.of(0, 0, 0, 3), null] });

    connection.send(
      { ...parse, query: 'SET work_mem = 128', parameterTypeOids: [] },
      { kind: 'Describe', target: 'statement', name: 's' },
      { kind: 'Flush' },
    );
    await connection.receiveThe('ParseComplete');
    expect(await connection.receiveThe('ParameterDescription')).toMatchObject({ typeOids: [] });
    await connection.receiveThe('NoData');
    connection.send({ kind: 'Execute', portal: 'none', rowsMax: 0 }, { kind: 'Flush' }, { kind: 'Sync' });
    expect(kinds(await connection.receiveUntilReady())).toBe('ErrorResponse ReadyForQuery');
  });

  test('copying, in and out', async () => {
    await using connection = await open();
    await connection.query('CREATE TEMP TABLE t (a int, b text)');
    connection.send({ kind: 'Query', query: 'COPY t FROM STDIN' });
    expect(await connection.receiveThe('CopyInResponse')).toMatchObject({ columnFormats: ['text', 'text'] });
    connection.send({ kind: 'CopyData', data: Buffer.from('1\tx\n2\ty\n') }, { kind: 'CopyDone' });
    expect(await connection.receiveUntilReady()).toContainEqual({
      kind: 'CommandComplete',
      commandTag: 'COPY 2',
    });
    connection.send({ kind: 'Query', query: 'COPY t FROM STDIN' });
    await connection.receiveThe('CopyInResponse');
    connection.send({ kind: 'CopyFail', reason: 'no more' });
    expect(await connection.receiveThe('ErrorResponse')).toMatchObject({
      fields: { message: expect.stringContaining('no more') },
    });
    await connection.receiveThe('ReadyForQuery');
    expect(kinds(await connection.query('COPY t TO STDOUT'))).toBe(
      'CopyOutResponse CopyData CopyData CopyDone CommandComplete ReadyForQuery',
    );
  });
});

test('WAL is streamed, read, and acknowledged', async () => {
  await server.query('CREATE TABLE streamed (n int, t text)');
  await using connection = await open({ replication: 'true', application_name: 'wire_test' });
  const identified = rows(await connection.query(formatReplicationCommand({ kind: 'IdentifySystem' })));
  const flushLsn = parseLsn(identified[0]?.[2] as string);
  const shown = rows(
    await connection.query(formatReplicationCommand({ kind: 'Show', name: 'wal_segment_size' })),
  );
  expect(shown).toEqual([['16MB']]);
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: 16 * 1024 * 1024,
    startLsn: flushLsn,
    mode: 'search',
  });
  const startLsn = toLsn(reader.position);
  const command = formatReplicationCommand({ kind: 'StartReplication', startLsn, timelineId: 1 });
  connection.send({ kind: 'Query', query: command });
  expect(await connection.receiveThe('CopyBothResponse')).toMatchObject({
    format: 'text',
    columnFormats: [],
  });

  const rowsInserted = 5000;
  await server.query(
    `INSERT INTO streamed SELECT n, repeat('x', 100) FROM generate_series(1, ${rowsInserted}) n`,
  );
  const [{ lsn }] = (await server.query<{ lsn: string }>(
    'SELECT pg_current_wal_flush_lsn()::text AS lsn',
  )) as [{ lsn: string }];
  const [{ xid }] = (await server.query<{ xid: string }>('SELECT txid_current()::text AS xid')) as [
    { xid: string },
  ];
  const targetLsn = parseLsn(lsn);

  const data = new XLogData();
  const record = new DecodedRecord(POSTGRES_17);
  let heapRecords = 0;
  while (reader.position < targetLsn) {
    const { data: bytes } = await connection.receiveThe('CopyData');
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const tag = readReplicationTag(view, 0, bytes.length);
    if (tag === KEEPALIVE_TAG) continue;
    if (tag !== XLOG_DATA_TAG) refuseReplicationTag(tag);
    data.read(view, 0, bytes.length);
    expect(data.startLsn).toBe(reader.position);
    expect(data.serverEndLsn).toBeGreaterThanOrEqual(data.startLsn + data.dataLength);
    reader.feed(bytes, data.dataOffset, data.dataOffset + data.dataLength);
    while (reader.next()) {
      reader.decode(record);
      if (record.resourceManager === RM_HEAP) heapRecords++;
    }
  }
  expect(reader.lastEndLsn).toBeGreaterThanOrEqual(targetLsn);
  expect(heapRecords).toBeGreaterThanOrEqual(rowsInserted);
  // A time within a minute of ours, so that the epoch is right.
  const now = (Date.now() - Date.UTC(2000, 0, 1)) * 1000;
  expect(Math.abs(now - data.sendTimeMicroseconds)).toBeLessThan(60_000_000);

  // The keepalive that answers the status tells that the server has taken both.
  const answers = new Uint8Array(HOT_STANDBY_FEEDBACK_BYTES + STANDBY_STATUS_BYTES);
  const answersView = new DataView(answers.buffer);
  const feedback = Object.assign(new HotStandbyFeedback(), { sendTimeMicroseconds: now, xmin: Number(xid) });
  const statusOffset = writeHotStandbyFeedback(answersView, 0, feedback);
  writeStandbyStatus(answersView, statusOffset, targetLsn, targetLsn - 8, startLsn, now, true);
  connection.write(answers);
  const keepalive = new Keepalive();
  for (let isAnswered = false; !isAnswered; ) {
    const { data: bytes } = await connection.receiveThe('CopyData');
    if (bytes[0] !== KEEPALIVE_TAG) continue;
    keepalive.read(new DataView(bytes.buffer), 0, bytes.length);
    isAnswered = true;
  }
  expect(keepalive.serverEndLsn).toBeGreaterThanOrEqual(targetLsn);
  const [seen] = await server.query(
    `SELECT write_lsn::text, flush_lsn::text, replay_lsn::text, backend_xmin::text
       FROM pg_stat_replication WHERE application_name = 'wire_test'`,
  );
  expect(seen).toEqual({
    write_lsn: formatLsn(targetLsn),
    flush_lsn: formatLsn(targetLsn - 8),
    replay_lsn: formatLsn(startLsn),
    backend_xmin: xid,
  });

  connection.send({ kind: 'CopyDone' });
  const ending = await connection.receiveUntilReady();
  expect(kinds(ending.filter(({ kind }) => kind !== 'CopyData'))).toMatch(
    /^CopyDone (CommandComplete )+ReadyForQuery$/,
  );
  expect(rows(await connection.query('IDENTIFY_SYSTEM'))).toHaveLength(1);
});
