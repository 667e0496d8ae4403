/** Replay of GiST records (access/gist/gistxlog.c). */
import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  GIST_DELETE_XID,
  GIST_DELETED,
  GIST_DELETED_LOWER,
  GIST_FLAGS,
  GIST_FOLLOW_RIGHT,
  GIST_HAS_GARBAGE,
  GIST_LEAF,
  GIST_NSN_HIGH,
  GIST_NSN_LOW,
  GIST_OPAQUE,
  GIST_RIGHT_LINK,
  GIST_ROOT_BLOCK,
  GIST_TUPLES_DELETED,
  initializeGistPage,
} from '../postgres/page/gist-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from '../postgres/page/index-tuple.ts';
import { INVALID_BLOCK_NUMBER } from '../postgres/page/item-pointer.ts';
import { lineCount, PAGE_LOWER, PAGE_SPECIAL, PAGE_UPPER, type Page } from '../postgres/page/page.ts';
import {
  GIST_DELETE_COUNT,
  GIST_DELETE_OFFSETS,
  GIST_PAGE_DELETE_BYTES,
  GIST_PAGE_DELETE_DOWNLINK,
  GIST_PAGE_DELETE_XID,
  GIST_PAGE_SPLIT_BYTES,
  GIST_PAGE_SPLIT_FIRST_BLOCK,
  GIST_PAGE_SPLIT_MARK_FOLLOW_RIGHT,
  GIST_PAGE_SPLIT_ORIGINAL_LEAF,
  GIST_PAGE_SPLIT_ORIGINAL_NSN,
  GIST_PAGE_SPLIT_ORIGINAL_RIGHT_LINK,
  GIST_PAGE_SPLIT_PAGE_COUNT,
  GIST_PAGE_UPDATE_BYTES,
  GIST_PAGE_UPDATE_DELETE_COUNT,
  GIST_PAGE_UPDATE_INSERT_COUNT,
  gistResourceManager,
  XLOG_GIST_ASSIGN_LSN,
  XLOG_GIST_DELETE,
  XLOG_GIST_PAGE_DELETE,
  XLOG_GIST_PAGE_REUSE,
  XLOG_GIST_PAGE_SPLIT,
  XLOG_GIST_PAGE_UPDATE,
} from '../postgres/rmgr/gist.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import {
  addIndexItem,
  checkPagePointers,
  deleteIndexItem,
  deleteIndexItems,
  reserveOverwrite,
} from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** gist_redo. See `redoGistRestored` for what it also does to pages that were restored from an image. */
export function redoGist(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_GIST_PAGE_UPDATE:
      if (blockId === 0) return updatePage(page, record);
      if (blockId === 1) return clearFollowRight(page, record, blockId);
      break;
    case XLOG_GIST_DELETE:
      if (blockId === 0) return deleteTuples(page, record);
      break;
    case XLOG_GIST_PAGE_SPLIT:
      if (blockId === 0) return clearFollowRight(page, record, blockId);
      return fillSplitPage(page, record, blockId);
    case XLOG_GIST_PAGE_DELETE:
      if (blockId === 0) return markDeleted(page, record);
      if (blockId === 1) return deleteDownlink(page, record);
      break;
    // These only matter to queries on a standby, or take up an LSN.
    case XLOG_GIST_PAGE_REUSE:
    case XLOG_GIST_ASSIGN_LSN:
      return false;
    default:
      throw new UnknownRecordError(gistResourceManager.name, record.info, record.startLsn);
  }
  return failRedo('this kind of GiST record has no such block reference');
}

/**
 * What gist_redo does to a page that was restored from the record's image (BLK_RESTORED): the left half of a
 * completed split gets its NSN and loses its follow-right flag after the image was taken, since the NSN is the
 * record's own LSN. All other blocks are complete with their image.
 *
 * Returns true if the page was changed. The page's LSN is the record's end either way.
 */
export function redoGistRestored(page: Page, record: DecodedRecord, blockId: number): boolean {
  const info = record.info & ~RECORD_INFO_MASK;
  const isLeftHalf =
    (info === XLOG_GIST_PAGE_UPDATE && blockId === 1) || (info === XLOG_GIST_PAGE_SPLIT && blockId === 0);
  return isLeftHalf && clearFollowRight(page, record, blockId);
}

function requireGistPage(page: Page): void {
  checkPagePointers(page);
  requireRedo(page.view.getUint16(PAGE_SPECIAL, true) === GIST_OPAQUE, 'the page is not a GiST page');
}

