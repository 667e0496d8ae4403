import { describe, expect, test } from 'vitest';
import {
  decodePassword,
  decodeSaslInitialResponse,
  encodePassword,
  encodeSaslInitialResponse,
} from './authentication-response.ts';
import { FrameCutter } from './framing.ts';
import {
  authenticationBodyLimits,
  decodeFrontendMessage,
  type FrontendMessage,
  frontendBodyLimits,
  writeFrontendMessage,
} from './frontend-messages.ts';
import { MessageWriter } from './message-writer.ts';
import { ProtocolError } from './wire-error.ts';

/** Text stands for itself, digits in `<>` for bytes: `Q<0000000d>`. */
const wire = (text: string): Uint8Array =>
  Uint8Array.from(
    text
      .split(/[<>]/)
      .flatMap((part, index) => (index % 2 === 0 ? [...Buffer.from(part)] : [...Buffer.from(part, 'hex')])),
  );

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** Written down from "Message Formats" of PostgreSQL's documentation. */
const EXAMPLES: readonly [string, FrontendMessage][] = [
  ['Q<0000000d>SELECT 1<00>', { kind: 'Query', query: 'SELECT 1' }],
  [
    'P<00000016>s<00>SELECT $1<00><0001><00000017>',
    { kind: 'Parse', statement: 's', query: 'SELECT $1', parameterTypeOids: [23] },
  ],
  [
    'B<0000001e>p<00>s<00><0001><0001><0002><ffffffff><00000002>ab<0002><0000><0001>',
    {
      kind: 'Bind',
      portal: 'p',
      statement: 's',
      parameterFormats: ['binary'],
      parameters: [null, bytes('ab')],
      resultFormats: ['text', 'binary'],
    },
  ],
  ['D<00000007>Ss<00>', { kind: 'Describe', target: 'statement', name: 's' }],
  ['D<00000006>P<00>', { kind: 'Describe', target: 'portal', name: '' }],
  ['E<0000000a>p<00><0000000a>', { kind: 'Execute', portal: 'p', rowsMax: 10 }],
  ['C<00000007>Pp<00>', { kind: 'Close', target: 'portal', name: 'p' }],
  ['S<00000004>', { kind: 'Sync' }],
  ['H<00000004>', { kind: 'Flush' }],
  ['X<00000004>', { kind: 'Terminate' }],
  ['p<00000008>abc<00>', { kind: 'AuthenticationResponse', data: bytes('abc\0') }],
  ['d<00000006>ab', { kind: 'CopyData', data: bytes('ab') }],
  ['c<00000004>', { kind: 'CopyDone' }],
  ['f<00000008>why<00>', { kind: 'CopyFail', reason: 'why' }],
];

test.each(EXAMPLES)('%s', (text, message) => {
  const expected = wire(text);
  const writer = new MessageWriter();
  writeFrontendMessage(writer, message);
  expect(writer.take()).toEqual(expected);
  expect(decodeFrontendMessage(expected[0] as number, expected, 5, expected.length - 5)).toEqual(message);
});

test('every kind of message has an example', () => {
  expect(new Set(EXAMPLES.map(([, { kind }]) => kind)).size).toBe(13);
});

describe('refused by name', () => {
  test.each([
    ['Q<41>', /"Q": a string has no end/],
    ['Q<ff00>', /not UTF-8/],
    ['Q<0000>', /1 bytes that nothing explains/],
    ['DX<00>', /88 is neither a statement nor a portal/],
    ['P<0000><ffff>', /65535 items, more than it can hold/],
    ['P<0000><0001><000017>', /1 items, more than it can hold/],
    ['B<0000><0001><0002><0000><0000>', /the format 2 is unknown/],
    ['B<0000><0000><0001><fffffffe><0000>', /a value has the length -2/],
    ['B<0000><0000><0001><7fffffff><0000>', /ends within a field of 2147483647 bytes/],
    ['B<0000><0002><0000><0000><0001><ffffffff><0000>', /2 formats for 1 parameters/],
    ['S<00>', /1 bytes that nothing explains/],
    ['F<00>', /no message has the tag "F"/],
  ])('%s', (text, reason) => {
    const body = wire(text);
    const decode = (): FrontendMessage => decodeFrontendMessage(body[0] as number, body, 1, body.length - 1);
    expect(decode).toThrow(reason);
    expect(decode).toThrow(ProtocolError);
  });

  test('nothing outside of the body is read', () => {
    const body = wire('Q<41>B<00>');
    expect(() => decodeFrontendMessage(0x51, body, 1, 2)).toThrow(/no end/);
    expect(decodeFrontendMessage(0x51, body, 1, 3)).toEqual({ kind: 'Query', query: 'AB' });
    expect(() => decodeFrontendMessage(0x51, body, 1, 4)).toThrow(RangeError);
  });

  test('what no message can hold is not written', () => {
    const write = (message: FrontendMessage): void => writeFrontendMessage(new MessageWriter(), message);
    expect(() => write({ kind: 'Query', query: 'a\0b' })).toThrow(/zero byte/);
    expect(() => write({ kind: 'Execute', portal: '', rowsMax: 2 ** 31 })).toThrow(/does not fit/);
    const parameters = new Array<null>(65_536).fill(null);
    const bind = {
      kind: 'Bind',
      portal: '',
      statement: '',
      parameterFormats: [],
      resultFormats: [],
    } as const;
    expect(() => write({ ...bind, parameters })).toThrow(/65536 does not fit/);
    expect(() => write({ ...bind, parameters: parameters.slice(1) })).not.toThrow();
  });
});

test('a row limit below zero is none', () => {
  expect(decodeFrontendMessage(0x45, wire('<00><ffffffff>'), 0, 5)).toEqual({
    kind: 'Execute',
    portal: '',
    rowsMax: 0,
  });
});

test('what answers a request to prove who one is', () => {
  expect(encodePassword('pä')).toEqual(wire('pä<00>'));
  expect(decodePassword(wire('pä<00>'))).toBe('pä');
  expect(() => decodePassword(wire('p<00>x'))).toThrow(ProtocolError);
  const initial = { mechanism: 'SCRAM-SHA-256', response: bytes('n,,n=,r=x') };
  expect(encodeSaslInitialResponse(initial)).toEqual(wire('SCRAM-SHA-256<00><00000009>n,,n=,r=x'));
  expect(decodeSaslInitialResponse(encodeSaslInitialResponse(initial))).toEqual(initial);
  expect(decodeSaslInitialResponse(wire('X<00><ffffffff>'))).toEqual({ mechanism: 'X', response: null });
  expect(() => decodeSaslInitialResponse(wire('X<00><00000002>a'))).toThrow(ProtocolError);
});

test('who has not proved who it is may do nothing else', () => {
  const query = wire('p<00000005><00>Q<00000005><00>');
  const cutter = new FrameCutter({ limits: authenticationBodyLimits(), form: 'regular' });
  cutter.feed(query);
  expect(cutter.next()).toBe(true);
  expect(() => cutter.next()).toThrow(/no message has the tag "Q"/);

  const trusted = new FrameCutter({ limits: authenticationBodyLimits(), form: 'regular' });
  trusted.feed(query);
  trusted.next();
  trusted.setLimits(frontendBodyLimits(100));
  expect(trusted.next()).toBe(true);
  expect(trusted.tag).toBe(0x51);
});
