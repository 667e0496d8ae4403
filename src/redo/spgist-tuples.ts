/** Tuples of SP-GiST pages, as replay changes them (access/spgist: spgxlog.c, spgdoinsert.c, spgutils.c). */
import { INDEX_TUPLE_HEADER_BYTES, INDEX_TUPLE_TID, indexTupleSize } from '../postgres/page/index-tuple.ts';
import {
  INVALID_BLOCK_NUMBER,
  INVALID_OFFSET_NUMBER,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import { lineCount, lineItemLength, PAGE_SPECIAL, type Page } from '../postgres/page/page.ts';
import {
  initializeSpgistPage,
  SPGIST_DEAD_POINTER,
  SPGIST_DEAD_TUPLE_BYTES,
  SPGIST_DEAD_XID,
  SPGIST_INNER_HEADER_BYTES,
  SPGIST_LEAF_HEADER_BYTES,
  SPGIST_LEAF_INFO,
  SPGIST_LEAF_STATE_SIZE,
  SPGIST_NEXT_OFFSET_MASK,
  SPGIST_OPAQUE,
  SPGIST_PLACEHOLDER,
  SPGIST_PLACEHOLDER_COUNT,
  SPGIST_REDIRECT,
  SPGIST_REDIRECTION_COUNT,
  SPGIST_TUPLE_STATE_MASK,
  spgistInnerNodeCount,
  spgistInnerPrefixSize,
  spgistInnerTupleSize,
  spgistLeafTupleSize,
} from '../postgres/page/spgist-page.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import {
  addIndexItem,
  checkPagePointers,
  deleteIndexItem,
  deleteIndexItems,
  getItemOffset,
  getLinePointer,
  reserveItem,
} from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** Scratch space of `replaceByDeadTuples`: one mark for each line that a page can have, and the sorted numbers. */
const LINES_MAX = BLOCK_BYTES / 4;
const marked = new Uint8Array(LINES_MAX + 1);
const sortedNumbers = new DataView(new ArrayBuffer(LINES_MAX * 2));

/**
 * Makes the page ready for a change: empties it with `flags` if the record's kind says that it is new, else checks that
 * it is an SP-GiST page. As in XLogReadBufferForRedoExtended, the block reference must say the same about being new.
 */
export function preparePage(
  page: Page,
  record: DecodedRecord,
  blockId: number,
  isNew: boolean,
  flags: number,
): void {
  requireRedo(record.willInitialize(blockId) === isNew, 'record and block reference disagree on a new page');
  if (isNew) {
    initializeSpgistPage(page, flags);
    return;
  }
  checkPagePointers(page);
  requireRedo(page.view.getUint16(PAGE_SPECIAL, true) === SPGIST_OPAQUE, 'the page is not an SP-GiST page');
}

/** Size of the leaf tuple at `position` of the record, which must end at or before `end`. */
export function checkedLeafSize(record: DecodedRecord, position: number, end: number): number {
  requireRedo(end - position >= SPGIST_DEAD_TUPLE_BYTES, 'a leaf tuple is cut off');
  const size = spgistLeafTupleSize(record.view, position);
  requireRedo(
    size >= SPGIST_DEAD_TUPLE_BYTES && size <= end - position,
    'a leaf tuple has an impossible size',
  );
  return size;
}

/** Size of the inner tuple at `position` of the record, which must end at or before `end`. */
export function checkedInnerSize(record: DecodedRecord, position: number, end: number): number {
  requireRedo(end - position >= SPGIST_DEAD_TUPLE_BYTES, 'an inner tuple is cut off');
  const size = spgistInnerTupleSize(record.view, position);
  requireRedo(
    size >= SPGIST_DEAD_TUPLE_BYTES && size <= end - position,
    'an inner tuple has an impossible size',
  );
  return size;
}

/** Adds to one of the counters in the special space; they wrap around as PostgreSQL's do. */
export function addToCounter(page: Page, counterOffset: number, difference: number): void {
  page.view.setUint16(counterOffset, (page.view.getUint16(counterOffset, true) + difference) & 0xffff, true);
}

/** Replaces the tuple of a line by one from the record, of any size that fits. */
export function replaceTuple(
  page: Page,
  offsetNumber: number,
  record: DecodedRecord,
  position: number,
  size: number,
): void {
  deleteIndexItem(page, offsetNumber);
  addIndexItem(page, offsetNumber, record.bytes, record.view, position, size);
}

/** addOrReplaceTuple: puts a tuple from the record on a line that is either a placeholder or the next after the last. */
export function addOrReplaceTuple(
  page: Page,
  offsetNumber: number,
  record: DecodedRecord,
  position: number,
  size: number,
): void {
  if (offsetNumber <= lineCount(page)) {
    const item = getItemOffset(page, offsetNumber, SPGIST_DEAD_TUPLE_BYTES);
    const state = page.view.getUint32(item + SPGIST_LEAF_STATE_SIZE, true) & SPGIST_TUPLE_STATE_MASK;
    requireRedo(state === SPGIST_PLACEHOLDER, 'the tuple to be replaced is not a placeholder');
    addToCounter(page, SPGIST_PLACEHOLDER_COUNT, -1);
    deleteIndexItem(page, offsetNumber);
  }
  addIndexItem(page, offsetNumber, record.bytes, record.view, position, size);
}

/**
 * spgFormDeadTuple, added as line `offsetNumber`: later lines move up. The pointer and the transaction only count for
 * a redirection.
 */
