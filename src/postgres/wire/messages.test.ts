// What holds for the messages of both ends.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BackendMessage,
  backendBodyLimits,
  decodeBackendMessage,
  writeBackendMessage,
} from './backend-messages.ts';
import type { ErrorFields } from './error-fields.ts';
import { type BodyLimits, FrameCutter } from './framing.ts';
import {
  decodeFrontendMessage,
  type FrontendMessage,
  frontendBodyLimits,
  writeFrontendMessage,
} from './frontend-messages.ts';
import type { FormatCode } from './message-codec.ts';
import { MessageWriter } from './message-writer.ts';
import { ProtocolError } from './wire-error.ts';

const text = fc.string({ unit: 'binary', maxLength: 12 }).map((value) => value.replaceAll('\0', ''));
const data = fc.uint8Array({ maxLength: 12 });
const value = fc.option(data);
const format = fc.constantFrom<FormatCode>('text', 'binary');
const formats = fc.array(format, { maxLength: 3 });
const oid = fc.integer({ min: 0, max: 0xffff_ffff });
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const key = fc.uint8Array({ minLength: 4, maxLength: 256 });
const target = fc.constantFrom('statement' as const, 'portal' as const);

const bare = <Kind extends string>(...kinds: Kind[]): fc.Arbitrary<{ readonly kind: Kind }> =>
  fc.constantFrom(...kinds).map((kind) => ({ kind }));
const record = <Kind extends string, Fields>(
  kind: Kind,
  fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> },
): fc.Arbitrary<{ kind: Kind } & Fields> =>
  fc.record(fields).map((generated) => ({ kind, ...(generated as Fields) }));

const frontendMessages: fc.Arbitrary<FrontendMessage> = fc.oneof(
  bare('CopyDone', 'Flush', 'Sync', 'Terminate'),
  record('AuthenticationResponse', { data }),
  fc.array(fc.tuple(value, format), { minLength: 2, maxLength: 4 }).chain((pairs) =>
    record('Bind', {
      portal: text,
      statement: text,
      parameterFormats: fc.constantFrom<FormatCode[]>(
        [],
        ['binary'],
        pairs.map(([, each]) => each),
      ),
      parameters: fc.constant(pairs.map(([each]) => each)),
      resultFormats: formats,
    }),
  ),
  record('Close', { target, name: text }),
  record('CopyData', { data }),
  record('CopyFail', { reason: text }),
  record('Describe', { target, name: text }),
  record('Execute', { portal: text, rowsMax: fc.nat() }),
  record('Parse', { statement: text, query: text, parameterTypeOids: fc.array(oid, { maxLength: 3 }) }),
  record('Query', { query: text }),
);

const errorFields: fc.Arbitrary<ErrorFields> = fc.record(
  {
    ...{
      severity: text,
      severityNonlocalized: text,
      sqlState: text,
      message: text,
      detail: text,
      hint: text,
    },
    ...{ position: text, internalPosition: text, internalQuery: text, context: text, schemaName: text },
    ...{ tableName: text, columnName: text, dataTypeName: text, constraintName: text },
    ...{ file: text, line: text, routine: text },
  },
  { requiredKeys: ['severity', 'sqlState', 'message'] },
);

const backendMessages: fc.Arbitrary<BackendMessage> = fc.oneof(
  bare(
    'BindComplete',
    'CloseComplete',
    'CopyDone',
    'EmptyQueryResponse',
    'NoData',
    'ParseComplete',
    'PortalSuspended',
  ),
  fc
    .oneof(
      fc.constantFrom('Ok' as const, 'CleartextPassword' as const).map((method) => ({ method })),
      fc.record({
        method: fc.constant('MD5Password' as const),
        salt: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      }),
      fc.record({
        method: fc.constant('SASL' as const),
        mechanisms: fc.array(
          text.filter((name) => name !== ''),
          { maxLength: 3 },
        ),
      }),
      fc.record({ method: fc.constantFrom('SASLContinue' as const, 'SASLFinal' as const), data }),
    )
    .map((request) => ({ kind: 'Authentication' as const, request })),
  record('BackendKeyData', { processId: int32, secretKey: key }),
  record('CommandComplete', { commandTag: text }),
  record('CopyBothResponse', { format, columnFormats: formats }),
  record('CopyInResponse', { format, columnFormats: formats }),
  record('CopyOutResponse', { format, columnFormats: formats }),
  record('CopyData', { data }),
  record('DataRow', { values: fc.array(value, { maxLength: 4 }) }),
  record('ErrorResponse', { fields: errorFields }),
  record('NoticeResponse', { fields: errorFields }),
  record('NegotiateProtocolVersion', {
    protocolVersion: oid,
    unrecognizedOptions: fc.array(text, { maxLength: 3 }),
  }),
  record('NotificationResponse', { processId: int32, channel: text, payload: text }),
  record('ParameterDescription', { typeOids: fc.array(oid, { maxLength: 3 }) }),
  record('ParameterStatus', { name: text, value: text }),
  record('ReadyForQuery', {
    status: fc.constantFrom('idle' as const, 'in-transaction' as const, 'failed' as const),
  }),
  record('RowDescription', {
    fields: fc.array(
      fc.record({
        ...{ name: text, tableOid: oid, columnNumber: int16, typeOid: oid },
        ...{ typeSize: int16, typeModifier: int32, format },
      }),
      { maxLength: 3 },
    ),
  }),
);

