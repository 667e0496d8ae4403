import { describe, expect, test } from 'vitest';
import { crc32c } from '../../base/crc32c.ts';
import { BadRequestError, CorruptionError } from '../../base/errors.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { decodeRelationMap, encodeRelationMap } from './relation-map-file.ts';

const MAPPINGS = Array.from({ length: 64 }, (_, index) => ({
  catalog: 1200 + index,
  relation: 16000 + index,
}));

describe('pg_filenode.map', () => {
  test.each([0, 1, 17, 64])('with %d entries round-trips', (count) => {
    const mappings = MAPPINGS.slice(0, count);
    const bytes = encodeRelationMap(POSTGRES_17, mappings);
    expect(bytes.length).toBe(524);
    expect(decodeRelationMap(POSTGRES_17, bytes)).toEqual(mappings);
  });

  test('holds no more than it can', () => {
    const tooMany = [...MAPPINGS, { catalog: 1, relation: 1 }];
    expect(() => encodeRelationMap(POSTGRES_17, tooMany)).toThrow(BadRequestError);
  });

  test('damage of any byte, or another length, is noticed', () => {
    const whole = encodeRelationMap(POSTGRES_17, MAPPINGS.slice(0, 3));
    for (const offset of whole.keys()) {
      const bytes = Uint8Array.from(whole);
      bytes[offset] = (bytes[offset] as number) ^ 1;
      expect(() => decodeRelationMap(POSTGRES_17, bytes), `byte ${offset}`).toThrow(CorruptionError);
    }
    expect(() => decodeRelationMap(POSTGRES_17, whole.subarray(0, 512))).toThrow(CorruptionError);
    expect(() => decodeRelationMap(POSTGRES_17, Uint8Array.from([...whole, 0]))).toThrow(CorruptionError);
  });

  test.each([-1, 65])('a count of %d is refused, even with the right CRC', (count) => {
    const bytes = encodeRelationMap(POSTGRES_17, []);
    const view = new DataView(bytes.buffer);
    view.setInt32(4, count, true);
    view.setUint32(520, crc32c(bytes, 0, 520), true);
    expect(() => decodeRelationMap(POSTGRES_17, bytes, 'base/5/pg_filenode.map')).toThrow(
      /base\/5\/pg_filenode.map/,
    );
  });
});
