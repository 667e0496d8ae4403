/** Bucket and overflow pages of a hash index (hash_xlog.c). */
import {
  HASH_BUCKET_NEEDS_SPLIT_CLEANUP,
  HASH_FLAG,
  HASH_NEXT_BLOCK,
  HASH_OPAQUE,
  HASH_OVERFLOW_PAGE,
  HASH_PAGE_HAS_DEAD_TUPLES,
  HASH_PREVIOUS_BLOCK,
  HASH_UNUSED_PAGE,
  INVALID_BUCKET,
  initializeHashPage,
} from '../postgres/page/hash-page.ts';
import { INVALID_BLOCK_NUMBER } from '../postgres/page/item-pointer.ts';
import type { Page } from '../postgres/page/page.ts';
import {
  HASH_DELETE_BYTES,
  HASH_DELETE_CLEAR_DEAD,
  HASH_INSERT_BYTES,
  HASH_INSERT_OFFSET_NUMBER,
  HASH_MOVE_BYTES,
  HASH_MOVE_TUPLES,
  HASH_SPLIT_ALLOCATE_BYTES,
  HASH_SPLIT_ALLOCATE_NEW_BUCKET,
  HASH_SPLIT_ALLOCATE_NEW_FLAG,
  HASH_SPLIT_ALLOCATE_OLD_FLAG,
  HASH_SPLIT_COMPLETE_BYTES,
  HASH_SPLIT_COMPLETE_NEW_FLAG,
  HASH_SPLIT_COMPLETE_OLD_FLAG,
  HASH_SQUEEZE_BYTES,
  HASH_SQUEEZE_IS_PREVIOUS,
  HASH_SQUEEZE_NEXT_BLOCK,
  HASH_SQUEEZE_PREVIOUS_BLOCK,
  HASH_SQUEEZE_TUPLES,
  HASH_VACUUM_BYTES,
  HASH_VACUUM_TUPLES,
} from '../postgres/rmgr/hash-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { readBlockNumberData } from './hash-meta.ts';
import {
  addRecordTuple,
  recordTupleBytes,
  requireInitialized,
  requireMainData,
  requireSpecialSpace,
} from './index-tuples.ts';
import { addIndexItem, deleteIndexItems } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

function setLink(page: Page, field: number, blockNumber: number): boolean {
  requireSpecialSpace(page, HASH_OPAQUE);
  page.view.setUint32(field, blockNumber, true);
  return true;
}

function clearFlag(page: Page, flag: number): boolean {
  requireSpecialSpace(page, HASH_OPAQUE);
  page.view.setUint16(HASH_FLAG, page.view.getUint16(HASH_FLAG, true) & ~flag, true);
  return true;
}

/** hash_xlog_insert, block 0. */
export function insertTuple(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_INSERT_BYTES);
  const offsetNumber = record.view.getUint16(record.mainDataOffset + HASH_INSERT_OFFSET_NUMBER, true);
  addRecordTuple(page, record, 0, offsetNumber);
  return true;
}

/** hash_xlog_add_ovfl_page, block 0. */
export function makeOverflowPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireRedo(record.hasBlock(1), 'an overflow page without a page before it');
  const bucket = readBlockNumberData(record, 0);
  initializeHashPage(page, record.blockNumber[1] as number, INVALID_BLOCK_NUMBER, bucket, HASH_OVERFLOW_PAGE);
  return true;
}

/** hash_xlog_add_ovfl_page, block 1. */
export function linkOverflowPage(page: Page, record: DecodedRecord): boolean {
  requireRedo(record.hasBlock(0), 'a link to an overflow page that the record does not have');
  return setLink(page, HASH_NEXT_BLOCK, record.blockNumber[0] as number);
}

/** hash_xlog_split_allocate_page, block 0. A bucket's first page keeps the newest bucket's number for its link back. */
export function beginSplit(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_SPLIT_ALLOCATE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  const { view, mainDataOffset } = record;
  const newBucket = view.getUint32(mainDataOffset + HASH_SPLIT_ALLOCATE_NEW_BUCKET, true);
  page.view.setUint16(HASH_FLAG, view.getUint16(mainDataOffset + HASH_SPLIT_ALLOCATE_OLD_FLAG, true), true);
  page.view.setUint32(HASH_PREVIOUS_BLOCK, newBucket, true);
  return true;
}

/** hash_xlog_split_allocate_page, block 1. */
export function makeBucket(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 1);
  requireMainData(record, HASH_SPLIT_ALLOCATE_BYTES);
  const { view, mainDataOffset } = record;
  const newBucket = view.getUint32(mainDataOffset + HASH_SPLIT_ALLOCATE_NEW_BUCKET, true);
  const flag = view.getUint16(mainDataOffset + HASH_SPLIT_ALLOCATE_NEW_FLAG, true);
  initializeHashPage(page, newBucket, INVALID_BLOCK_NUMBER, newBucket, flag);
  return true;
}

