/** Replay of hash index records (access/hash/hash_xlog.c). */
import { UnknownRecordError } from '../base/errors.ts';
import type { Page } from '../postgres/page/page.ts';
import { hashResourceManager } from '../postgres/rmgr/hash.ts';
import {
  HASH_ADD_OVERFLOW_BITMAP_BYTES,
  HASH_ADD_OVERFLOW_BYTES,
  HASH_INIT_BITMAP_BITMAP_BYTES,
  HASH_INIT_BITMAP_BYTES,
  XLOG_HASH_ADD_OVFL_PAGE,
  XLOG_HASH_DELETE,
  XLOG_HASH_INIT_BITMAP_PAGE,
  XLOG_HASH_INIT_META_PAGE,
  XLOG_HASH_INSERT,
  XLOG_HASH_MOVE_PAGE_CONTENTS,
  XLOG_HASH_SPLIT_ALLOCATE_PAGE,
  XLOG_HASH_SPLIT_CLEANUP,
  XLOG_HASH_SPLIT_COMPLETE,
  XLOG_HASH_SPLIT_PAGE,
  XLOG_HASH_SQUEEZE_PAGE,
  XLOG_HASH_UPDATE_META_PAGE,
  XLOG_HASH_VACUUM_ONE_PAGE,
} from '../postgres/rmgr/hash-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import {
  beginSplit,
  deleteTuples,
  endSplit,
  endSplitCleanup,
  freeOverflowPage,
  insertTuple,
  linkOverflowPage,
  makeBucket,
  makeOverflowPage,
  receiveFreedTuples,
  receiveTuples,
  removeMovedTuples,
  unlinkFromNext,
  unlinkFromPrevious,
  vacuumedTuples,
  vacuumPage,
} from './hash-bucket.ts';
import {
  addBucketToMeta,
  addFirstBitmap,
  addOverflowToMeta,
  changeBitmap,
  changeTupleCount,
  initializeBitmapPage,
  initializeMetaPage,
  setFirstFree,
  setTupleCount,
} from './hash-meta.ts';
import { requireMainData } from './index-tuples.ts';
import { failRedo } from './redo-failure.ts';

/**
 * hash_redo. PostgreSQL also writes the flags of SPLIT_ALLOCATE_PAGE (block 0) and SPLIT_COMPLETE (both blocks) into
 * pages that were restored from an image; images are taken with those flags set, so that this changes nothing.
 */
export function redoHash(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_HASH_INSERT:
      if (blockId === 0) return insertTuple(page, record);
      if (blockId === 1) return changeTupleCount(page, 1);
      break;
    case XLOG_HASH_INIT_META_PAGE:
      if (blockId === 0) return initializeMetaPage(page, record);
      break;
    case XLOG_HASH_INIT_BITMAP_PAGE:
      return redoInitBitmapPage(page, record, blockId);
    case XLOG_HASH_ADD_OVFL_PAGE:
      return redoAddOverflowPage(page, record, blockId);
    case XLOG_HASH_SPLIT_ALLOCATE_PAGE:
      return redoSplitAllocatePage(page, record, blockId);
    case XLOG_HASH_SPLIT_PAGE:
      if (blockId === 0) failRedo('the record has no full-page image, which is all that it is for');
      break;
    case XLOG_HASH_SPLIT_COMPLETE:
      if (blockId === 0 || blockId === 1) return endSplit(page, record, blockId);
      break;
    case XLOG_HASH_MOVE_PAGE_CONTENTS:
      return redoMovePageContents(page, record, blockId);
    case XLOG_HASH_SQUEEZE_PAGE:
      return redoSqueezePage(page, record, blockId);
    case XLOG_HASH_DELETE:
      // Block 0 is the bucket's first page, which is only there to be locked.
      if (blockId === 0) return false;
      if (blockId === 1) return deleteTuples(page, record);
      break;
    case XLOG_HASH_SPLIT_CLEANUP:
      if (blockId === 0) return endSplitCleanup(page);
      break;
    case XLOG_HASH_UPDATE_META_PAGE:
      if (blockId === 0) return setTupleCount(page, record);
      break;
    case XLOG_HASH_VACUUM_ONE_PAGE:
      if (blockId === 0) return vacuumPage(page, record);
      if (blockId === 1) return changeTupleCount(page, -vacuumedTuples(record));
      break;
    default:
      throw new UnknownRecordError(hashResourceManager.name, record.info, record.startLsn);
  }
  return failNoBlock();
}

function failNoBlock(): never {
  failRedo('this kind of hash index record has no such block reference');
}

/** hash_xlog_init_bitmap_page. */
function redoInitBitmapPage(page: Page, record: DecodedRecord, blockId: number): boolean {
  if (blockId === 1) return addFirstBitmap(page);
  if (blockId !== 0) return failNoBlock();
  requireMainData(record, HASH_INIT_BITMAP_BYTES);
  const bitmapBytes = record.view.getUint16(record.mainDataOffset + HASH_INIT_BITMAP_BITMAP_BYTES, true);
  return initializeBitmapPage(page, record, 0, bitmapBytes);
}

function makeBitmapPage(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_ADD_OVERFLOW_BYTES);
  const bitmapBytes = record.view.getUint16(record.mainDataOffset + HASH_ADD_OVERFLOW_BITMAP_BYTES, true);
  return initializeBitmapPage(page, record, 3, bitmapBytes);
}

/** hash_xlog_split_allocate_page. */
function redoSplitAllocatePage(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (blockId) {
    case 0:
      return beginSplit(page, record);
    case 1:
      return makeBucket(page, record);
    case 2:
      return addBucketToMeta(page, record);
    default:
      return failNoBlock();
  }
}

/** hash_xlog_move_page_contents. */
function redoMovePageContents(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (blockId) {
    // The bucket's first page is only there to be locked.
    case 0:
      return false;
    case 1:
      return receiveTuples(page, record);
    case 2:
      return removeMovedTuples(page, record);
    default:
      return failNoBlock();
  }
}

/** hash_xlog_add_ovfl_page. */
function redoAddOverflowPage(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (blockId) {
    case 0:
      return makeOverflowPage(page, record);
    case 1:
      return linkOverflowPage(page, record);
    case 2:
      return changeBitmap(page, record, blockId, true);
    case 3:
      return makeBitmapPage(page, record);
    case 4:
      return addOverflowToMeta(page, record);
    default:
      return failNoBlock();
  }
}

/** hash_xlog_squeeze_page. */
function redoSqueezePage(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (blockId) {
    // The bucket's first page is only there to be locked.
    case 0:
      return false;
    case 1:
      return receiveFreedTuples(page, record);
    case 2:
      return freeOverflowPage(page);
    case 3:
      return unlinkFromPrevious(page, record);
    case 4:
      return unlinkFromNext(page, record);
    case 5:
      return changeBitmap(page, record, blockId, false);
    case 6:
      return setFirstFree(page, record, blockId);
    default:
      return failNoBlock();
  }
}
