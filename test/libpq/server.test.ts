import { describe, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { int32 } from '../support/raw-client.ts';
import { startInMemory } from './test-service.ts';

const ready = (client: { tags: string }): boolean => client.tags.endsWith('Z');

describe('start-up', () => {
  test('a trusted client is told what Neon tells it, and its options are known', async () => {
    const { client, handler, ended } = startInMemory();
    client.sendStartup({
      user: 'u',
      application_name: 'safekeeper_1',
      options: '-c timeline_id=0a tenant_id=0b shard\\ x=1',
    });
    await client.until(() => ready(client));
    expect(client.tags).toBe('RSSSZ');
    const texts = client.messages.map(({ body }) => body.toString('latin1'));
    expect(texts.slice(1, 4)).toEqual([
      'client_encoding\0UTF8\0',
      'integer_datetimes\0on\0',
      'server_version\x0014.1\0',
    ]);
    client.sendMessage('Q', 'SET\0');
    await client.until(() => client.tags.endsWith('CZ'));
    const [session] = handler.sessions;
    expect(session?.applicationName).toBe('safekeeper_1');
    expect([...(session?.options ?? [])]).toEqual([
      ['timeline_id', '0a'],
      ['tenant_id', '0b'],
      ['shard x', '1'],
    ]);
    expect([session?.identity, session?.peer, session?.isSecure]).toEqual(['anybody', 'right', false]);
    client.sendMessage('X');
    expect(await ended).toEqual({ kind: 'client-closed' });
  });

  test('a token is asked for and checked', async () => {
    const authenticate = async (token: string): Promise<string> => {
      if (token === 'good') return 'tenant';
      throw new VarveError('precondition', 'BAD_TOKEN', 'JWT authentication error');
    };
    const good = startInMemory({ authentication: { mode: 'token', authenticate } });
    good.client.sendStartup();
    await good.client.until(() => good.client.tags === 'R');
    expect([...good.client.received.subarray(5)]).toEqual([0, 0, 0, 3]);
    good.client.sendMessage('p', 'good\0');
    await good.client.until(() => ready(good.client));
    expect(good.client.tags).toBe('RRSZ');
    good.client.sendMessage('Q', 'SET\0');
    await good.client.until(() => good.client.tags.endsWith('CZ'));
    expect(good.handler.sessions[0]?.identity).toBe('tenant');
    good.client.connection.end();
    expect(await good.ended).toEqual({ kind: 'client-closed' });

    const bad = startInMemory({ authentication: { mode: 'token', authenticate } });
    bad.client.sendStartup();
    bad.client.sendMessage('p', 'bad\0');
    await bad.client.until(() => false);
    expect(bad.client.errors).toEqual(['FATAL 55000: JWT authentication error']);
    expect(await bad.ended).toMatchObject({ kind: 'error', error: { code: 'BAD_TOKEN' } });
  });

  test('encryption that is not there is declined, once each', async () => {
    const { client, ended } = startInMemory();
    client.send(int32(8), int32(1234 * 65536 + 5680));
    client.send(int32(8), int32(1234 * 65536 + 5679));
    await client.until(() => client.received.length === 2);
    expect(client.received.toString()).toBe('NN');
    client.send(int32(8), int32(1234 * 65536 + 5679));
    expect(await ended).toMatchObject({ kind: 'error', error: { code: 'UNEXPECTED_MESSAGE' } });
  });

  test('a newer protocol and unknown options of it are negotiated', async () => {
    const { client, life, ended } = startInMemory();
    const body = Buffer.from('user\0u\0_pq_.magic\x001\0\0');
    client.send(int32(body.length + 8), [0, 3, 0, 9], body);
    await client.until(() => ready(client));
    expect(client.tags).toBe('vRSSSZ');
    life.abort();
    expect(await ended).toEqual({ kind: 'cancelled' });
  });

  test('a cancel request ends without a word', async () => {
    const { client, ended } = startInMemory();
    client.send(int32(16), int32(1234 * 65536 + 5678), int32(1), int32(2));
    expect(await ended).toEqual({ kind: 'client-closed' });
    expect(client.received).toHaveLength(0);
  });

  test('without TLS, a client is turned away where TLS is due', async () => {
    const { client, ended } = startInMemory({ tls: { identity: { certificate: '', privateKey: '' } } });
    client.sendStartup();
    await client.until(() => false);
    expect(client.errors).toEqual(['FATAL 28000: must connect with TLS']);
    expect(await ended).toMatchObject({ error: { code: 'MUST_USE_TLS' } });
  });

  test('a client that says nothing, or too little, is let go of', async () => {
    for (const bytes of [[], [0, 0, 0]]) {
      const { client, clock, ended } = startInMemory({ startupTimeoutMs: 60_000 });
      if (bytes.length > 0) client.send(bytes);
      for (let second = 0; second < 59; second++) {
        await clock.yieldToOthers();
        clock.advance(1000);
      }
      expect(client.isEnded).toBe(false);
      clock.advance(1000);
      expect(await ended).toMatchObject({ kind: 'error', error: { code: 'STARTUP_TIMEOUT' } });
      expect(clock.timerCount).toBe(0);
    }
  });
});

describe('commands', () => {
  test('an error leaves the connection as it was; a bug does not, and shows nothing', async () => {
    const { client, ended } = startInMemory();
    client.sendStartup();
    for (const sql of ['FAIL', 'SET', ' ', 'nonsense', 'BUG', 'SET']) client.sendMessage('Q', `${sql}\0`);
    await client.until(() => false);
    expect(client.tags).toBe('RSSSZEZCZIZEZE');
    expect(client.errors).toEqual([
      'ERROR 42601: this never works',
      'ERROR 42601: unknown command nonsense',
      'FATAL XX000: internal error',
    ]);
    expect(await ended).toMatchObject({ kind: 'bug', error: { message: 'a secret of ours' } });
  });

  test('the normal end of a stream is an error of SQLSTATE 00000', async () => {
    const { client, ended } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'END\0');
    await client.until(() => false);
    expect(client.errors).toEqual(['FATAL 00000: ending streaming']);
    expect(await ended).toMatchObject({ error: { code: 'DONE' } });
  });

  test('the extended protocol skips to the next Sync after an error', async () => {
    const { client, life, ended } = startInMemory();
    client.sendStartup();
    const parse = (sql: string): void => client.sendMessage('P', `\0${sql}\0\0\0`);
    const bindAndExecute = (): void => {
      client.sendMessage('B', '\0\0\0\0\0\0\0\0');
      client.sendMessage('D', 'P\0');
      client.sendMessage('E', '\0\0\0\0\0');
      client.sendMessage('S');
    };
    parse('SET');
    client.sendMessage('D', 'S\0');
    bindAndExecute();
    parse('FAIL');
    bindAndExecute();
    client.sendMessage('P', 'name\0SET\0\0\0');
    bindAndExecute();
    client.sendMessage('C', 'S\0');
    bindAndExecute();
    await client.until(() => client.tags.length >= 22);
    expect(client.tags).toBe('RSSSZ1tn2nCZ12nEZEZ3EZ');
    life.abort();
    await ended;
    expect(client.errors).toEqual([
      'ERROR 42601: this never works',
      'ERROR 0A000: a statement or portal with a name is not supported here',
      'ERROR 26000: no statement has been prepared',
      'FATAL 57P01: shutdown',
    ]);
  });

  test('a shutdown waits for the command, says so, and closes', async () => {
    const { client, life, ended, clock } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'WAIT\0');
    await client.until(() => ready(client));
    life.abort();
    expect(await ended).toEqual({ kind: 'cancelled' });
    expect(client.errors).toEqual(['FATAL 57P01: shutdown']);
    expect(clock.timerCount).toBe(0);
  });

  test('while a command runs, what comes next is held back', async () => {
    const { client, handler, life, ended, clock } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'WAIT\0');
    while (handler.sessions.length === 0) await clock.yieldToOthers();
    for (let index = 0; index < 10; index++) client.sendMessage('Q', 'SET\0');
    for (let turn = 0; turn < 20; turn++) await clock.yieldToOthers();
    // One chunk has been taken.
    expect(client.connection.unsentBytes).toBe(9 * 9);
    life.abort();
    expect(await ended).toEqual({ kind: 'cancelled' });
    expect(handler.sessions).toHaveLength(1);
  });

  test('a lost connection ends the command that runs', async () => {
    const { client, handler, server, ended } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'WAIT\0');
    await client.until(() => ready(client));
    while (handler.sessions.length === 0) await new Promise((resolve) => setImmediate(resolve));
    server.lose(new VarveError('unavailable', 'CONNECTION_LOST', 'gone'));
    expect(await ended).toMatchObject({ kind: 'error', error: { code: 'CONNECTION_LOST' } });
  });

  test('a client that is silent for ten minutes is told so; one whose command runs is not', async () => {
    const { client, clock, ended, handler, life } = startInMemory();
    client.sendStartup();
    await client.until(() => ready(client));
    clock.advance(599_999);
    client.sendMessage('Q', 'SET\0');
    await client.until(() => client.tags.endsWith('CZ'));
    clock.advance(599_999);
    expect(client.errors).toEqual([]);
    clock.advance(2);
    await client.until(() => false);
    expect(client.errors).toEqual(['FATAL 57P05: nothing was received for 600000 ms']);
    expect(await ended).toMatchObject({ error: { code: 'READ_TIMEOUT' } });
    expect(handler.sessions).toHaveLength(1);
    expect(life.signal.aborted).toBe(false);

    const busy = startInMemory();
    busy.client.sendStartup();
    busy.client.sendMessage('Q', 'WAIT\0');
    while (busy.handler.sessions.length === 0) await busy.clock.yieldToOthers();
    busy.clock.advance(10_000_000);
    expect(busy.handler.sessions[0]?.signal.aborted).toBe(false);
    busy.life.abort();
    expect(await busy.ended).toEqual({ kind: 'cancelled' });
  });

  test('a client that does not take the last words is let go of', async () => {
    const { client, clock, ended } = startInMemory({ lingerMs: 1000 });
    client.sendStartup();
    await client.until(() => ready(client));
    client.connection.pause();
    client.sendMessage('X');
    for (let turn = 0; turn < 10; turn++) await clock.yieldToOthers();
    clock.advance(1000);
    expect(await ended).toEqual({ kind: 'client-closed' });
  });
});

