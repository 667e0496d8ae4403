import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatInstant, parseInstant } from './instant.ts';

test.each([
  ['1970-01-01T00:00:00Z', 0n],
  ['2026-03-01T12:00:00.25Z', BigInt(Date.UTC(2026, 2, 1, 12)) * 1000n + 250_000n],
  ['2026-03-01 13:00+01', BigInt(Date.UTC(2026, 2, 1, 12)) * 1000n],
  ['2026-03-01t07:30:00.000001-0430', BigInt(Date.UTC(2026, 2, 1, 12)) * 1000n + 1n],
  ['1969-12-31T23:59:59.999999z', -1n],
  ['0099-01-01T00:00:00Z', BigInt(Date.parse('0099-01-01T00:00:00Z')) * 1000n],
])('%s', (text, micros) => {
  expect(parseInstant(text)).toBe(micros);
});

test.each([
  '',
  'now',
  '2026-03-01',
  '2026-03-01T12:00:00',
  '2026-02-29T12:00:00Z',
  '2026-13-01T12:00:00Z',
  '2026-03-01T24:00:00Z',
  '2026-03-01T12:60:00Z',
  '2026-03-01T12:00:60Z',
  '2026-03-01T12:00:00+16:00',
  '2026-03-01T12:00:00.1234567Z',
  '2026-03-01T12:00:00Z ',
])('“%s” is refused', (text) => {
  expect(() => parseInstant(text)).toThrow(
    expect.objectContaining({ code: 'BAD_TIME', kind: 'bad-request' }),
  );
});

test('what is written is read back', () => {
  const micros = fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n });
  fc.assert(
    fc.property(micros, (each) => {
      expect(parseInstant(formatInstant(each))).toBe(each);
    }),
  );
});