interface End {
  readonly messages: fc.Arbitrary<FrontendMessage | BackendMessage>;
  readonly decode: (tag: number, bytes: Uint8Array, offset: number, length: number) => object;
  readonly write: (writer: MessageWriter, message: never) => void;
  readonly limits: BodyLimits;
  /** Tags that there are. */
  readonly tags: string;
}

const ENDS: Record<string, End> = {
  frontend: {
    messages: frontendMessages,
    decode: decodeFrontendMessage,
    write: writeFrontendMessage,
    limits: frontendBodyLimits(1_000_000),
    tags: 'BCDEHPQSXcdfp',
  },
  backend: {
    messages: backendMessages,
    decode: decodeBackendMessage,
    write: writeBackendMessage,
    limits: backendBodyLimits(1_000_000),
    tags: '123ACDEGHIKNRSTWZcdnstv',
  },
};

describe.each(Object.entries(ENDS))('%s', (_, { messages, decode, write, limits, tags }) => {
  const encode = (...each: unknown[]): Uint8Array => {
    const writer = new MessageWriter();
    for (const message of each) write(writer, message as never);
    return writer.take();
  };

  test('what is written is cut and decoded, whatever the chunks; decoded values are copies', () => {
    fc.assert(
      fc.property(fc.array(messages, { maxLength: 6 }), fc.integer({ min: 1, max: 64 }), (expected, size) => {
        const stream = Buffer.from(encode(...expected));
        const cutter = new FrameCutter({ limits, form: 'regular' });
        const seen: object[] = [];
        for (let position = 0; position < stream.length; position += size) {
          cutter.feed(stream, position, Math.min(position + size, stream.length));
          while (cutter.next())
            seen.push(decode(cutter.tag, cutter.bytes, cutter.bodyOffset, cutter.bodyLength));
        }
        expect(cutter.restLength).toBe(0);
        stream.fill(0);
        expect(seen).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('a message that is cut at any byte is refused, or is just what those bytes say', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const whole = encode(message);
        for (let length = 0; length < whole.length - 5; length++) {
          let shorter: object;
          try {
            shorter = decode(whole[0] as number, whole, 5, length);
          } catch (error) {
            if (!(error instanceof ProtocolError)) throw error;
            continue;
          }
          expect(encode(shorter).subarray(5)).toEqual(whole.subarray(5, 5 + length));
        }
      }),
      { numRuns: 200 },
    );
  });

  test('a message that goes on is refused, or says so', () => {
    fc.assert(
      fc.property(messages, (message) => {
        const longer = Uint8Array.from([...encode(message).subarray(5), 0]);
        const tag = encode(message)[0] as number;
        try {
          expect(encode(decode(tag, longer, 0, longer.length)).subarray(5)).toEqual(longer);
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error;
        }
      }),
    );
  });

  test('any bytes give a message or a ProtocolError', () => {
    const small = fc.oneof(fc.constantFrom(0, 1, 2, 0x50, 0x53, 0xff), fc.nat(255));
    fc.assert(
      fc.property(fc.constantFrom(...Buffer.from(tags)), fc.array(small, { maxLength: 60 }), (tag, body) => {
        try {
          decode(tag, Uint8Array.from(body), 0, body.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('a message with one byte changed gives a message or a ProtocolError', () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(255), (message, where, byte) => {
        const whole = encode(message);
        if (whole.length > 5) whole[5 + (where % (whole.length - 5))] = byte;
        try {
          decode(whole[0] as number, whole, 5, whole.length - 5);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('the tags that are decoded are those that have a limit; all others are refused', () => {
    for (let tag = 0; tag < 256; tag++) {
      const isKnown = Buffer.from(tags).includes(tag);
      expect([tag, (limits[tag] as number) >= 0]).toEqual([tag, isKnown]);
      if (!isKnown) expect(() => decode(tag, new Uint8Array(8), 0, 8)).toThrow(/no message has the tag/);
    }
  });
});
