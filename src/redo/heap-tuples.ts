/** What the replay of several kinds of heap records does to tuples and their page (access/heap/heapam.c). */
import { copyBytes } from '../base/bytes.ts';
import {
  FIRST_COMMAND_ID,
  HEAP_COMBOCID,
  HEAP_KEYS_UPDATED,
  HEAP_MOVED,
  HEAP_XMAX_BITS,
  INVALID_TRANSACTION_ID,
  TUPLE_BYTES_MAX,
  TUPLE_CID,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_INFOMASK,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
  TUPLE_XMIN,
  transactionIdPrecedes,
} from '../postgres/page/heap-tuple.ts';
import { ITEM_POINTER_OFFSET_NUMBER } from '../postgres/page/item-pointer.ts';
import { PAGE_ALL_VISIBLE, PAGE_FLAGS, PAGE_PRUNE_XID, type Page } from '../postgres/page/page.ts';
import { HEAP_BLKREF_HEAP, HEAP_HEADER_BYTES, XLOG_HEAP_INIT_PAGE } from '../postgres/rmgr/heap-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { BLOCK_WILL_INIT } from '../postgres/wal/record-header.ts';
import { getItemOffset, reserveItem } from './page-items.ts';
import { failRedo } from './redo-failure.ts';

/** Refuses a record whose main data is not just its fixed part of `length` bytes. */
export function requireMainData(record: DecodedRecord, length: number): void {
  if (record.mainDataLength !== length) {
    failRedo(`the main data has ${record.mainDataLength} bytes, not ${length}`);
  }
}

/** The same for a record whose flags, at `flagsOffset`, may say (`oldFlags`) that an old tuple follows. */
export function requireMainDataWithOldTuple(
  record: DecodedRecord,
  length: number,
  flagsOffset: number,
  oldFlags: number,
): void {
  if (record.mainDataLength === length) {
    if ((record.view.getUint8(record.mainDataOffset + flagsOffset) & oldFlags) === 0) return;
  } else if (record.mainDataLength >= length + HEAP_HEADER_BYTES) {
    if ((record.view.getUint8(record.mainDataOffset + flagsOffset) & oldFlags) !== 0) return;
  }
  failRedo(`the main data has ${record.mainDataLength} bytes, which does not fit the flags`);
}

/**
 * Refuses a record that does not agree with its block header on whether the page is made anew. Only the page that
 * takes new tuples (block 0) ever is.
 */
export function checkInitialization(record: DecodedRecord, blockId: number): void {
  const announced = ((record.blockFlags[blockId] as number) & BLOCK_WILL_INIT) !== 0;
  const wanted = blockId === HEAP_BLKREF_HEAP && (record.info & XLOG_HEAP_INIT_PAGE) !== 0;
  if (announced !== wanted)
    failRedo('record and block reference contradict each other on making the page anew');
}

/** Offset on the page of the tuple in a line, which must be in normal use. */
export function getTuple(page: Page, offsetNumber: number): number {
  return getItemOffset(page, offsetNumber, TUPLE_HEADER_BYTES);
}

/**
 * Makes room for a tuple of `length` bytes in line `offsetNumber`, and fills all of its header in but for the three
 * fields that WAL has (TUPLE_INFOMASK2 and on). Returns the tuple's offset.
 */
export function reserveTuple(
  page: Page,
  blockNumber: number,
  offsetNumber: number,
  length: number,
  xmin: number,
  xmax: number,
): number {
  if (length < TUPLE_HEADER_BYTES || length > TUPLE_BYTES_MAX) failRedo(`${length} bytes are no tuple`);
  const { view } = page;
  const tuple = reserveItem(page, offsetNumber, length, true, true);
  view.setUint32(tuple + TUPLE_XMIN, xmin, true);
  view.setUint32(tuple + TUPLE_XMAX, xmax, true);
  view.setUint32(tuple + TUPLE_CID, FIRST_COMMAND_ID, true);
  // setItemPointer in two writes: the halves of the block number stand the other way round.
  view.setInt32(tuple + TUPLE_CTID, (blockNumber << 16) | (blockNumber >>> 16), true);
  view.setUint16(tuple + TUPLE_CTID + ITEM_POINTER_OFFSET_NUMBER, offsetNumber, true);
  return tuple;
}