/** A page to be changed, which the record must not announce as initialised (XLogReadBufferForRedo). */
function requireOldGistPage(page: Page, record: DecodedRecord, blockId: number): void {
  requireRedo(!record.willInitialize(blockId), 'the record initialises a page that its kind only changes');
  requireGistPage(page);
}

function changeFlags(page: Page, cleared: number, set: number): void {
  page.view.setUint16(GIST_FLAGS, (page.view.getUint16(GIST_FLAGS, true) & ~cleared) | set, true);
}

/** gistRedoClearFollowRight. The NSN becomes the record's end, as the page's LSN does. */
function clearFollowRight(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireOldGistPage(page, record, blockId);
  page.view.setUint32(GIST_NSN_HIGH, record.endLsnHigh, true);
  page.view.setUint32(GIST_NSN_LOW, record.endLsnLow, true);
  changeFlags(page, GIST_FOLLOW_RIGHT, 0);
  return true;
}

/** Size of the index tuple at `position` of the record, which must end at or before `end`. */
function checkedTupleSize(record: DecodedRecord, position: number, end: number): number {
  requireRedo(end - position >= INDEX_TUPLE_HEADER_BYTES, 'an index tuple is cut off');
  const size = indexTupleSize(record.view, position);
  requireRedo(
    size >= INDEX_TUPLE_HEADER_BYTES && size <= end - position,
    'an index tuple has an impossible size',
  );
  return size;
}

/** Appends the index tuples that fill the record from `position` to `end`, and must be `count`. */
function appendTuples(page: Page, record: DecodedRecord, start: number, end: number, count: number): void {
  let position = start;
  let offsetNumber = lineCount(page) + 1;
  let added = 0;
  while (position < end) {
    requireRedo(added < count, 'the record has more index tuples than it announces');
    const size = checkedTupleSize(record, position, end);
    addIndexItem(page, offsetNumber, record.bytes, record.view, position, size);
    position += size;
    offsetNumber++;
    added++;
  }
  requireRedo(added === count, 'the record has fewer index tuples than it announces');
}

/** gistRedoPageUpdateRecord: the page itself. */
function updatePage(page: Page, record: DecodedRecord): boolean {
  requireRedo(record.mainDataLength === GIST_PAGE_UPDATE_BYTES, 'the main data has a wrong length');
  requireOldGistPage(page, record, 0);
  const { view } = record;
  const deleteCount = view.getUint16(record.mainDataOffset + GIST_PAGE_UPDATE_DELETE_COUNT, true);
  const insertCount = view.getUint16(record.mainDataOffset + GIST_PAGE_UPDATE_INSERT_COUNT, true);
  let position = record.blockDataOffset[0] as number;
  const end = position + (record.blockDataLength[0] as number);
  requireRedo(deleteCount * 2 <= end - position, 'the offset numbers are cut off');
  if (deleteCount === 1 && insertCount === 1) {
    const offsetNumber = view.getUint16(position, true);
    const size = checkedTupleSize(record, position + 2, end);
    requireRedo(position + 2 + size === end, 'the record has bytes after its index tuple');
    const target = reserveOverwrite(page, offsetNumber, size);
    copyBytes(page.bytes, page.view, target, record.bytes, view, position + 2, size);
    return true;
  }
  if (deleteCount > 0) {
    deleteIndexItems(page, view, position, deleteCount);
    position += deleteCount * 2;
    if ((page.view.getUint16(GIST_FLAGS, true) & GIST_LEAF) !== 0) changeFlags(page, 0, GIST_TUPLES_DELETED);
  }
  appendTuples(page, record, position, end, insertCount);
  return true;
}

/**
 * gistRedoDeleteRecord. Replay sets the flag "tuples deleted" although gistprunepage, which writes the record,
 * does not.
 */
function deleteTuples(page: Page, record: DecodedRecord): boolean {
  const main = record.mainDataOffset;
  requireRedo(record.mainDataLength >= GIST_DELETE_OFFSETS, 'the main data is cut off');
  const count = record.view.getUint16(main + GIST_DELETE_COUNT, true);
  requireRedo(record.mainDataLength === GIST_DELETE_OFFSETS + count * 2, 'the main data has a wrong length');
  requireOldGistPage(page, record, 0);
  deleteIndexItems(page, record.view, main + GIST_DELETE_OFFSETS, count);
  changeFlags(page, GIST_HAS_GARBAGE, GIST_TUPLES_DELETED);
  return true;
}

