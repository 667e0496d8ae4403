/** Replay of the resource manager Heap (access/heap/heapam.c, heap_redo). */

import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  HEAP_HOT_UPDATED,
  INVALID_TRANSACTION_ID,
  isXmaxLockedOnly,
  MOVED_PARTITIONS_OFFSET_NUMBER,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_HOFF,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
  TUPLE_XMIN,
} from '../postgres/page/heap-tuple.ts';
import { INVALID_BLOCK_NUMBER, setItemPointer } from '../postgres/page/item-pointer.ts';
import { initializePage, lineItemLength, type Page } from '../postgres/page/page.ts';
import { VISIBILITYMAP_ALL_FROZEN, VISIBILITYMAP_VALID_BITS } from '../postgres/page/visibility-map.ts';
import {
  HEAP_BLKREF_HEAP,
  HEAP_BLKREF_VM,
  HEAP_CONFIRM_BYTES,
  HEAP_DELETE_BYTES,
  HEAP_DELETE_FLAGS,
  HEAP_DELETE_INFOBITS,
  HEAP_DELETE_OFFSET_NUMBER,
  HEAP_DELETE_XMAX,
  HEAP_INPLACE_BYTES,
  HEAP_INSERT_BYTES,
  HEAP_INSERT_FLAGS,
  HEAP_INSERT_OFFSET_NUMBER,
  HEAP_LOCK_BYTES,
  HEAP_LOCK_FLAGS,
  HEAP_LOCK_INFOBITS,
  HEAP_LOCK_OFFSET_NUMBER,
  HEAP_LOCK_XMAX,
  XLH_DELETE_ALL_VISIBLE_CLEARED,
  XLH_DELETE_CONTAINS_OLD,
  XLH_DELETE_IS_PARTITION_MOVE,
  XLH_DELETE_IS_SUPER,
  XLH_INSERT_ALL_VISIBLE_CLEARED,
  XLH_LOCK_ALL_FROZEN_CLEARED,
  XLOG_HEAP_CONFIRM,
  XLOG_HEAP_DELETE,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_INPLACE,
  XLOG_HEAP_INSERT,
  XLOG_HEAP_LOCK,
  XLOG_HEAP_TRUNCATE,
  XLOG_HEAP_UPDATE,
} from '../postgres/rmgr/heap-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import {
  addTuple,
  changeInfomasks,
  checkInitialization,
  clearAllVisible,
  getTuple,
  requireMainData,
  requireMainDataWithOldTuple,
  resetCommandId,
  setPrunable,
} from './heap-tuples.ts';
import { redoUpdate } from './heap-update.ts';
import { getLinePointer } from './page-items.ts';
import { failRedo } from './redo-failure.ts';
import type { RedoFunction } from './redo-types.ts';
import { redoMapBlock } from './visibility.ts';

function refuseBlock(blockId: number): never {
  failRedo(`this kind of heap record has no block reference ${blockId}`);
}

/** heap_xlog_insert. */
function redoInsert(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_INSERT_BYTES);
  const { view } = record;
  const main = record.mainDataOffset;
  const cleared = view.getUint8(main + HEAP_INSERT_FLAGS) & XLH_INSERT_ALL_VISIBLE_CLEARED;
  if (blockId === HEAP_BLKREF_VM) {
    return redoMapBlock(page, record, blockId, HEAP_BLKREF_HEAP, cleared, VISIBILITYMAP_VALID_BITS);
  }
  if (blockId !== HEAP_BLKREF_HEAP) refuseBlock(blockId);
  if ((record.info & XLOG_HEAP_INIT_PAGE) !== 0) initializePage(page, 0);
  const block = record.blockNumber[HEAP_BLKREF_HEAP] as number;
  const offsetNumber = view.getUint16(main + HEAP_INSERT_OFFSET_NUMBER, true);
  const data = record.blockDataOffset[HEAP_BLKREF_HEAP] as number;
  addTuple(page, record, block, offsetNumber, data, record.blockDataLength[HEAP_BLKREF_HEAP] as number);
  if (cleared !== 0) clearAllVisible(page);
  return true;
}

/** heap_xlog_delete. */
function redoDelete(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainDataWithOldTuple(record, HEAP_DELETE_BYTES, HEAP_DELETE_FLAGS, XLH_DELETE_CONTAINS_OLD);
  const { view } = page;
  const main = record.mainDataOffset;
  const flags = record.view.getUint8(main + HEAP_DELETE_FLAGS);
  const cleared = flags & XLH_DELETE_ALL_VISIBLE_CLEARED;
  if (blockId === HEAP_BLKREF_VM) {
    return redoMapBlock(page, record, blockId, HEAP_BLKREF_HEAP, cleared, VISIBILITYMAP_VALID_BITS);
  }
  if (blockId !== HEAP_BLKREF_HEAP) refuseBlock(blockId);
  const offsetNumber = record.view.getUint16(main + HEAP_DELETE_OFFSET_NUMBER, true);
  const tuple = getTuple(page, offsetNumber);
  changeInfomasks(view, tuple, record.view.getUint8(main + HEAP_DELETE_INFOBITS), HEAP_HOT_UPDATED);
  if ((flags & XLH_DELETE_IS_SUPER) !== 0) {
    // A speculative insertion that lost: as if it had never been there.
    view.setUint32(tuple + TUPLE_XMIN, INVALID_TRANSACTION_ID, true);
  } else {
    view.setUint32(tuple + TUPLE_XMAX, record.view.getUint32(main + HEAP_DELETE_XMAX, true), true);
  }
  resetCommandId(view, tuple);
  setPrunable(page, record.xid);
  if (cleared !== 0) clearAllVisible(page);
  if ((flags & XLH_DELETE_IS_PARTITION_MOVE) !== 0) {
    setItemPointer(view, tuple + TUPLE_CTID, INVALID_BLOCK_NUMBER, MOVED_PARTITIONS_OFFSET_NUMBER);
  } else {
    setItemPointer(view, tuple + TUPLE_CTID, record.blockNumber[HEAP_BLKREF_HEAP] as number, offsetNumber);
  }
  return true;
}