/** HeapTupleHeaderSetCmin and …SetCmax also say that the command id is a plain one. */
export function clearComboCid(view: DataView, tuple: number): void {
  const infomask = view.getUint16(tuple + TUPLE_INFOMASK, true);
  if ((infomask & HEAP_COMBOCID) !== 0)
    view.setUint16(tuple + TUPLE_INFOMASK, infomask & ~HEAP_COMBOCID, true);
}

/**
 * Adds the tuple whose xl_heap_header stands at `offset` in the record, with `length` bytes from there to the end
 * of its data. The caller has checked that these lie within the block's data.
 */
export function addTuple(
  page: Page,
  record: DecodedRecord,
  blockNumber: number,
  offsetNumber: number,
  offset: number,
  length: number,
): void {
  if (length < HEAP_HEADER_BYTES) failRedo(`${length} bytes are no tuple`);
  const tupleLength = TUPLE_INFOMASK2 + length;
  const tuple = reserveTuple(
    page,
    blockNumber,
    offsetNumber,
    tupleLength,
    record.xid,
    INVALID_TRANSACTION_ID,
  );
  copyBytes(page.bytes, page.view, tuple + TUPLE_INFOMASK2, record.bytes, record.view, offset, length);
  clearComboCid(page.view, tuple);
}

/**
 * What changes in a tuple's masks when its xmax does: all that spoke of the old xmax goes, then
 * fix_infomask_from_infobits. `clearedFlags2` are further bits of infomask2 to be cleared. Returns the new infomask.
 */
export function changeInfomasks(
  view: DataView,
  tuple: number,
  infobits: number,
  clearedFlags2: number,
): number {
  const old = view.getUint16(tuple + TUPLE_INFOMASK, true);
  const old2 = view.getUint16(tuple + TUPLE_INFOMASK2, true);
  // XLHL_XMAX_IS_MULTI, …_LOCK_ONLY, …_EXCL_LOCK and …_KEYSHR_LOCK, moved to where infomask has them.
  const xmaxBits =
    ((infobits & 1) << 12) | ((infobits & 2) << 6) | ((infobits & 4) << 4) | ((infobits & 8) << 1);
  // XLHL_KEYS_UPDATED likewise.
  const keysUpdated = (infobits & 0x10) << 9;
  const infomask = (old & ~(HEAP_XMAX_BITS | HEAP_MOVED)) | xmaxBits;
  view.setUint16(tuple + TUPLE_INFOMASK, infomask, true);
  view.setUint16(tuple + TUPLE_INFOMASK2, (old2 & ~(HEAP_KEYS_UPDATED | clearedFlags2)) | keysUpdated, true);
  return infomask;
}

/** HeapTupleHeaderSetCmax with the first command id. */
export function resetCommandId(view: DataView, tuple: number): void {
  view.setUint32(tuple + TUPLE_CID, FIRST_COMMAND_ID, true);
  clearComboCid(view, tuple);
}

/** PageSetPrunable: the page may be pruned once `xid` is over. The oldest one counts. */
export function setPrunable(page: Page, xid: number): void {
  const current = page.view.getUint32(PAGE_PRUNE_XID, true);
  if (current === INVALID_TRANSACTION_ID || transactionIdPrecedes(xid, current)) {
    page.view.setUint32(PAGE_PRUNE_XID, xid, true);
  }
}

export function clearAllVisible(page: Page): void {
  page.view.setUint16(PAGE_FLAGS, page.view.getUint16(PAGE_FLAGS, true) & ~PAGE_ALL_VISIBLE, true);
}

export function setAllVisible(page: Page): void {
  page.view.setUint16(PAGE_FLAGS, page.view.getUint16(PAGE_FLAGS, true) | PAGE_ALL_VISIBLE, true);
}
