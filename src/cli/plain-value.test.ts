import { expect, test } from 'vitest';
import { bytesText, fieldsText, quoteUnlessPlain, toJsonValue, toText } from './plain-value.ts';

test('JSON has LSNs as PostgreSQL writes them, big integers as strings, bytes in hexadecimal', () => {
  const value = { startLsn: 0x1_0000_00ff, big: 2n ** 63n, bytes: Uint8Array.of(0, 255), absent: undefined };
  expect(toJsonValue({ list: [value] })).toEqual({
    list: [{ startLsn: '1/FF', big: '9223372036854775808', bytes: '00ff' }],
  });
});

test('bytes that no string could hold are cut, and say so', () => {
  const bytes = new Uint8Array(1024 * 1024 + 1);
  expect(toJsonValue(bytes)).toEqual({ lengthBytes: bytes.length, beginning: '00'.repeat(1024 * 1024) });
  expect(bytesText(new Uint8Array(41))).toBe(`${'00'.repeat(40)}… (41 bytes)`);
});

test('text', () => {
  const fields = {
    redo: 0x28,
    flags: 8,
    time: 0n,
    commitTime: 1_000_000_000_000n,
    locator: { tablespace: 1663, database: 5, relation: 16384 },
    none: [],
    absent: undefined,
    rightLink: 0xffff_ffff,
    xid: 0xffff_ffff,
    inner: { offsets: [1, 2] },
  };
  expect(fieldsText(fields)).toBe(
    'redo 0/28, flags 0x08, time 0, commitTime 2000-01-12T13:46:40.000Z, locator 1663/5/16384, ' +
      'rightLink none, xid 4294967295, inner {offsets [1, 2]}',
  );
  expect(toText(Array.from({ length: 62 }, () => 1))).toMatch(/, 1, and 2 more\]$/);
});

test('text from outside cannot fake a line or move the cursor', () => {
  expect(quoteUnlessPlain('plain/text_1')).toBe('plain/text_1');
  expect(quoteUnlessPlain('two words')).toBe('"two words"');
  expect(quoteUnlessPlain('\n\u001b[2J\u009b\u202e')).toBe('"\\n\\u001b[2J\\u009b\\u202e"');
});