/** gistRedoPageSplitRecord: one of the pages that the old one is split into, from block 1 on. */
function fillSplitPage(page: Page, record: DecodedRecord, blockId: number): boolean {
  const main = record.mainDataOffset;
  requireRedo(record.mainDataLength === GIST_PAGE_SPLIT_BYTES, 'the main data has a wrong length');
  const { view } = record;
  const pageCount = view.getUint16(main + GIST_PAGE_SPLIT_PAGE_COUNT, true);
  // The pages are the blocks 1 to pageCount.
  requireRedo(blockId <= pageCount, 'the block reference is beyond the pages of the split');
  requireRedo(record.willInitialize(blockId), 'the record does not initialise a page of the split');
  requireRedo(record.hasBlock(GIST_PAGE_SPLIT_FIRST_BLOCK), 'the first page of the split is missing');
  const isRootSplit = record.blockNumber[GIST_PAGE_SPLIT_FIRST_BLOCK] === GIST_ROOT_BLOCK;
  const isRoot = record.blockNumber[blockId] === GIST_ROOT_BLOCK;
  requireRedo(
    !isRoot || blockId === GIST_PAGE_SPLIT_FIRST_BLOCK,
    'the root is not the first page of the split',
  );
  const isLast = blockId === pageCount;
  let rightLink = INVALID_BLOCK_NUMBER;
  if (!isRoot && isLast) {
    rightLink = view.getUint32(main + GIST_PAGE_SPLIT_ORIGINAL_RIGHT_LINK, true);
  } else if (!isRoot) {
    requireRedo(record.hasBlock(blockId + 1), 'the next page of the split is missing');
    rightLink = record.blockNumber[blockId + 1] as number;
  }
  const start = record.blockDataOffset[blockId] as number;
  const end = start + (record.blockDataLength[blockId] as number);
  requireRedo(end - start >= 4, 'the number of index tuples is cut off');
  const isLeaf = view.getUint8(main + GIST_PAGE_SPLIT_ORIGINAL_LEAF) !== 0 && !isRoot;
  initializeGistPage(page, isLeaf ? GIST_LEAF : 0);
  appendTuples(page, record, start + 4, end, view.getInt32(start, true));
  page.view.setUint32(GIST_RIGHT_LINK, rightLink, true);
  page.view.setUint32(GIST_NSN_LOW, view.getUint32(main + GIST_PAGE_SPLIT_ORIGINAL_NSN, true), true);
  page.view.setUint32(GIST_NSN_HIGH, view.getUint32(main + GIST_PAGE_SPLIT_ORIGINAL_NSN + 4, true), true);
  const markFollowRight = view.getUint8(main + GIST_PAGE_SPLIT_MARK_FOLLOW_RIGHT) !== 0;
  if (markFollowRight && !isLast && !isRootSplit) changeFlags(page, 0, GIST_FOLLOW_RIGHT);
  return true;
}

/** gistRedoPageDelete: the leaf, which is empty; its deleteXid takes the place of line pointers. */
function markDeleted(page: Page, record: DecodedRecord): boolean {
  requireRedo(record.mainDataLength === GIST_PAGE_DELETE_BYTES, 'the main data has a wrong length');
  requireOldGistPage(page, record, 0);
  requireRedo(
    lineCount(page) === 0 && page.view.getUint16(PAGE_UPPER, true) >= GIST_DELETED_LOWER,
    'the page to be deleted is not empty',
  );
  const xid = record.mainDataOffset + GIST_PAGE_DELETE_XID;
  changeFlags(page, 0, GIST_DELETED);
  page.view.setUint16(PAGE_LOWER, GIST_DELETED_LOWER, true);
  page.view.setUint32(GIST_DELETE_XID, record.view.getUint32(xid, true), true);
  page.view.setUint32(GIST_DELETE_XID + 4, record.view.getUint32(xid + 4, true), true);
  return true;
}

/** gistRedoPageDelete: the parent, which loses its downlink to the leaf. */
function deleteDownlink(page: Page, record: DecodedRecord): boolean {
  requireRedo(record.mainDataLength === GIST_PAGE_DELETE_BYTES, 'the main data has a wrong length');
  requireOldGistPage(page, record, 1);
  deleteIndexItem(page, record.view.getUint16(record.mainDataOffset + GIST_PAGE_DELETE_DOWNLINK, true));
  return true;
}
