import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VarveError } from '../../base/errors.ts';
import {
  decodeRecordPositions,
  RecordPositions,
  recordPositionsKey,
  STRETCH_BYTES,
  stretchOf,
  stretchOfKey,
} from './record-positions.ts';

test('the records of a stretch come back, whether written at once or after a restart', () => {
  const gaps = fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 3, max: 300_000 })), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(gaps, fc.integer({ min: 0, max: 2 ** 36 }), fc.nat(60), (records, stretch, restartAt) => {
      const expected: { startLsn: number; endLsn: number }[] = [];
      let written = new RecordPositions();
      written.begin(stretch);
      let end = stretch * STRETCH_BYTES;
      for (const [gap, length] of records) {
        const startLsn = end + gap * 8;
        if (stretchOf(startLsn) !== stretch) break;
        end = startLsn + length * 8;
        if (expected.length === restartAt) {
          const stored = written.bytes.slice(0, written.length);
          written = new RecordPositions();
          written.resume(stretch, stored);
        }
        written.add(startLsn, end);
        expected.push({ startLsn, endLsn: end });
      }
      expect(decodeRecordPositions(stretch, written.bytes.subarray(0, written.length))).toEqual(expected);
    }),
  );
});

test('keys of stretches are in the order of WAL', () => {
  for (const stretch of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 38]) {
    expect(stretchOfKey(recordPositionsKey(stretch))).toBe(stretch);
  }
});

test('bytes that are no list of records are refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        decodeRecordPositions(7, bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(VarveError);
        expect((error as VarveError).kind).toBe('corruption');
      }
    }),
  );
});