describe('COPY BOTH', () => {
  test('SK-09: CopyBothResponse goes out before any byte of the stream', async () => {
    const { client, handler, ended } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'COPY\0');
    // Sent without waiting: it is neither lost nor answered too early.
    client.sendMessage('d', 'one');
    handler.onCopied = (stream, body) => stream.sendCopyData(body);
    await client.until(() => client.tags.endsWith('dd'));
    expect(client.tags).toBe('RSSSZWdd');
    expect([...(client.messages[5]?.body ?? [])]).toEqual([0, 0, 0]);
    expect(client.messages.slice(6).map(({ body }) => body.toString())).toEqual(['first', 'one']);
    client.sendMessage('c');
    await client.until(() => client.tags.endsWith('Z'));
    expect(client.tags).toBe('RSSSZWddcCZ');
    expect(handler.ends).toEqual([{ kind: 'done' }]);
    client.sendMessage('Q', 'SET\0');
    await client.until(() => client.tags.endsWith('CZCZ'));
    client.sendMessage('X');
    expect(await ended).toEqual({ kind: 'client-closed' });
  });

  test('a server that ends first throws away what still comes', async () => {
    const { client, ended } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'BYE\0');
    await client.until(() => client.tags.endsWith('Wc'));
    client.sendMessage('d', 'late');
    client.sendMessage('S');
    client.sendMessage('c');
    await client.until(() => client.tags.endsWith('Z'));
    expect(client.tags).toBe('RSSSZWcCZ');
    client.sendMessage('X');
    expect(await ended).toEqual({ kind: 'client-closed' });
  });

  test.each([
    ['CopyFail', 'f', 'given up\0', 'FATAL 57014: COPY failed: given up', 'COPY_FAILED'],
    ['a query', 'Q', 'SET\0', 'FATAL 08P01: message "Q" within a COPY', 'UNEXPECTED_MESSAGE'],
    ['an unknown message', 'y', '', 'FATAL 08P01: no message has the tag "y"', 'UNKNOWN_MESSAGE'],
  ])('%s ends the connection, and the receiver knows', async (_, tag, body, text, code) => {
    const { client, handler, ended } = startInMemory();
    client.sendStartup();
    client.sendMessage('Q', 'COPY\0');
    client.sendMessage(tag, body);
    await client.until(() => false);
    expect(client.errors).toEqual([text]);
    expect(await ended).toMatchObject({ kind: 'error', error: { code } });
    expect(handler.ends).toMatchObject([{ kind: 'failed', error: { code } }]);
  });

  test('a client that leaves ends the stream, with or without a goodbye', async () => {
    for (const leave of ['X', 'end'] as const) {
      const { client, handler, ended } = startInMemory();
      client.sendStartup();
      client.sendMessage('Q', 'COPY\0');
      if (leave === 'X') client.sendMessage('X');
      else client.connection.end();
      expect(await ended).toEqual({ kind: 'client-closed' });
      expect(handler.ends).toEqual([{ kind: 'closed' }]);
    }
  });

  test('what a receiver throws ends the connection', async () => {
    const { client, handler, ended } = startInMemory();
    handler.onCopied = () => {
      throw new VarveError('fenced', 'HIGHER_TERM', 'term 5 is known');
    };
    client.sendStartup();
    client.sendMessage('Q', 'COPY\0');
    client.sendMessage('d', 'x');
    client.sendMessage('d', 'y');
    await client.until(() => false);
    expect(client.errors).toEqual(['FATAL 08006: term 5 is known']);
    expect(await ended).toMatchObject({ error: { code: 'HIGHER_TERM' } });
    expect(handler.copied).toHaveLength(1);
  });

  test('a paused receiver gets nothing and holds the client back; all comes in order after that', async () => {
    const { client, handler, clock, ended } = startInMemory();
    handler.onCopied = (stream) => {
      if (handler.copied.length % 10 === 3) stream.pause();
    };
    client.sendStartup();
    client.sendMessage('Q', 'COPY\0');
    const sent: string[] = [];
    for (let index = 0; index < 50; index++) {
      sent.push(`message ${index}`);
      client.sendMessage('d', `message ${index}`);
      // Several messages in one chunk.
      client.send('d', int32(5), [1], 'd', int32(5), [2]);
      sent.push('\x01', '\x02');
    }
    client.sendMessage('c');
    while (handler.copied.length < 3) await clock.yieldToOthers();
    for (let turn = 0; turn < 20; turn++) await clock.yieldToOthers();
    expect(handler.copied).toHaveLength(3);
    expect(client.connection.unsentBytes).toBeGreaterThan(1000);
    while (handler.ends.length === 0) {
      handler.stream?.resume();
      await clock.yieldToOthers();
    }
    expect(handler.copied.map(String)).toEqual(sent);
    client.sendMessage('X');
    expect(await ended).toEqual({ kind: 'client-closed' });
  });

  test('a body that was taken stays as it is', async () => {
    const { client, handler, ended } = startInMemory();
    const taken: Uint8Array[] = [];
    handler.onCopied = (stream) => taken.push(stream.takeBody());
    client.sendStartup();
    client.sendMessage('Q', 'COPY\0');
    const bodies = [70_000, 3, 0, 131_072, 131_072, 5].map((length, index) =>
      Buffer.alloc(length, index + 1),
    );
    const stream = Buffer.concat(bodies.flatMap((body) => [Buffer.from('d'), int32(body.length + 4), body]));
    for (let at = 0; at < stream.length; at += 65_536) client.send(stream.subarray(at, at + 65_536));
    client.sendMessage('X');
    await ended;
    expect(taken.map((body) => body.length)).toEqual(bodies.map((body) => body.length));
    expect(taken.every((body, index) => Buffer.from(body).equals(bodies[index] as Buffer))).toBe(true);
  });
});
