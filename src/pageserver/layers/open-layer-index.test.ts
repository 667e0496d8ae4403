import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { toLsn } from '../../base/lsn.ts';
import { compareKeys } from '../keyspace/key.ts';
import { OpenLayerIndex } from './open-layer-index.ts';
import { SortedEntries } from './sorted-entries.ts';
import { Stems } from './stems.ts';
import { VALUE_BYTES_MAX } from './value.ts';

const START = toLsn(0x5_0000_0000);

interface Value {
  readonly stem: number;
  readonly index: number;
  readonly lsn: number;
  readonly position: number;
  readonly length: number;
  readonly flags: number;
}

/** Values as ingest may bring them: the LSN of a key never falls. */
const values: fc.Arbitrary<Value[]> = fc
  .array(
    fc.record({
      relation: fc.integer({ min: 0, max: 5 }),
      index: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 0xffff_ffff })),
      step: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1000 })),
      isLate: fc.boolean(),
      length: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(VALUE_BYTES_MAX)),
      flags: fc.integer({ min: 0, max: 15 }),
    }),
    { maxLength: 200 },
  )
  .map((steps) => {
    const newest = new Map<string, number>();
    let lsn: number = START;
    return steps.map(({ relation, index, step, isLate, length, flags }, number) => {
      lsn += step;
      const key = `${relation}/${index}`;
      // Now and then a value comes for a position that other keys have already passed.
      const own = isLate ? Math.max(newest.get(key) ?? START, lsn - 500) : lsn;
      newest.set(key, own);
      return { stem: relation, index, lsn: own, position: number * 8_000_008, length, flags };
    });
  });

function fill(given: readonly Value[]): { index: OpenLayerIndex; stems: Stems } {
  const stems = new Stems();
  // The order of the numbers is not that of the keys.
  for (let stem = 0; stem < 6; stem++) stems.intern((stem * 5) % 7, 1663, 0xffff_fff0 - stem, 9 - stem, 0);
  const index = new OpenLayerIndex(START);
  for (const { stem, index: at, lsn, position, length, flags } of given) {
    index.put(stem, at, lsn, position, length, flags);
  }
  return { index, stems };
}

const toValue = (index: OpenLayerIndex, entry: number): Omit<Value, 'stem' | 'index'> => ({
  lsn: index.lsnOf(entry),
  position: index.positionOf(entry),
  length: index.lengthOf(entry),
  flags: index.flagsOf(entry),
});

test("a key's values are found from the newest to the oldest; of one LSN the one put later is the newer", () => {
  fc.assert(
    fc.property(values, (given) => {
      const { index } = fill(given);
      expect(index.count).toBe(given.length);
      for (const { stem, index: at } of given) {
        const expected = given
          .filter((value) => value.stem === stem && value.index === at)
          .map(({ stem: _stem, index: _index, ...rest }) => rest)
          .reverse();
        const found: unknown[] = [];
        for (let entry = index.newest(stem, at); entry !== -1; entry = index.older(entry)) {
          found.push(toValue(index, entry));
        }
        expect(found).toEqual(expected);
      }
      expect(index.newest(77, 0)).toBe(-1);
    }),
  );
});

test('the values are walked through by key, LSN and the order in which they were put, in another thread too', () => {
  fc.assert(
    fc.property(values, (given) => {
      const { index, stems } = fill(given);
      const key = (value: Value) => stems.keyOf(value.stem, value.index);
      // The sort is stable.
      const expected = given.toSorted(
        (left, right) => compareKeys(key(left), key(right)) || left.lsn - right.lsn,
      );
      const entries = new SortedEntries(structuredClone(index.share()), stems.copyWords());
      const walked: Value[] = [];
      while (entries.advance()) {
        const { stem, index: at, lsn, position, lengthBytes: length, flags } = entries;
        walked.push({ stem, index: at, lsn, position, length, flags });
      }
      expect(walked).toEqual(expected);
      expect(entries.advance()).toBe(false);
    }),
  );
});

test('what does not fit is refused and changes nothing', () => {
  const index = new OpenLayerIndex(START);
  index.put(1, 2, START + 100, 0, 10, 0);
  index.put(1, 3, START + 200, 16, 10, 0);
  expect(() => index.put(1, 2, START + 99, 32, 10, 0)).toThrow("older than its key's newest");
  index.put(1, 2, START + 100, 32, 10, 0);
  expect(index.older(index.older(index.newest(1, 2)))).toBe(-1);
  const limit = 0xffff_ffff;
  expect(index.fits(START + limit, limit * 8)).toBe(true);
  expect(index.fits(START + limit + 1, 0)).toBe(false);
  expect(index.fits(START, (limit + 1) * 8)).toBe(false);
  for (const [lsn, position, length, flags] of [
    [START - 1, 0, 0, 0],
    [START + limit + 1, 0, 0, 0],
    [START + 300, (limit + 1) * 8, 0, 0],
    [START + 300, 4, 0, 0],
    [START + 300, -8, 0, 0],
    [START + 300, 0, VALUE_BYTES_MAX + 1, 0],
    [START + 300, 0, -1, 0],
    [START + 300, 0, 0, 16],
  ] as const) {
    expect(() => index.put(1, 2, lsn, position, length, flags)).toThrow('does not fit');
  }
  expect(() => index.put(1, -1, START + 300, 0, 0, 0)).toThrow('does not fit');
  index.put(1, 2, START + limit, limit * 8, VALUE_BYTES_MAX, 15);
  expect(toValue(index, index.newest(1, 2))).toEqual({
    lsn: START + limit,
    position: limit * 8,
    length: VALUE_BYTES_MAX,
    flags: 15,
  });
});

/** What is allocated, counted where it is. */
function allocatedBytes(index: OpenLayerIndex): number {
  const { heads, chunks } = index.share();
  const arrays = [heads.roots, heads.heights, ...heads.chunks, ...chunks];
  return arrays.reduce((sum, array) => sum + array.buffer.byteLength, 0);
}

test('at five versions a key a value costs at most 24 bytes, in large relations and in small ones', () => {
  const count = 1_000_000;
  for (const [stems, indexes] of [
    [1, 200_000],
    [20, 10_000],
    [10_000, 20],
    [200_000, 1],
  ] as const) {
    const index = new OpenLayerIndex(START);
    const random = new SeededRandom(stems);
    for (let number = 0; number < count; number++) {
      index.put(random.below(stems), random.below(indexes), START + number * 90, number * 96, 90, 1);
    }
    expect(allocatedBytes(index) / count).toBeLessThan(24);
    expect(index.bytes / count).toBeLessThan(24);
    expect(Math.abs(allocatedBytes(index) - index.bytes)).toBeLessThan(2 * 1024 * 1024);
  }
});

test('values for pages far from one another cost a bounded amount', () => {
  const index = new OpenLayerIndex(START);
  const random = new SeededRandom(1);
  const count = 100_000;
  // One version of one page in 1300, of a relation of a terabyte.
  for (let number = 0; number < count; number++) {
    index.put(0, random.below(134_217_728), START + number, number * 8, 8, 1);
  }
  expect(index.bytes / count).toBeLessThan(400);
});
