import { expect, test } from 'vitest';
import { getPageSample } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  HEAP_HASNULL,
  HEAP_HASVARWIDTH,
  HEAP_HOT_UPDATED,
  HEAP_NATTS_MASK,
  HEAP_ONLY_TUPLE,
  HEAP_UPDATED,
  HEAP_XMAX_INVALID,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_HOFF,
  TUPLE_INFOMASK,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
  TUPLE_XMIN,
} from './heap-tuple.ts';
import { itemPointerBlock, itemPointerOffsetNumber } from './item-pointer.ts';

/** Rows 1 to 4 were inserted; then row 2 was updated, which made line 5, and row 4 deleted. */
const views = itemsOf(getPageSample('heap_page', 0)).map((item) => new DataView(item.buffer));
const u16 = (offset: number) => views.map((view) => view.getUint16(offset, true));
const u32 = (offset: number) => views.map((view) => view.getUint32(offset, true));

test('who made and ended the tuples that a server wrote', () => {
  const [inserted] = u32(TUPLE_XMIN);
  expect(inserted).toBeGreaterThan(700);
  expect(u32(TUPLE_XMIN)).toEqual([inserted, inserted, inserted, inserted, inserted + 1]);
  expect(u32(TUPLE_XMAX)).toEqual([0, inserted + 1, 0, inserted + 2, 0]);
  const invalid = u16(TUPLE_INFOMASK).map((mask) => (mask & HEAP_XMAX_INVALID) !== 0);
  expect(invalid).toEqual([true, false, true, false, true]);
});

test('the chain of an update within the page', () => {
  expect(views.map((view) => itemPointerBlock(view, TUPLE_CTID))).toEqual([0, 0, 0, 0, 0]);
  expect(views.map((view) => itemPointerOffsetNumber(view, TUPLE_CTID))).toEqual([1, 5, 3, 4, 5]);
  expect(u16(TUPLE_INFOMASK2).map((mask) => mask & (HEAP_HOT_UPDATED | HEAP_ONLY_TUPLE))).toEqual([
    0,
    HEAP_HOT_UPDATED,
    0,
    0,
    HEAP_ONLY_TUPLE,
  ]);
  expect(u16(TUPLE_INFOMASK).map((mask) => (mask & HEAP_UPDATED) !== 0)).toEqual([
    false,
    false,
    false,
    false,
    true,
  ]);
});

test('attributes', () => {
  expect(u16(TUPLE_INFOMASK2).map((mask) => mask & HEAP_NATTS_MASK)).toEqual([2, 2, 2, 2, 2]);
  expect(u16(TUPLE_INFOMASK).map((mask) => mask & (HEAP_HASNULL | HEAP_HASVARWIDTH))).toEqual([
    HEAP_HASVARWIDTH,
    HEAP_HASVARWIDTH,
    HEAP_HASNULL,
    HEAP_HASVARWIDTH,
    HEAP_HASVARWIDTH,
  ]);
  expect(views.map((view) => view.getUint8(TUPLE_HOFF))).toEqual([24, 24, 24, 24, 24]);
  expect(views[2].getUint8(TUPLE_HEADER_BYTES), 'the nulls bitmap').toBe(1);
  expect(views.map((view) => view.getInt32(24, true))).toEqual([1, 2, 3, 4, 2]);
});