/** hash_xlog_split_complete: block 0 is the old bucket, block 1 the new one. */
export function endSplit(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireMainData(record, HASH_SPLIT_COMPLETE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  const field = blockId === 0 ? HASH_SPLIT_COMPLETE_OLD_FLAG : HASH_SPLIT_COMPLETE_NEW_FLAG;
  page.view.setUint16(HASH_FLAG, record.view.getUint16(record.mainDataOffset + field, true), true);
  return true;
}

/** hash_xlog_split_cleanup, block 0: the tuples that went to the new bucket have been deleted. */
export function endSplitCleanup(page: Page): boolean {
  return clearFlag(page, HASH_BUCKET_NEEDS_SPLIT_CLEANUP);
}

/** Adds the `count` tuples of block 1, whose data are their offset numbers and then themselves. */
function addTuples(page: Page, record: DecodedRecord, count: number): void {
  const { view } = record;
  const data = record.blockDataOffset[1] as number;
  const end = data + (record.blockDataLength[1] as number);
  let tuple = data + count * 2;
  requireRedo(tuple <= end, 'the block data end within the offset numbers');
  for (let index = 0; index < count; index++) {
    const size = recordTupleBytes(view, tuple, end - tuple);
    addIndexItem(page, view.getUint16(data + index * 2, true), record.bytes, view, tuple, size);
    tuple += size;
  }
  requireRedo(tuple === end, 'unexplained bytes after the last tuple');
}

/** The lines to be deleted are all of the block's data; it may have none. */
function deleteLines(page: Page, record: DecodedRecord, blockId: number): void {
  const length = record.blockDataLength[blockId] as number;
  requireRedo((length & 1) === 0, 'half an offset number');
  if (length > 0) deleteIndexItems(page, record.view, record.blockDataOffset[blockId] as number, length / 2);
}

/** hash_xlog_move_page_contents, block 1: the page that gets tuples. */
export function receiveTuples(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_MOVE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  addTuples(page, record, record.view.getUint16(record.mainDataOffset + HASH_MOVE_TUPLES, true));
  return true;
}

/** hash_xlog_move_page_contents, block 2: the page that they leave. */
export function removeMovedTuples(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_MOVE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  deleteLines(page, record, 2);
  return true;
}

/**
 * hash_xlog_squeeze_page, block 1: the page that gets the tuples of the freed page. It may be the one before that
 * page, whose link then changes too; or neither, when it is only there to be locked, and keeps its LSN.
 */
export function receiveFreedTuples(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_SQUEEZE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  const { view, mainDataOffset } = record;
  const count = view.getUint16(mainDataOffset + HASH_SQUEEZE_TUPLES, true);
  addTuples(page, record, count);
  if (view.getUint8(mainDataOffset + HASH_SQUEEZE_IS_PREVIOUS) === 0) return count > 0;
  return setLink(page, HASH_NEXT_BLOCK, view.getUint32(mainDataOffset + HASH_SQUEEZE_NEXT_BLOCK, true));
}

/** hash_xlog_squeeze_page, block 2. */
export function freeOverflowPage(page: Page): boolean {
  initializeHashPage(page, INVALID_BLOCK_NUMBER, INVALID_BLOCK_NUMBER, INVALID_BUCKET, HASH_UNUSED_PAGE);
  return true;
}

/** hash_xlog_squeeze_page, block 3: the page before the freed one, if it is not that of block 1. */
export function unlinkFromPrevious(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_SQUEEZE_BYTES);
  const { view, mainDataOffset } = record;
  if (view.getUint8(mainDataOffset + HASH_SQUEEZE_IS_PREVIOUS) !== 0)
    failRedo('the page before is that of block 1');
  return setLink(page, HASH_NEXT_BLOCK, view.getUint32(mainDataOffset + HASH_SQUEEZE_NEXT_BLOCK, true));
}

/** hash_xlog_squeeze_page, block 4: the page after the freed one. */
export function unlinkFromNext(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_SQUEEZE_BYTES);
  const previous = record.view.getUint32(record.mainDataOffset + HASH_SQUEEZE_PREVIOUS_BLOCK, true);
  return setLink(page, HASH_PREVIOUS_BLOCK, previous);
}

/** hash_xlog_delete, block 1. */
export function deleteTuples(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_DELETE_BYTES);
  requireSpecialSpace(page, HASH_OPAQUE);
  deleteLines(page, record, 1);
  const clearsMark = record.view.getUint8(record.mainDataOffset + HASH_DELETE_CLEAR_DEAD) !== 0;
  return clearsMark ? clearFlag(page, HASH_PAGE_HAS_DEAD_TUPLES) : true;
}

/** The number of deleted tuples that stand in the main data of VACUUM_ONE_PAGE, after checking that they are there. */
export function vacuumedTuples(record: DecodedRecord): number {
  requireRedo(record.mainDataLength >= HASH_VACUUM_BYTES, 'the main data are too short');
  const count = record.view.getUint16(record.mainDataOffset + HASH_VACUUM_TUPLES, true);
  requireMainData(record, HASH_VACUUM_BYTES + count * 2);
  return count;
}

/** hash_xlog_vacuum_one_page, block 0. */
export function vacuumPage(page: Page, record: DecodedRecord): boolean {
  const count = vacuumedTuples(record);
  if (count > 0) deleteIndexItems(page, record.view, record.mainDataOffset + HASH_VACUUM_BYTES, count);
  return clearFlag(page, HASH_PAGE_HAS_DEAD_TUPLES);
}
