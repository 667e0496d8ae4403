import { expect, test } from 'vitest';
import { formatSegmentName, isSegmentName, parseSegmentName, segmentNumber } from './segment-name.ts';

const MIB = 1024 * 1024;

test.each([
  [0, 16 * MIB, '000000010000000000000000'],
  [2 ** 32 - 1, 16 * MIB, '0000000100000000000000FF'],
  [2 ** 32, 16 * MIB, '000000010000000100000000'],
  [2 ** 32 - 1, MIB, '000000010000000000000FFF'],
  [5 * 2 ** 32 + 3 * 1024 * MIB, 1024 * MIB, '000000010000000500000003'],
  [2 ** 53 - 1, MIB, '00000001001FFFFF00000FFF'],
] as const)('LSN %i in segments of %i bytes lies in %s', (lsn, segmentBytes, name) => {
  const segment = segmentNumber(lsn, segmentBytes);
  expect(formatSegmentName(1, segment, segmentBytes)).toBe(name);
  expect(parseSegmentName(name, segmentBytes)).toEqual({ timelineId: 1, segment });
});

test.each([
  ['0000000100000000000000FF.partial', 16 * MIB],
  ['00000001000000000000000a', 16 * MIB],
  ['000000010000000000000100', 16 * MIB],
  ['000000010000000000000004', 1024 * MIB],
  ['00000001002000000000000', 16 * MIB],
  // At 2^53 no number is exact any more.
  ['000000010020000000000000', 16 * MIB],
  ['00000001FFFFFFFF00000000', 16 * MIB],
])('%s is no segment of %i bytes', (name, segmentBytes) => {
  expect(() => parseSegmentName(name, segmentBytes)).toThrow(/is not the name of a WAL segment/);
  expect(isSegmentName('0000000100000000000000FF')).toBe(true);
});
