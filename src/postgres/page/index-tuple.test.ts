import { expect, test } from 'vitest';
import { getPageSample } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  INDEX_NULL_MASK,
  INDEX_TUPLE_HEADER_BYTES,
  INDEX_TUPLE_INFO,
  INDEX_TUPLE_TID,
  INDEX_VAR_MASK,
  indexTupleSize,
} from './index-tuple.ts';
import {
  INVALID_BLOCK_NUMBER,
  itemPointerBlock,
  itemPointerOffsetNumber,
  setItemPointer,
} from './item-pointer.ts';

const viewOf = (item: Uint8Array) => new DataView(item.buffer);
const infoOf = (item: Uint8Array) => viewOf(item).getUint16(INDEX_TUPLE_INFO, true);
const heapLines = (items: readonly Uint8Array[]) =>
  items.map((item) => [
    itemPointerBlock(viewOf(item), INDEX_TUPLE_TID),
    itemPointerOffsetNumber(viewOf(item), INDEX_TUPLE_TID),
  ]);

test('index tuples that a server wrote', () => {
  const [apple, apricot, nothing] = itemsOf(getPageSample('btree_few', 1));
  for (const item of [apple, apricot, nothing]) expect(indexTupleSize(viewOf(item), 0)).toBe(item.length);
  expect(heapLines([apple, apricot, nothing])).toEqual([
    [0, 1],
    [0, 2],
    [0, 3],
  ]);
  expect([apple, apricot, nothing].map((item) => infoOf(item) & (INDEX_VAR_MASK | INDEX_NULL_MASK))).toEqual([
    INDEX_VAR_MASK,
    INDEX_VAR_MASK,
    INDEX_NULL_MASK,
  ]);
  expect(
    Buffer.from(apple.subarray(INDEX_TUPLE_HEADER_BYTES + 1, INDEX_TUPLE_HEADER_BYTES + 6)).toString(),
  ).toBe('apple');
  const gist = itemsOf(getPageSample('gist_few', 0));
  expect(gist.map((item) => indexTupleSize(viewOf(item), 0))).toEqual([40, 40, 40]);
  expect(
    heapLines(gist)
      .map(([, line]) => line)
      .sort(),
  ).toEqual([1, 2, 3]);
});

test('an item pointer takes any block number', () => {
  const view = new DataView(new ArrayBuffer(8));
  for (const block of [0, 1, 0xffff, 0x1_0000, 0x8000_0000, 0x1234_5678, INVALID_BLOCK_NUMBER]) {
    setItemPointer(view, 1, block, 0xfffe);
    expect(itemPointerBlock(view, 1)).toBe(block);
    expect(itemPointerOffsetNumber(view, 1)).toBe(0xfffe);
  }
  setItemPointer(view, 0, 0x1234_5678, 9);
  expect([...new Uint8Array(view.buffer, 0, 6)], 'the high half of the block comes first').toEqual([
    0x34, 0x12, 0x78, 0x56, 9, 0,
  ]);
});
