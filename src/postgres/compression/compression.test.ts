import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decompressLz4 } from './lz4.ts';
import { decompressPglz } from './pglz.ts';

type Decompress = typeof decompressPglz;

function run(decompress: Decompress, input: readonly number[], wanted: number): number[] | number {
  // The input stands within other bytes, and so does the output: neither may be left.
  const source = Uint8Array.from([99, ...input, 98]);
  const target = new Uint8Array(wanted + 8).fill(77);
  const length = decompress(source, 1, 1 + input.length, target, 4, wanted);
  expect([...target.subarray(0, 4), ...target.subarray(4 + wanted)]).toEqual(new Array(8).fill(77));
  return length < 0 ? length : [...target.subarray(4, 4 + length)];
}

describe('pglz', () => {
  test('literals, matches, overlapping and long matches', () => {
    expect(run(decompressPglz, [0b0, 1, 2, 3], 3)).toEqual([1, 2, 3]);
    // a b, then 4 bytes from 2 back: a match may run into what it makes.
    expect(run(decompressPglz, [0b100, 97, 98, 0x01, 2], 6)).toEqual([97, 98, 97, 98, 97, 98]);
    // Length 18 and an extra byte.
    expect(run(decompressPglz, [0b10, 5, 0x0f, 1, 3], 22)).toEqual(new Array(22).fill(5));
    // The distance has twelve bits.
    const far = [...new Array(38).keys()].flatMap((group) => [0, ...new Array(8).fill(group)]);
    expect(run(decompressPglz, [...far, 0b1, 0x10, 0x30], 307)).toHaveLength(307);
  });

  test('refuses matches from before the start, cut tags, and input that is left over', () => {
    expect(run(decompressPglz, [0b1, 0x00, 1], 3)).toBe(-1);
    expect(run(decompressPglz, [0b10, 5, 0x00, 0], 3)).toBe(-1);
    expect(run(decompressPglz, [0b10, 5, 0x00], 3)).toBe(-1);
    expect(run(decompressPglz, [0b10, 5, 0x0f, 1], 30)).toBe(-1);
    expect(run(decompressPglz, [0b0, 1, 2, 3], 2)).toBe(-1);
    expect(run(decompressPglz, [0b0, 1], 2)).toEqual([1]);
  });
});

describe('lz4', () => {
  test('literals, matches, extended lengths', () => {
    expect(run(decompressLz4, [0x30, 1, 2, 3], 3)).toEqual([1, 2, 3]);
    expect(run(decompressLz4, [0x22, 97, 98, 2, 0, 0x10, 9], 9)).toEqual([97, 98, 97, 98, 97, 98, 97, 98, 9]);
    expect(run(decompressLz4, [0x1f, 5, 1, 0, 255, 1, 0x00], 276)).toEqual(new Array(276).fill(5));
    const literals = [...new Array(300).keys()].map((value) => value & 0xff);
    expect(run(decompressLz4, [0xf0, 255, 30, ...literals], 300)).toEqual(literals);
  });

  test('refuses matches from before the start, cut sequences, and more than is wanted', () => {
    expect(run(decompressLz4, [0x10, 5, 2, 0, 0], 9)).toBe(-1);
    expect(run(decompressLz4, [0x10, 5, 0, 0, 0], 9)).toBe(-1);
    expect(run(decompressLz4, [0x10, 5, 1], 9)).toBe(-1);
    expect(run(decompressLz4, [0x30, 1, 2], 9)).toBe(-1);
    expect(run(decompressLz4, [0xf0, 255], 9)).toBe(-1);
    expect(run(decompressLz4, [0x1f, 5, 1, 0, 255], 9)).toBe(-1);
    expect(run(decompressLz4, [0x30, 1, 2, 3], 2)).toBe(-1);
    expect(run(decompressLz4, [0x10, 5, 1, 0, 0], 4)).toBe(-1);
    expect(run(decompressLz4, [], 4)).toBe(-1);
  });
});

test.each([
  ['pglz', decompressPglz],
  ['lz4', decompressLz4],
])('%s: any bytes give at most what is wanted, and nothing is written beside it', (_name, decompress) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0, max: 600 }), (input, wanted) => {
      const result = run(decompress, [...input], wanted);
      if (typeof result !== 'number') expect(result.length).toBeLessThanOrEqual(wanted);
    }),
    { numRuns: 2000 },
  );
});