function addDeadTuple(
  page: Page,
  offsetNumber: number,
  state: number,
  targetBlock: number,
  targetOffsetNumber: number,
  redirectXid: number,
): void {
  const { view } = page;
  const item = reserveItem(page, offsetNumber, SPGIST_DEAD_TUPLE_BYTES, false, false);
  const isRedirect = state === SPGIST_REDIRECT;
  view.setUint32(item + SPGIST_LEAF_STATE_SIZE, (SPGIST_DEAD_TUPLE_BYTES << 2) | state, true);
  view.setUint16(item + SPGIST_LEAF_INFO, 0, true);
  if (isRedirect) setItemPointer(view, item + SPGIST_DEAD_POINTER, targetBlock, targetOffsetNumber);
  else setItemPointer(view, item + SPGIST_DEAD_POINTER, INVALID_BLOCK_NUMBER, INVALID_OFFSET_NUMBER);
  view.setUint32(item + SPGIST_DEAD_XID, isRedirect ? redirectXid : 0, true);
  if (isRedirect) addToCounter(page, SPGIST_REDIRECTION_COUNT, 1);
  else if (state === SPGIST_PLACEHOLDER) addToCounter(page, SPGIST_PLACEHOLDER_COUNT, 1);
}

/** Replaces the tuple of a line by a dead one, and counts it. */
export function replaceByDeadTuple(
  page: Page,
  offsetNumber: number,
  state: number,
  targetBlock: number,
  targetOffsetNumber: number,
  redirectXid: number,
): void {
  deleteIndexItem(page, offsetNumber);
  addDeadTuple(page, offsetNumber, state, targetBlock, targetOffsetNumber, redirectXid);
}

/**
 * spgPageIndexMultiDelete: replaces the tuples of `count` lines, whose numbers stand in any order as u16 at
 * `numbersOffset`, by dead ones: the first number's in `firstState`, the others' in `otherState`. The caller has
 * checked that the numbers lie within `numbers`.
 */
export function replaceByDeadTuples(
  page: Page,
  numbers: DataView,
  numbersOffset: number,
  count: number,
  firstState: number,
  otherState: number,
  targetBlock: number,
  targetOffsetNumber: number,
  redirectXid: number,
): void {
  if (count === 0) return;
  const lines = lineCount(page);
  marked.fill(0, 0, lines + 1);
  for (let index = 0; index < count; index++) {
    const number = numbers.getUint16(numbersOffset + index * 2, true);
    requireRedo(number >= 1 && number <= lines, 'a tuple to be deleted is not on the page');
    requireRedo(marked[number] === 0, 'a tuple is to be deleted twice');
    marked[number] = 1;
  }
  let sorted = 0;
  for (let line = 1; line <= lines; line++) {
    if (marked[line] === 1) sortedNumbers.setUint16(2 * sorted++, line, true);
  }
  deleteIndexItems(page, sortedNumbers, 0, count);
  const first = numbers.getUint16(numbersOffset, true);
  for (let index = 0; index < count; index++) {
    const number = sortedNumbers.getUint16(index * 2, true);
    const state = number === first ? firstState : otherState;
    addDeadTuple(page, number, state, targetBlock, targetOffsetNumber, redirectXid);
  }
}

/** Deletes the lines from `first` to the last one; returns how many they were. */
export function deleteLastTuples(page: Page, first: number): number {
  const lines = lineCount(page);
  requireRedo(first >= 1 && first <= lines, 'the first tuple to be deleted is not on the page');
  const count = lines - first + 1;
  for (let index = 0; index < count; index++) sortedNumbers.setUint16(index * 2, first + index, true);
  deleteIndexItems(page, sortedNumbers, 0, count);
  return count;
}

/** Sets nextOffset of a leaf tuple, the next one in its chain (SGLT_SET_NEXTOFFSET). */
export function setNextOffset(page: Page, offsetNumber: number, next: number): void {
  const info = getItemOffset(page, offsetNumber, SPGIST_LEAF_HEADER_BYTES) + SPGIST_LEAF_INFO;
  const kept = page.view.getUint16(info, true) & ~SPGIST_NEXT_OFFSET_MASK;
  page.view.setUint16(info, kept | (next & SPGIST_NEXT_OFFSET_MASK), true);
}

/** spgUpdateNodeLink: lets node number `node` (from 0) of the inner tuple on a line point to another tuple. */
export function setNodeLink(
  page: Page,
  offsetNumber: number,
  node: number,
  targetBlock: number,
  targetOffsetNumber: number,
): void {
  const { view } = page;
  const tuple = getItemOffset(page, offsetNumber, SPGIST_INNER_HEADER_BYTES);
  const end = tuple + lineItemLength(getLinePointer(page, offsetNumber));
  if (node >= spgistInnerNodeCount(view, tuple))
    failRedo(`the inner tuple on line ${offsetNumber} has no node ${node}`);
  let position = tuple + SPGIST_INNER_HEADER_BYTES + spgistInnerPrefixSize(view, tuple);
  for (let index = 0; ; index++) {
    requireRedo(position + INDEX_TUPLE_HEADER_BYTES <= end, 'a node is beyond its inner tuple');
    if (index === node) break;
    const size = indexTupleSize(view, position);
    requireRedo(size >= INDEX_TUPLE_HEADER_BYTES, 'a node has an impossible size');
    position += size;
  }
  setItemPointer(view, position + INDEX_TUPLE_TID, targetBlock, targetOffsetNumber);
}
