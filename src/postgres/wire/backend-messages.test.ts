import { expect, test } from 'vitest';
import { type BackendMessage, decodeBackendMessage, writeBackendMessage } from './backend-messages.ts';
import { MessageWriter } from './message-writer.ts';
import { PROTOCOL_3_2 } from './startup.ts';
import { ProtocolError } from './wire-error.ts';

/** Text stands for itself, digits in `<>` for bytes: `C<0000000d>`. */
const wire = (text: string): Uint8Array =>
  Uint8Array.from(
    text
      .split(/[<>]/)
      .flatMap((part, index) => (index % 2 === 0 ? [...Buffer.from(part)] : [...Buffer.from(part, 'hex')])),
  );

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const copy = { format: 'text', columnFormats: [] } as const;
const error = { severity: 'ERROR', severityNonlocalized: 'ERROR', sqlState: 'XX000', message: 'm' };

/** Written down from "Message Formats" of PostgreSQL's documentation. */
const EXAMPLES: readonly [string, BackendMessage][] = [
  ['R<00000008><00000000>', { kind: 'Authentication', request: { method: 'Ok' } }],
  ['R<00000008><00000003>', { kind: 'Authentication', request: { method: 'CleartextPassword' } }],
  [
    'R<0000000c><00000005><01020304>',
    { kind: 'Authentication', request: { method: 'MD5Password', salt: Uint8Array.of(1, 2, 3, 4) } },
  ],
  [
    'R<00000017><0000000a>SCRAM-SHA-256<00><00>',
    { kind: 'Authentication', request: { method: 'SASL', mechanisms: ['SCRAM-SHA-256'] } },
  ],
  [
    'R<00000009><0000000b>a',
    { kind: 'Authentication', request: { method: 'SASLContinue', data: bytes('a') } },
  ],
  ['R<00000009><0000000c>b', { kind: 'Authentication', request: { method: 'SASLFinal', data: bytes('b') } }],
  ['S<00000009>a<00>bc<00>', { kind: 'ParameterStatus', name: 'a', value: 'bc' }],
  [
    'K<0000000c><00000102><01020304>',
    { kind: 'BackendKeyData', processId: 258, secretKey: Uint8Array.of(1, 2, 3, 4) },
  ],
  ['Z<00000005>I', { kind: 'ReadyForQuery', status: 'idle' }],
  ['Z<00000005>T', { kind: 'ReadyForQuery', status: 'in-transaction' }],
  ['Z<00000005>E', { kind: 'ReadyForQuery', status: 'failed' }],
  [
    'T<0000001b><0001>ab<00><00000001><0002><00000017><0004><ffffffff><0001>',
    {
      kind: 'RowDescription',
      fields: [
        {
          ...{ name: 'ab', tableOid: 1, columnNumber: 2, typeOid: 23, typeSize: 4 },
          ...{ typeModifier: -1, format: 'binary' },
        },
      ],
    },
  ],
  ['D<00000010><0002><ffffffff><00000002>ab', { kind: 'DataRow', values: [null, bytes('ab')] }],
  ['C<0000000d>SELECT 1<00>', { kind: 'CommandComplete', commandTag: 'SELECT 1' }],
  ['I<00000004>', { kind: 'EmptyQueryResponse' }],
  ['E<0000001d>SERROR<00>VERROR<00>CXX000<00>Mm<00><00>', { kind: 'ErrorResponse', fields: error }],
  ['N<0000001d>SERROR<00>VERROR<00>CXX000<00>Mm<00><00>', { kind: 'NoticeResponse', fields: error }],
  [
    'A<0000000c><00000007>c<00>p<00>',
    { kind: 'NotificationResponse', processId: 7, channel: 'c', payload: 'p' },
  ],
  ['1<00000004>', { kind: 'ParseComplete' }],
  ['2<00000004>', { kind: 'BindComplete' }],
  ['3<00000004>', { kind: 'CloseComplete' }],
  ['t<0000000a><0001><00000017>', { kind: 'ParameterDescription', typeOids: [23] }],
  ['n<00000004>', { kind: 'NoData' }],
  ['s<00000004>', { kind: 'PortalSuspended' }],
  [
    'G<0000000b><01><0002><0001><0001>',
    { kind: 'CopyInResponse', format: 'binary', columnFormats: ['binary', 'binary'] },
  ],
  ['H<00000007><00><0000>', { kind: 'CopyOutResponse', ...copy }],
  ['W<00000007><00><0000>', { kind: 'CopyBothResponse', ...copy }],
  ['d<00000005>x', { kind: 'CopyData', data: bytes('x') }],
  ['c<00000004>', { kind: 'CopyDone' }],
  [
    'v<00000013><00030002><00000001>_pq_.x<00>',
    { kind: 'NegotiateProtocolVersion', protocolVersion: PROTOCOL_3_2, unrecognizedOptions: ['_pq_.x'] },
  ],
];

test.each(EXAMPLES)('%s', (text, message) => {
  const expected = wire(text);
  const writer = new MessageWriter();
  writeBackendMessage(writer, message);
  expect(writer.take()).toEqual(expected);
  expect(decodeBackendMessage(expected[0] as number, expected, 5, expected.length - 5)).toEqual(message);
});

test('every kind of message has an example', () => {
  expect(new Set(EXAMPLES.map(([, { kind }]) => kind)).size).toBe(23);
});

test.each([
  ['R<00000007>', /method GSSAPI is not spoken/],
  ['R<00000063>', /method 99 is not spoken/],
  ['R<00000005><010203>', /ends within a field of 4 bytes/],
  ['R<0000000a>X<00>', /a string has no end/],
  ['Zx', /transaction status 120 is unknown/],
  ['K<00000001><010203>', /a cancel key of 3 bytes/],
  ['T<ffff>', /65535 items, more than it can hold/],
  ['D<0001><fffffff0>', /a value has the length -16/],
  ['D<0001><00000000><00>', /1 bytes that nothing explains/],
  ['W<02><0000>', /the format 2 is unknown/],
  ['ESERROR<00>Mm<00><00>', /SQLSTATE or text of the error are missing/],
  ['ESERROR<00>', /ends within a field/],
  ['v<00030000><ffffffff>', /4294967295 options, more than/],
  ['V<00000000>', /no message has the tag "V"/],
])('%s is refused', (text, reason) => {
  const body = wire(text);
  const decode = (): BackendMessage => decodeBackendMessage(body[0] as number, body, 1, body.length - 1);
  expect(decode).toThrow(reason);
  expect(decode).toThrow(ProtocolError);
});

test('an error keeps its meaning in another encoding, and with fields of a newer server', () => {
  const body = wire('SFEHLER<00>C22021<00>M<fc>x<00>?new<00><00>');
  expect(decodeBackendMessage(0x45, body, 0, body.length)).toEqual({
    kind: 'ErrorResponse',
    fields: { severity: 'FEHLER', sqlState: '22021', message: '\ufffdx' },
  });
});
