import type { Key } from '../../keyspace/key.ts';

/**
 * Keys as three whole numbers of 48 bits each, so that an array of them lies flat in memory and most comparisons are
 * one of two numbers. The order is that of the 18 bytes.
 */
export const NUMBERS_PER_KEY = 3;

const TWO_POW_8 = 0x100;
const TWO_POW_24 = 0x100_0000;
const TWO_POW_32 = 0x1_0000_0000;
const TWO_POW_40 = 0x100_0000_0000;

export function packKey(into: Float64Array, offset: number, key: Key): void {
  into[offset] = key.kind * TWO_POW_40 + key.field2 * TWO_POW_8 + (key.field3 >>> 24);
  into[offset + 1] = (key.field3 & 0xff_ffff) * TWO_POW_24 + (key.field4 >>> 8);
  into[offset + 2] = (key.field4 & 0xff) * TWO_POW_40 + key.field5 * TWO_POW_32 + key.index;
}

export function unpackKey(from: Float64Array, offset: number): Key {
  const high = from[offset] as number;
  const middle = from[offset + 1] as number;
  const low = from[offset + 2] as number;
  return {
    kind: Math.floor(high / TWO_POW_40),
    field2: Math.floor(high / TWO_POW_8) % TWO_POW_32,
    field3: (high % TWO_POW_8) * TWO_POW_24 + Math.floor(middle / TWO_POW_24),
    field4: (middle % TWO_POW_24) * TWO_POW_8 + Math.floor(low / TWO_POW_40),
    field5: Math.floor(low / TWO_POW_32) % TWO_POW_8,
    index: low % TWO_POW_32,
  };
}

/** Negative, zero or positive, as compareKeys. Offsets count numbers. */
export function comparePackedKeys(
  left: Float64Array,
  leftOffset: number,
  right: Float64Array,
  rightOffset: number,
): number {
  return (
    (left[leftOffset] as number) - (right[rightOffset] as number) ||
    (left[leftOffset + 1] as number) - (right[rightOffset + 1] as number) ||
    (left[leftOffset + 2] as number) - (right[rightOffset + 2] as number)
  );
}

/** How many of the first `count` packed keys, which are ascending, are at or below the key at `offset` of `keys`. */
export function countAtOrBelow(
  sorted: Float64Array,
  count: number,
  keys: Float64Array,
  offset: number,
): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (comparePackedKeys(sorted, middle * NUMBERS_PER_KEY, keys, offset) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