/** heap_xlog_lock. */
function redoLock(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_LOCK_BYTES);
  const { view } = page;
  const main = record.mainDataOffset;
  if (blockId === HEAP_BLKREF_VM) return redoLockMapBlock(page, record, blockId);
  if (blockId !== HEAP_BLKREF_HEAP) refuseBlock(blockId);
  const offsetNumber = record.view.getUint16(main + HEAP_LOCK_OFFSET_NUMBER, true);
  const tuple = getTuple(page, offsetNumber);
  const infomask = changeInfomasks(view, tuple, record.view.getUint8(main + HEAP_LOCK_INFOBITS), 0);
  if (isXmaxLockedOnly(infomask)) {
    const infomask2 = view.getUint16(tuple + TUPLE_INFOMASK2, true);
    view.setUint16(tuple + TUPLE_INFOMASK2, infomask2 & ~HEAP_HOT_UPDATED, true);
    setItemPointer(view, tuple + TUPLE_CTID, record.blockNumber[HEAP_BLKREF_HEAP] as number, offsetNumber);
  }
  view.setUint32(tuple + TUPLE_XMAX, record.view.getUint32(main + HEAP_LOCK_XMAX, true), true);
  resetCommandId(view, tuple);
  return true;
}

/** The map's page of LOCK and of LOCK_UPDATED. */
export function redoLockMapBlock(page: Page, record: DecodedRecord, blockId: number): boolean {
  const cleared = record.view.getUint8(record.mainDataOffset + HEAP_LOCK_FLAGS) & XLH_LOCK_ALL_FROZEN_CLEARED;
  return redoMapBlock(page, record, blockId, HEAP_BLKREF_HEAP, cleared, VISIBILITYMAP_ALL_FROZEN);
}

/** heap_xlog_confirm: the speculative token gives way to the tuple's own place. */
function redoConfirm(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_CONFIRM_BYTES);
  if (blockId !== HEAP_BLKREF_HEAP) refuseBlock(blockId);
  const offsetNumber = record.view.getUint16(record.mainDataOffset, true);
  const tuple = getTuple(page, offsetNumber);
  setItemPointer(page.view, tuple + TUPLE_CTID, record.blockNumber[HEAP_BLKREF_HEAP] as number, offsetNumber);
  return true;
}

/** heap_xlog_inplace: new data of the same length. */
function redoInplace(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_INPLACE_BYTES);
  if (blockId !== HEAP_BLKREF_HEAP) refuseBlock(blockId);
  const offsetNumber = record.view.getUint16(record.mainDataOffset, true);
  const tuple = getTuple(page, offsetNumber);
  const hoff = page.view.getUint8(tuple + TUPLE_HOFF);
  const oldLength = lineItemLength(getLinePointer(page, offsetNumber)) - hoff;
  const newLength = record.blockDataLength[HEAP_BLKREF_HEAP] as number;
  if (hoff < TUPLE_HEADER_BYTES || oldLength !== newLength) {
    failRedo(`the tuple's data has ${oldLength} bytes, not ${newLength}`);
  }
  const source = record.blockDataOffset[HEAP_BLKREF_HEAP] as number;
  copyBytes(page.bytes, page.view, tuple + hoff, record.bytes, record.view, source, newLength);
  return true;
}

export const redoHeap: RedoFunction = (page, record, blockId) => {
  switch (record.info & 0xf0) {
    case XLOG_HEAP_INSERT:
    case XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE:
      return redoInsert(page, record, blockId);
    case XLOG_HEAP_DELETE:
      return redoDelete(page, record, blockId);
    case XLOG_HEAP_UPDATE:
    case XLOG_HEAP_UPDATE | XLOG_HEAP_INIT_PAGE:
    case XLOG_HEAP_HOT_UPDATE:
    case XLOG_HEAP_HOT_UPDATE | XLOG_HEAP_INIT_PAGE:
      return redoUpdate(page, record, blockId);
    case XLOG_HEAP_LOCK:
      return redoLock(page, record, blockId);
    case XLOG_HEAP_INPLACE:
      return redoInplace(page, record, blockId);
    case XLOG_HEAP_CONFIRM:
      return redoConfirm(page, record, blockId);
    case XLOG_HEAP_TRUNCATE:
      // Only for logical decoding: the files themselves are the storage manager's records.
      return failRedo('a TRUNCATE record has no block references');
    default:
      throw new UnknownRecordError('Heap', record.info, record.startLsn);
  }
};
