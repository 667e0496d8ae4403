/** Replay of btree records (access/nbtree/nbtxlog.c). */
import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  BTREE_FLAGS,
  BTREE_INCOMPLETE_SPLIT,
  BTREE_NEXT,
  BTREE_NO_BLOCK,
  BTREE_OPAQUE,
  BTREE_PREVIOUS,
} from '../postgres/page/btree-page.ts';
import type { Page } from '../postgres/page/page.ts';
import { btreeResourceManager } from '../postgres/rmgr/btree.ts';
import {
  BTREE_HALFDEAD_BYTES,
  BTREE_HALFDEAD_PARENT_OFFSET,
  BTREE_INSERT_BYTES,
  BTREE_INSERT_OFFSET_NUMBER,
  BTREE_NEWROOT_BYTES,
  BTREE_NEWROOT_LEVEL,
  BTREE_SPLIT_BYTES,
  BTREE_SPLIT_LEVEL,
  BTREE_UNLINK_BYTES,
  BTREE_UNLINK_LEFT_SIBLING,
  BTREE_UNLINK_LEVEL,
  BTREE_UNLINK_RIGHT_SIBLING,
  XLOG_BTREE_DEDUP,
  XLOG_BTREE_DELETE,
  XLOG_BTREE_INSERT_LEAF,
  XLOG_BTREE_INSERT_META,
  XLOG_BTREE_INSERT_POST,
  XLOG_BTREE_INSERT_UPPER,
  XLOG_BTREE_MARK_PAGE_HALFDEAD,
  XLOG_BTREE_META_CLEANUP,
  XLOG_BTREE_NEWROOT,
  XLOG_BTREE_REUSE_PAGE,
  XLOG_BTREE_SPLIT_L,
  XLOG_BTREE_SPLIT_R,
  XLOG_BTREE_UNLINK_PAGE,
  XLOG_BTREE_UNLINK_PAGE_META,
  XLOG_BTREE_VACUUM,
} from '../postgres/rmgr/btree-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { deduplicatePage } from './btree-dedup.ts';
import { deleteFromLeaf, vacuumLeaf } from './btree-delete.ts';
import {
  makeDeletedPage,
  makeRightPage,
  makeRoot,
  markLeafHalfDead,
  relinkHalfDeadLeaf,
  restoreMetaPage,
} from './btree-page-init.ts';
import { swapPosting } from './btree-posting.ts';
import { splitLeftPage } from './btree-split.ts';
import {
  addRecordTuple,
  getIndexTupleOffset,
  recordTupleBytes,
  requireMainData,
  requireSpecialSpace,
} from './index-tuples.ts';
import { deleteIndexItem, reserveItem } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** btree_redo. PostgreSQL does nothing more to pages that were restored from an image. */
export function redoBtree(page: Page, record: DecodedRecord, blockId: number): boolean {
  const info = record.info & ~RECORD_INFO_MASK;
  switch (info) {
    case XLOG_BTREE_INSERT_LEAF:
      if (blockId === 0) return insertTuple(page, record);
      break;
    case XLOG_BTREE_INSERT_UPPER:
    case XLOG_BTREE_INSERT_META:
      if (blockId === 0) return insertTuple(page, record);
      if (blockId === 1) return clearIncompleteSplit(page);
      if (blockId === 2 && info === XLOG_BTREE_INSERT_META) return restoreMetaPage(page, record, blockId);
      break;
    case XLOG_BTREE_INSERT_POST:
      if (blockId === 0) return insertIntoPosting(page, record);
      break;
    case XLOG_BTREE_SPLIT_L:
    case XLOG_BTREE_SPLIT_R:
      return redoSplit(page, record, blockId, info === XLOG_BTREE_SPLIT_L);
    case XLOG_BTREE_DEDUP:
      if (blockId === 0) return deduplicatePage(page, record);
      break;
    case XLOG_BTREE_VACUUM:
      if (blockId === 0) return vacuumLeaf(page, record);
      break;
    case XLOG_BTREE_DELETE:
      if (blockId === 0) return deleteFromLeaf(page, record);
      break;
    case XLOG_BTREE_MARK_PAGE_HALFDEAD:
      if (blockId === 0) return markLeafHalfDead(page, record);
      if (blockId === 1) return deleteDownlink(page, record);
      break;
    case XLOG_BTREE_UNLINK_PAGE:
    case XLOG_BTREE_UNLINK_PAGE_META:
      return redoUnlink(page, record, blockId, info === XLOG_BTREE_UNLINK_PAGE_META);
    case XLOG_BTREE_NEWROOT:
      return redoNewroot(page, record, blockId);
    case XLOG_BTREE_META_CLEANUP:
      if (blockId === 0) return restoreMetaPage(page, record, blockId);
      break;
    // It only matters to queries on a standby.
    case XLOG_BTREE_REUSE_PAGE:
      return false;
    default:
      throw new UnknownRecordError(btreeResourceManager.name, record.info, record.startLsn);
  }
  return failNoBlock();
}

