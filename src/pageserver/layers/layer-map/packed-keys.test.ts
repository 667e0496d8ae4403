import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareKeys, KEY_MAX, KEY_MIN, type Key } from '../../keyspace/key.ts';
import { comparePackedKeys, countAtOrBelow, NUMBERS_PER_KEY, packKey, unpackKey } from './packed-keys.ts';

const number32 = fc.oneof(fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff), fc.nat(0xffff_ffff));
const number8 = fc.oneof(fc.constantFrom(0, 1, 0xff), fc.nat(0xff));
const keys: fc.Arbitrary<Key> = fc.record({
  kind: number8,
  field2: number32,
  field3: number32,
  field4: number32,
  field5: number8,
  index: number32,
});

test('packed keys are in the order of keys, and give them back', () => {
  const packed = new Float64Array(2 * NUMBERS_PER_KEY);
  fc.assert(
    fc.property(keys, keys, fc.boolean(), (left, other, isNear) => {
      const right = isNear ? { ...left, field4: other.field4, index: other.index } : other;
      packKey(packed, 0, left);
      packKey(packed, NUMBERS_PER_KEY, right);
      expect(unpackKey(packed, 0)).toEqual(left);
      expect(unpackKey(packed, NUMBERS_PER_KEY)).toEqual(right);
      expect(Math.sign(comparePackedKeys(packed, 0, packed, NUMBERS_PER_KEY))).toBe(
        Math.sign(compareKeys(left, right)),
      );
    }),
    { numRuns: 500 },
  );
  for (const key of [KEY_MIN, KEY_MAX]) {
    packKey(packed, 0, key);
    expect(unpackKey(packed, 0)).toEqual(key);
  }
});

test('counting what is at or below a key', () => {
  const sorted = new Float64Array(4 * NUMBERS_PER_KEY);
  for (let index = 0; index < 4; index++)
    packKey(sorted, index * NUMBERS_PER_KEY, { ...KEY_MIN, index: 10 * index });
  const count = (index: number): number => {
    const packed = new Float64Array(NUMBERS_PER_KEY);
    packKey(packed, 0, { ...KEY_MIN, index });
    return countAtOrBelow(sorted, 4, packed, 0);
  };
  expect([0, 9, 10, 11, 29, 30, 99].map(count)).toEqual([1, 1, 2, 2, 3, 4, 4]);
  expect(countAtOrBelow(sorted, 0, sorted, 0)).toBe(0);
});
