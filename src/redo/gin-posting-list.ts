/**
 * Posting lists of GIN (access/gin/ginpostinglist.c): heap tuples as 43-bit numbers, ascending, of which a list holds
 * the first one and then the differences in groups of seven bits, the lowest group first.
 *
 * Numbers beyond 32 bits are taken apart by division, which is exact for them.
 */
import {
  GIN_OPAQUE,
  POSTING_LIST_BYTES,
  POSTING_LIST_NBYTES,
  postingListSize,
} from '../postgres/page/gin-page.ts';
import {
  ITEM_POINTER_BYTES,
  itemPointerBlock,
  itemPointerOffsetNumber,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import type { Page } from '../postgres/page/page.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** 1 << MaxHeapTuplesPerPageBits: what an offset number must be below. */
const OFFSET_NUMBERS = 2048;
/** One more than the highest item: block number 32 bits, offset number 11. */
const ITEM_LIMIT: number = 0x1_0000_0000 * OFFSET_NUMBERS;
/** MaxBytesPerInteger. */
const VARBYTES_MAX = 7;

/** Items that one page can hold at most, one byte each. */
export const PAGE_ITEMS_MAX = BLOCK_BYTES;

/** itemptr_to_uint64: the item pointer at `offset`, which the caller has checked to lie within the view. */
function readItem(view: DataView, offset: number): number {
  const offsetNumber = itemPointerOffsetNumber(view, offset);
  if (offsetNumber === 0 || offsetNumber >= OFFSET_NUMBERS)
    failRedo(`an item has the offset number ${offsetNumber}`);
  return itemPointerBlock(view, offset) * OFFSET_NUMBERS + offsetNumber;
}

/**
 * SizeOfGinPostingList of the segment at `position`, which must lie before `end`; that lies within the view.
 */
export function checkedSegmentSize(view: DataView, position: number, end: number): number {
  if (end - position < POSTING_LIST_BYTES) failRedo('a posting list is cut off');
  const size = postingListSize(view.getUint16(position + POSTING_LIST_NBYTES, true));
  if (size > end - position) failRedo(`a posting list claims ${size} of ${end - position} bytes`);
  return size;
}

/** Reads `count` item pointers, which must not descend, into `items`. The caller has checked both bounds. */
export function readItemPointers(view: DataView, offset: number, count: number, items: Float64Array): void {
  let previous = 0;
  for (let index = 0; index < count; index++) {
    const item = readItem(view, offset + index * ITEM_POINTER_BYTES);
    requireRedo(item >= previous, 'item pointers are out of order');
    items[index] = item;
    previous = item;
  }
}

/**
 * ginPostingListDecode: reads the segment at `position`, which checkedSegmentSize has accepted on a page, into `items`,
 * which has room for PAGE_ITEMS_MAX. Returns how many they are.
 */
export function decodePostingList(view: DataView, position: number, items: Float64Array): number {
  const start = position + POSTING_LIST_BYTES;
  const end = start + view.getUint16(position + POSTING_LIST_NBYTES, true);
  let item = readItem(view, position);
  items[0] = item;
  let count = 1;
  let next = start;
  while (next < end) {
    let factor = 1;
    let byte = 0x80;
    for (let taken = 0; (byte & 0x80) !== 0; taken++) {
      requireRedo(taken < VARBYTES_MAX && next < end, 'a difference in a posting list does not end');
      byte = view.getUint8(next++);
      item += (byte & 0x7f) * factor;
      factor *= 128;
    }
    requireRedo(item < ITEM_LIMIT && item % OFFSET_NUMBERS !== 0, 'a posting list holds an impossible item');
    items[count++] = item;
  }
  return count;
}

/**
 * ginMergeItemPointers: merges two ascending lists into `merged`, which has room for both; an item that is in both
 * goes in once. Returns the number of items.
 */
export function mergeItems(
  left: Float64Array,
  leftCount: number,
  right: Float64Array,
  rightCount: number,
  merged: Float64Array,
): number {
  let fromLeft = 0;
  let fromRight = 0;
  let count = 0;
  while (fromLeft < leftCount || fromRight < rightCount) {
    const leftItem = fromLeft < leftCount ? (left[fromLeft] as number) : ITEM_LIMIT;
    const rightItem = fromRight < rightCount ? (right[fromRight] as number) : ITEM_LIMIT;
    if (leftItem <= rightItem) fromLeft++;
    if (rightItem <= leftItem) fromRight++;
    merged[count++] = leftItem < rightItem ? leftItem : rightItem;
  }
  return count;
}

/**
 * ginCompressPostingList: writes `count` (at least one) items, which do not descend, as one segment at `position`
 * of the page. Returns the segment's size; fails where it would reach into the special space.
 */
export function encodePostingList(page: Page, position: number, items: Float64Array, count: number): number {
  const { view } = page;
  if (position + POSTING_LIST_BYTES > GIN_OPAQUE) failRedo('no room on the page for a posting list');
  let previous = items[0] as number;
  setItemPointer(view, position, Math.floor(previous / OFFSET_NUMBERS), previous % OFFSET_NUMBERS);
  const start = position + POSTING_LIST_BYTES;
  let next = start;
  for (let index = 1; index < count; index++) {
    const item = items[index] as number;
    let difference = item - previous;
    previous = item;
    if (next + VARBYTES_MAX > GIN_OPAQUE && next + varbyteLength(difference) > GIN_OPAQUE) {
      failRedo('no room on the page for a posting list');
    }
    while (difference > 0x7fff_ffff) {
      const low = difference % 128;
      view.setUint8(next++, 0x80 | low);
      difference = (difference - low) / 128;
    }
    while (difference > 0x7f) {
      view.setUint8(next++, 0x80 | (difference & 0x7f));
      difference >>>= 7;
    }
    view.setUint8(next++, difference);
  }
  const nbytes = next - start;
  const size = postingListSize(nbytes);
  if (position + size > GIN_OPAQUE) failRedo('no room on the page for a posting list');
  if ((nbytes & 1) !== 0) view.setUint8(next, 0);
  view.setUint16(position + POSTING_LIST_NBYTES, nbytes, true);
  return size;
}

/** Bytes that a difference takes. */
function varbyteLength(difference: number): number {
  let length = 1;
  for (let rest = difference; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}
