import { describe, expect, test } from 'vitest';
import { preparedStateData } from '../../../test/support/sample-records.ts';
import { CorruptionError } from '../../base/errors.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { decodeTwoPhaseFile, encodeTwoPhaseFile, fullXidAt, twoPhaseFileName } from './two-phase-file.ts';

const EPOCH = 2 ** 32;

describe('files of prepared transactions', () => {
  test('an xid belongs to the epoch of the next one, or to the one before', () => {
    expect(fullXidAt(1000, 999)).toBe(999);
    expect(fullXidAt(3 * EPOCH + 1000, 999)).toBe(3 * EPOCH + 999);
    expect(fullXidAt(3 * EPOCH + 1000, 1000)).toBe(3 * EPOCH + 1000);
    expect(fullXidAt(3 * EPOCH + 1000, 0xffff_fff0)).toBe(2 * EPOCH + 0xffff_fff0);
  });

  test('names', () => {
    expect(twoPhaseFileName(POSTGRES_17, 5000, 0xabc)).toBe('0000000000000ABC');
    expect(twoPhaseFileName(POSTGRES_17, 2 * EPOCH + 5, 0xffff_fff0)).toBe('00000001FFFFFFF0');
    expect(twoPhaseFileName({ ...POSTGRES_17, twoPhaseNameDigits: 8 }, 2 * EPOCH + 5, 0xffff_fff0)).toBe(
      'FFFFFFF0',
    );
    expect(() => twoPhaseFileName(POSTGRES_17, 1000, 1001)).toThrow(CorruptionError);
  });

  test('the content of a record gives a file; damage of any byte is noticed', () => {
    const content = preparedStateData();
    const bytes = encodeTwoPhaseFile(content);
    expect(decodeTwoPhaseFile(bytes, 'x')).toEqual(content);
    for (const offset of bytes.keys()) {
      const damaged = Uint8Array.from(bytes);
      damaged[offset] = (damaged[offset] as number) ^ 0x80;
      expect(() => decodeTwoPhaseFile(damaged, 'x'), `byte ${offset}`).toThrow(CorruptionError);
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeTwoPhaseFile(bytes.subarray(0, length), 'x')).toThrow(CorruptionError);
    }
  });
});
