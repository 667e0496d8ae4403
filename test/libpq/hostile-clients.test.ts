import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VarveError } from '../../src/base/errors.ts';
import { ProtocolError } from '../../src/postgres/wire/wire-error.ts';
import { int32 } from '../support/raw-client.ts';
import { startInMemory } from './test-service.ts';

describe('hostile clients', () => {
  test.each([
    ['a startup packet of 2 GB', (): Uint8Array => int32(0x7fff_ffff), 'BAD_STARTUP_LENGTH'],
    ['another protocol', (): Uint8Array => Buffer.concat([int32(8), int32(2 << 16)]), 'UNSUPPORTED_PROTOCOL'],
    ['TLS where there is none', (): Uint8Array => Uint8Array.of(0x16, 3, 1), 'UNEXPECTED_TLS'],
    ['HTTP', (): Uint8Array => Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'BAD_STARTUP_LENGTH'],
  ])('%s is refused before anything is read', async (_, bytes, code) => {
    const { client, ended } = startInMemory();
    client.send(bytes());
    expect(await ended).toMatchObject({ kind: 'error', error: { code } });
    expect(client.tags).toBe('E');
  });

  test.each([
    ['a query before a token', 'Q', 10, 'UNKNOWN_MESSAGE'],
    ['a token of more than 10 kB', 'p', 10_005, 'BAD_MESSAGE_LENGTH'],
    ['a token of 2 GB', 'p', 0x7fff_ffff, 'BAD_MESSAGE_LENGTH'],
  ])('%s is refused', async (_, tag, length, code) => {
    const authenticate = async (): Promise<string> => 'anybody';
    const { client, ended } = startInMemory({ authentication: { mode: 'token', authenticate } });
    client.sendStartup();
    client.send(tag, int32(length));
    expect(await ended).toMatchObject({ kind: 'error', error: { code } });
  });

  test.each([
    ['CopyData of 2 GB', 'd', 0x7fff_ffff, 'BAD_MESSAGE_LENGTH'],
    ['a message past the bound', 'Q', 1005, 'BAD_MESSAGE_LENGTH'],
    ['a negative length', 'Q', -1, 'BAD_MESSAGE_LENGTH'],
    ['CopyData outside of a COPY', 'd', 4, 'UNEXPECTED_MESSAGE'],
    ['a password after the login', 'p', 4, 'UNEXPECTED_MESSAGE'],
  ])('%s is refused at once', async (_, tag, length, code) => {
    const { client, ended } = startInMemory({ bodyBytesMax: 1000 });
    client.sendStartup();
    client.send(tag, int32(length));
    expect(await ended).toMatchObject({ kind: 'error', error: { code, kind: 'corruption' } });
    expect(client.tags).toBe('RSSSZE');
  });

  test('a connection that ends within a message', async () => {
    const { client, ended } = startInMemory();
    client.sendStartup();
    client.send('Q', int32(100), 'SET');
    client.connection.end();
    expect(await ended).toMatchObject({
      kind: 'error',
      error: { kind: 'unavailable', code: 'TRUNCATED_MESSAGE' },
    });
  });

  test('any bytes in any chunks end in a typed error or in order', async () => {
    const message = fc
      .tuple(
        fc.constantFrom(...'QXPBDECSHdcfpF'),
        fc.oneof(fc.constant('COPY\0'), fc.constant('SET\0'), fc.string({ maxLength: 20 })),
        fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer() }),
      )
      .map(([tag, body, lie]) =>
        Buffer.concat([Buffer.from(tag), int32((Buffer.byteLength(body) + 4 + lie) | 0), Buffer.from(body)]),
      );
    const start = Buffer.concat(
      [int32(16), [0, 3, 0, 0], Buffer.from('user\0u\0\0')].map((b) => Buffer.from(b)),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(fc.oneof(message, fc.uint8Array({ maxLength: 40 })), { maxLength: 12 }),
        fc.integer({ min: 1, max: 60 }),
        async (isStarted, parts, size) => {
          const { client, ended, clock } = startInMemory({ bodyBytesMax: 10_000 });
          const stream = Buffer.concat(isStarted ? [start, ...parts] : parts);
          for (let at = 0; at < stream.length; at += size) client.send(stream.subarray(at, at + size));
          client.connection.end();
          const ending = await ended;
          if (ending.kind === 'error') {
            expect(ending.error).toBeInstanceOf(VarveError);
            const isTyped = ['COPY_FAILED', 'TRUNCATED_MESSAGE'].includes(ending.error.code);
            expect(isTyped || ending.error instanceof ProtocolError).toBe(true);
          } else expect(ending.kind).toBe('client-closed');
          expect(clock.timerCount).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('a client that takes no answers is not served further: what is unsent has a bound', async () => {
    const { client, server, handler, life, ended, clock } = startInMemory();
    client.connection.pause();
    client.sendStartup();
    const query = Buffer.concat([Buffer.from('Q'), int32(10), Buffer.from('HELLO\0')]);
    client.send(Buffer.concat(Array.from({ length: 50_000 }, () => query)));
    let served = -1;
    while (served !== handler.sessions.length || served === 0) {
      served = handler.sessions.length;
      for (let turn = 0; turn < 10; turn++) await clock.yieldToOthers();
    }
    expect(served).toBeLessThan(20_000);
    expect(server.unsentBytes).toBeGreaterThan(1024 * 1024);
    expect(server.unsentBytes).toBeLessThan(1024 * 1024 + 1000);
    const ignore = (): void => undefined;
    client.connection.receive({ onBytes: ignore, onEnd: ignore, onClosed: ignore });
    client.connection.resume();
    while (handler.sessions.length < 40_000) await clock.yieldToOthers();
    client.connection.pause();
    life.abort();
    for (let turn = 0; turn < 10; turn++) await clock.yieldToOthers();
    clock.advance(1000);
    expect(await ended).toEqual({ kind: 'cancelled' });
  });
});