function failNoBlock(): never {
  failRedo('this kind of btree record has no such block reference');
}

/** btree_xlog_insert, block 0, without a posting list split. */
function insertTuple(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_INSERT_BYTES);
  const offsetNumber = record.view.getUint16(record.mainDataOffset + BTREE_INSERT_OFFSET_NUMBER, true);
  addRecordTuple(page, record, 0, offsetNumber);
  return true;
}

/**
 * btree_xlog_insert, block 0, with a posting list split: the new tuple's TID goes into the posting list before it,
 * and what is added is the new tuple with the last TID of that list. The block data are the position in the list
 * and the tuple as it was before.
 */
function insertIntoPosting(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_INSERT_BYTES);
  const { view } = record;
  const offsetNumber = view.getUint16(record.mainDataOffset + BTREE_INSERT_OFFSET_NUMBER, true);
  const data = record.blockDataOffset[0] as number;
  const length = (record.blockDataLength[0] as number) - 2;
  requireRedo(
    length > 0 && recordTupleBytes(view, data + 2, length) === length,
    'the data are not one index tuple',
  );
  const posting = getIndexTupleOffset(page, offsetNumber - 1);
  const target = reserveItem(page, offsetNumber, length, false, false);
  copyBytes(page.bytes, page.view, target, record.bytes, view, data + 2, length);
  swapPosting(page, posting, view.getUint16(data, true), view, data + 2, page.view, target);
  return true;
}

/** _bt_clear_incomplete_split: the parent has its downlink now. */
function clearIncompleteSplit(page: Page): boolean {
  requireSpecialSpace(page, BTREE_OPAQUE);
  page.view.setUint16(BTREE_FLAGS, page.view.getUint16(BTREE_FLAGS, true) & ~BTREE_INCOMPLETE_SPLIT, true);
  return true;
}

function setSibling(page: Page, field: number, blockNumber: number): boolean {
  requireSpecialSpace(page, BTREE_OPAQUE);
  page.view.setUint32(field, blockNumber, true);
  return true;
}

function redoSplit(page: Page, record: DecodedRecord, blockId: number, newItemOnLeft: boolean): boolean {
  switch (blockId) {
    case 0:
      return splitLeftPage(page, record, newItemOnLeft);
    case 1:
      return makeRightPage(page, record);
    case 2:
      requireRedo(record.hasBlock(1), 'a split without its right page');
      return setSibling(page, BTREE_PREVIOUS, record.blockNumber[1] as number);
    case 3:
      requireMainData(record, BTREE_SPLIT_BYTES);
      if (record.view.getUint32(record.mainDataOffset + BTREE_SPLIT_LEVEL, true) === 0) break;
      return clearIncompleteSplit(page);
    default:
  }
  return failNoBlock();
}

/**
 * btree_xlog_mark_page_halfdead, block 1: the downlink to the subtree that goes is overwritten with the next one,
 * whose own tuple is deleted, so that the key space moves to the right.
 */
function deleteDownlink(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_HALFDEAD_BYTES);
  const { view } = page;
  const line = record.view.getUint16(record.mainDataOffset + BTREE_HALFDEAD_PARENT_OFFSET, true);
  const next = getIndexTupleOffset(page, line + 1);
  const tuple = getIndexTupleOffset(page, line);
  // BTreeTupleSetDownLink: the block number, without the offset number that counts key columns.
  view.setUint32(tuple, view.getUint32(next, true), true);
  deleteIndexItem(page, line + 1);
  return true;
}

/** btree_xlog_unlink_page. */
function redoUnlink(page: Page, record: DecodedRecord, blockId: number, hasMeta: boolean): boolean {
  requireMainData(record, BTREE_UNLINK_BYTES);
  const { view, mainDataOffset } = record;
  const left = view.getUint32(mainDataOffset + BTREE_UNLINK_LEFT_SIBLING, true);
  const right = view.getUint32(mainDataOffset + BTREE_UNLINK_RIGHT_SIBLING, true);
  switch (blockId) {
    case 0:
      return makeDeletedPage(page, record);
    case 1:
      if (left === BTREE_NO_BLOCK) break;
      return setSibling(page, BTREE_NEXT, right);
    case 2:
      return setSibling(page, BTREE_PREVIOUS, left);
    case 3:
      if (view.getUint32(mainDataOffset + BTREE_UNLINK_LEVEL, true) === 0) break;
      return relinkHalfDeadLeaf(page, record);
    case 4:
      if (!hasMeta) break;
      return restoreMetaPage(page, record, blockId);
    default:
  }
  return failNoBlock();
}

function redoNewroot(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireMainData(record, BTREE_NEWROOT_BYTES);
  if (blockId === 0) return makeRoot(page, record);
  if (blockId === 2) return restoreMetaPage(page, record, blockId);
  const level = record.view.getUint32(record.mainDataOffset + BTREE_NEWROOT_LEVEL, true);
  if (blockId === 1 && level > 0) return clearIncompleteSplit(page);
  return failNoBlock();
}
