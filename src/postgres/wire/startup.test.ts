import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeEncryptionAnswer,
  decodeStartupPacket,
  encodeStartupPacket,
  formatProtocolVersion,
  negotiateProtocol,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  type StartupPacket,
} from './startup.ts';
import { CommandError, ProtocolError } from './wire-error.ts';

const decode = (packet: Uint8Array): StartupPacket => decodeStartupPacket(packet, 4, packet.length - 4);

const text = fc.string({ unit: 'binary', maxLength: 20 }).map((value) => value.replaceAll('\0', ''));
const packets: fc.Arbitrary<StartupPacket> = fc.oneof(
  fc.constant({ kind: 'SslRequest' as const }),
  fc.constant({ kind: 'GssEncRequest' as const }),
  fc.record({
    kind: fc.constant('CancelRequest' as const),
    processId: fc.integer(),
    secretKey: fc.uint8Array({ minLength: 4, maxLength: 256 }),
  }),
  fc.record({
    kind: fc.constant('Startup' as const),
    protocolVersion: fc.integer({ min: PROTOCOL_3_0, max: PROTOCOL_3_0 + 0xffff }),
    parameters: fc
      .array(
        fc.tuple(
          text.filter((name) => name !== ''),
          text,
        ),
        { maxLength: 5 },
      )
      .map((entries) => new Map(entries)),
  }),
);

test('bytes of the documentation', () => {
  expect([...encodeStartupPacket({ kind: 'SslRequest' })]).toEqual([0, 0, 0, 8, 4, 210, 22, 47]);
  expect([...encodeStartupPacket({ kind: 'GssEncRequest' })]).toEqual([0, 0, 0, 8, 4, 210, 22, 48]);
  const secretKey = Uint8Array.of(1, 2, 3, 4);
  expect([...encodeStartupPacket({ kind: 'CancelRequest', processId: 258, secretKey })]).toEqual([
    ...[0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 1, 2, 1, 2, 3, 4],
  ]);
  const parameters = new Map([['user', 'é']]);
  expect([...encodeStartupPacket({ kind: 'Startup', protocolVersion: PROTOCOL_3_2, parameters })]).toEqual([
    ...[0, 0, 0, 17, 0, 3, 0, 2],
    ...[117, 115, 101, 114, 0, 0xc3, 0xa9, 0, 0],
  ]);
});

test('what is encoded is decoded, also out of the middle of a Buffer, and is a copy', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      const encoded = Buffer.concat([Buffer.from([7]), encodeStartupPacket(packet), Buffer.from([7])]);
      const decoded = decodeStartupPacket(encoded, 5, encoded.length - 6);
      encoded.fill(0);
      expect(decoded).toEqual(packet);
    }),
  );
});

test('a packet that is cut or goes on is refused', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      const whole = encodeStartupPacket(packet);
      for (let length = 0; length < whole.length - 4; length++) {
        if (packet.kind === 'CancelRequest' && length >= 12) break;
        expect(() => decodeStartupPacket(whole, 4, length)).toThrow(ProtocolError);
      }
      if (packet.kind === 'CancelRequest') return;
      expect(() => decode(Buffer.concat([whole, Uint8Array.of(0)]))).toThrow(ProtocolError);
    }),
    { numRuns: 50 },
  );
});

test('any bytes give a packet or a ProtocolError', () => {
  const codes = [[4, 210, 22, 46], [0, 3, 0, 0], [4, 210, 22, 47], []];
  fc.assert(
    fc.property(fc.constantFrom(...codes), fc.uint8Array({ maxLength: 60 }), (code, rest) => {
      const body = Uint8Array.from([...code, ...rest]);
      try {
        decodeStartupPacket(body, 0, body.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
      }
    }),
    { numRuns: 500 },
  );
});

describe('refused by name', () => {
  const startup = (...body: number[]): Uint8Array => Uint8Array.from([0, 3, 0, 0, ...body]);
  test.each([
    ['a version 2 client', /protocol 2\.0 is not/, '0A000', Uint8Array.of(0, 2, 0, 0, 0)],
    ['a version 4 client', /protocol 4\.1 is not/, '0A000', Uint8Array.of(0, 4, 0, 1, 0)],
    ['a name without a value', /a string has no end/, '08P01', startup(97, 0)],
    ['bytes after the end', /1 bytes that nothing explains/, '08P01', startup(0, 0)],
    ['what is not UTF-8', /not UTF-8/, '22021', startup(97, 0, 0xff, 0, 0)],
    [
      'a cancel key of 3 bytes',
      /key of 3 bytes/,
      '08P01',
      Uint8Array.of(4, 210, 22, 46, 0, 0, 0, 1, 1, 2, 3),
    ],
  ])('%s', (_, reason, sqlState, body) => {
    const decoding = (): StartupPacket => decodeStartupPacket(body, 0, body.length);
    expect(decoding).toThrow(reason);
    expect(decoding).toThrow(expect.objectContaining({ sqlState }));
  });

  test('parameters that no server would take', () => {
    const startupWith = (name: string, value: string): Uint8Array =>
      encodeStartupPacket({
        kind: 'Startup',
        protocolVersion: PROTOCOL_3_0,
        parameters: new Map([[name, value]]),
      });
    expect(() => startupWith('', 'a')).toThrow(CommandError);
    expect(() => startupWith('a', 'a'.repeat(10_000))).toThrow(CommandError);
    expect(() => startupWith('a', 'b\0c')).toThrow(/zero byte/);
  });
});

test('of two values of a parameter the last counts', () => {
  const packet = decodeStartupPacket(Buffer.from('\0\x03\0\0a\0b\0a\0c\0\0'), 0, 13);
  expect(packet).toEqual({
    kind: 'Startup',
    protocolVersion: PROTOCOL_3_0,
    parameters: new Map([['a', 'c']]),
  });
});

test.each([
  ['3.0', [], '3.0', false],
  ['3.1', [], '3.0', true],
  ['3.2', [], '3.2', false],
  ['3.9999', [], '3.2', true],
  ['3.2', ['user', '_pq_.x'], '3.2', true],
])('who asks for %s with %j gets %s', (asked, names, version, mustTell) => {
  const negotiated = negotiateProtocol(3 * 65536 + Number(asked.slice(2)), names);
  expect(formatProtocolVersion(negotiated.protocolVersion)).toBe(version);
  expect(negotiated.mustTell).toBe(mustTell);
  expect(negotiated.unrecognizedOptions).toEqual(names.filter((name) => name.startsWith('_pq_.')));
});

test('answers to a request for encryption', () => {
  expect(decodeEncryptionAnswer('SslRequest', 0x53)).toBe(true);
  expect(decodeEncryptionAnswer('GssEncRequest', 0x47)).toBe(true);
  expect(decodeEncryptionAnswer('SslRequest', 0x4e)).toBe(false);
  expect(() => decodeEncryptionAnswer('SslRequest', 0x47)).toThrow(/answers "G" to the SslRequest/);
  expect(() => decodeEncryptionAnswer('SslRequest', 0x45)).toThrow(ProtocolError);
});
