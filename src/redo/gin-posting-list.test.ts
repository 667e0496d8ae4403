import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HeapTid, postingList, tidsBytes } from '../../test/support/gin-pages.ts';
import { GIN_OPAQUE } from '../postgres/page/gin-page.ts';
import { Page } from '../postgres/page/page.ts';
import {
  checkedSegmentSize,
  decodePostingList,
  encodePostingList,
  mergeItems,
  PAGE_ITEMS_MAX,
  readItemPointers,
} from './gin-posting-list.ts';
import { RedoFailure } from './redo-failure.ts';

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const itemsOf = (tids: readonly HeapTid[]): Float64Array => {
  const items = new Float64Array(tids.length);
  readItemPointers(viewOf(tidsBytes(tids)), 0, tids.length, items);
  return items;
};

function encode(tids: readonly HeapTid[], position = 32): Uint8Array {
  const page = new Page(new Uint8Array(8192).fill(0xee));
  const size = encodePostingList(page, position, itemsOf(tids), tids.length);
  expect(page.bytes[position + size]).toBe(0xee);
  return page.bytes.slice(position, position + size);
}

function decode(list: Uint8Array): number[] {
  const items = new Float64Array(PAGE_ITEMS_MAX);
  expect(checkedSegmentSize(viewOf(list), 0, list.length)).toBe(list.length);
  return [...items.slice(0, decodePostingList(viewOf(list), 0, items))];
}

const heapTid: fc.Arbitrary<HeapTid> = fc.tuple(
  fc.oneof(fc.nat(3), fc.nat(100_000), fc.nat(0xffff_fffe)),
  fc.integer({ min: 1, max: 2047 }),
);
const ascendingTids = fc
  .uniqueArray(heapTid, { minLength: 1, maxLength: 60, selector: String })
  .map((tids) => [...tids].sort((a, b) => a[0] - b[0] || a[1] - b[1]));

describe('the format of a posting list', () => {
  test('the documented lengths of a difference', () => {
    expect([...encode([[0, 1]])]).toEqual([0, 0, 0, 0, 1, 0, 0, 0]);
    // A difference of one item, and the byte that makes the length even.
    expect(
      [
        ...encode([
          [0, 1],
          [0, 2],
        ]),
      ].slice(6),
    ).toEqual([1, 0, 1, 0]);
    // The next block: 2048 = 16 * 128.
    expect(
      [
        ...encode([
          [0, 1],
          [1, 1],
        ]),
      ].slice(6),
    ).toEqual([2, 0, 0x80, 0x10]);
    // The largest of all takes seven bytes.
    const widest = encode([
      [0, 1],
      [0xffff_ffff, 2047],
    ]);
    expect([...widest].slice(6)).toEqual([7, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0]);
  });

  test('what is written is what the plain encoder writes, and is read back', () => {
    fc.assert(
      fc.property(ascendingTids, (tids) => {
        const list = encode(tids);
        expect(list).toEqual(postingList(tids));
        expect(decode(list)).toEqual(tids.map(([block, offsetNumber]) => block * 2048 + offsetNumber));
      }),
    );
  });

  test('equal items are kept, as PostgreSQL keeps them', () => {
    const list = encode([
      [5, 1],
      [5, 1],
    ]);
    expect([...list].slice(6)).toEqual([1, 0, 0, 0]);
    expect(decode(list)).toEqual([5 * 2048 + 1, 5 * 2048 + 1]);
  });
});

describe('merging', () => {
  const merge = (left: readonly number[], right: readonly number[]): number[] => {
    const merged = new Float64Array(left.length + right.length);
    const count = mergeItems(
      Float64Array.from(left),
      left.length,
      Float64Array.from(right),
      right.length,
      merged,
    );
    return [...merged.slice(0, count)];
  };

  test('keeps the order and one of two that are the same', () => {
    expect(merge([1, 4, 9], [2, 4, 5])).toEqual([1, 2, 4, 5, 9]);
    expect(merge([], [2, 3])).toEqual([2, 3]);
    expect(merge([7, 8], [2, 3])).toEqual([2, 3, 7, 8]);
    expect(merge([2 ** 43 - 1], [1])).toEqual([1, 2 ** 43 - 1]);
  });
});

describe('damage is refused', () => {
  test('an item that no heap tuple has', () => {
    for (const offsetNumber of [0, 2048, 0xffff]) {
      expect(() => itemsOf([[1, offsetNumber]])).toThrow(RedoFailure);
      expect(() => decode(postingList([[1, offsetNumber]]))).toThrow(RedoFailure);
    }
    // Offset number 1 and 2047 more: 2048, which counts as the next block's item 0.
    const list = postingList([[1, 1]]);
    expect(() => decode(Uint8Array.from([...list.slice(0, 6), 2, 0, 0xff, 0x0f]))).toThrow(/impossible item/);
    const beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    expect(() => decode(Uint8Array.from([...list.slice(0, 6), 7, 0, ...beyond, 0]))).toThrow(
      /impossible item/,
    );
  });

  test('item pointers that descend', () => {
    expect(() =>
      itemsOf([
        [2, 1],
        [1, 1],
      ]),
    ).toThrow(/out of order/);
  });

  test('a difference that does not end', () => {
    const first = postingList([[1, 1]]).slice(0, 6);
    expect(() => decode(Uint8Array.from([...first, 2, 0, 0x80, 0x80]))).toThrow(/does not end/);
    const endless = Array.from({ length: 8 }, () => 0x80);
    expect(() => decode(Uint8Array.from([...first, 8, 0, ...endless]))).toThrow(/does not end/);
  });

  test('a segment that ends beyond its bounds', () => {
    const list = postingList([
      [1, 1],
      [9, 1],
      [9, 2],
    ]);
    for (let length = 0; length < list.length; length++) {
      expect(() => checkedSegmentSize(viewOf(list), 0, length)).toThrow(RedoFailure);
    }
  });

  test('nothing is written into the special space', () => {
    const tids: HeapTid[] = [];
    for (let index = 0; index < 20; index++) tids.push([index * 0x800_0000, 1 + index]);
    const size = postingList(tids).length;
    expect(encode(tids, GIN_OPAQUE - size).length).toBe(size);
    for (let position = GIN_OPAQUE - size + 1; position <= GIN_OPAQUE; position++) {
      const page = new Page(new Uint8Array(8192).fill(0xee));
      expect(() => encodePostingList(page, position, itemsOf(tids), tids.length)).toThrow(/no room/);
      expect([...page.bytes.slice(GIN_OPAQUE)]).toEqual(new Array(8).fill(0xee));
    }
  });
});
