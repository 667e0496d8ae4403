/** Replay of UPDATE and HOT_UPDATE (heapam.c, heap_xlog_update). */
import { copyBytes } from '../base/bytes.ts';
import {
  HEAP_HOT_UPDATED,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_HOFF,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
} from '../postgres/page/heap-tuple.ts';
import { setItemPointer } from '../postgres/page/item-pointer.ts';
import { initializePage, lineItemLength, type Page } from '../postgres/page/page.ts';
import { VISIBILITYMAP_VALID_BITS, visibilityMapBlock } from '../postgres/page/visibility-map.ts';
import {
  HEAP_HEADER_BYTES,
  HEAP_HEADER_HOFF,
  HEAP_UPDATE_BLKREF_HEAP_NEW,
  HEAP_UPDATE_BLKREF_HEAP_OLD,
  HEAP_UPDATE_BLKREF_VM_NEW,
  HEAP_UPDATE_BLKREF_VM_OLD,
  HEAP_UPDATE_BYTES,
  HEAP_UPDATE_FLAGS,
  HEAP_UPDATE_NEW_OFFSET_NUMBER,
  HEAP_UPDATE_NEW_XMAX,
  HEAP_UPDATE_OLD_INFOBITS,
  HEAP_UPDATE_OLD_OFFSET_NUMBER,
  HEAP_UPDATE_OLD_XMAX,
  XLH_UPDATE_CONTAINS_OLD,
  XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED,
  XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED,
  XLH_UPDATE_PREFIX_FROM_OLD,
  XLH_UPDATE_SUFFIX_FROM_OLD,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INIT_PAGE,
} from '../postgres/rmgr/heap-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import {
  changeInfomasks,
  checkInitialization,
  clearAllVisible,
  clearComboCid,
  getTuple,
  requireMainDataWithOldTuple,
  reserveTuple,
  resetCommandId,
  setPrunable,
} from './heap-tuples.ts';
import { getLinePointer } from './page-items.ts';
import { failRedo } from './redo-failure.ts';
import { redoMapBlock } from './visibility.ts';

/** Marks the old tuple as updated by the new one. */
function redoOldTuple(page: Page, record: DecodedRecord, isHot: boolean): void {
  const { view } = page;
  const main = record.mainDataOffset;
  const tuple = getTuple(page, record.view.getUint16(main + HEAP_UPDATE_OLD_OFFSET_NUMBER, true));
  changeInfomasks(view, tuple, record.view.getUint8(main + HEAP_UPDATE_OLD_INFOBITS), HEAP_HOT_UPDATED);
  if (isHot) {
    const infomask2 = view.getUint16(tuple + TUPLE_INFOMASK2, true);
    view.setUint16(tuple + TUPLE_INFOMASK2, infomask2 | HEAP_HOT_UPDATED, true);
  }
  view.setUint32(tuple + TUPLE_XMAX, record.view.getUint32(main + HEAP_UPDATE_OLD_XMAX, true), true);
  resetCommandId(view, tuple);
  const newBlock = record.blockNumber[HEAP_UPDATE_BLKREF_HEAP_NEW] as number;
  const newOffsetNumber = record.view.getUint16(main + HEAP_UPDATE_NEW_OFFSET_NUMBER, true);
  setItemPointer(view, tuple + TUPLE_CTID, newBlock, newOffsetNumber);
  setPrunable(page, record.xid);
  if ((record.view.getUint8(main + HEAP_UPDATE_FLAGS) & XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED) !== 0) {
    clearAllVisible(page);
  }
}

/** Puts the new tuple on its page. What it has in common with the old one is only left out on the same page. */
function redoNewTuple(page: Page, record: DecodedRecord, onePage: boolean): void {
  const source = record.view;
  const main = record.mainDataOffset;
  const flags = source.getUint8(main + HEAP_UPDATE_FLAGS);
  let position = record.blockDataOffset[HEAP_UPDATE_BLKREF_HEAP_NEW] as number;
  let left = record.blockDataLength[HEAP_UPDATE_BLKREF_HEAP_NEW] as number;
  let prefix = 0;
  let suffix = 0;
  if ((flags & (XLH_UPDATE_PREFIX_FROM_OLD | XLH_UPDATE_SUFFIX_FROM_OLD)) !== 0) {
    if (!onePage) failRedo('the new tuple takes data from an old one on another page');
    if ((flags & XLH_UPDATE_PREFIX_FROM_OLD) !== 0 && left >= 2) {
      prefix = source.getUint16(position, true);
      position += 2;
      left -= 2;
    }
    if ((flags & XLH_UPDATE_SUFFIX_FROM_OLD) !== 0 && left >= 2) {
      suffix = source.getUint16(position, true);
      position += 2;
      left -= 2;
    }
  }
  if (left < HEAP_HEADER_BYTES) failRedo(`the record has only ${left} bytes of the new tuple`);
  const length = TUPLE_INFOMASK2 + left + prefix + suffix;
  const block = record.blockNumber[HEAP_UPDATE_BLKREF_HEAP_NEW] as number;
  const offsetNumber = source.getUint16(main + HEAP_UPDATE_NEW_OFFSET_NUMBER, true);
  const xmax = source.getUint32(main + HEAP_UPDATE_NEW_XMAX, true);
  const tuple = reserveTuple(page, block, offsetNumber, length, record.xid, xmax);
  const target = tuple + TUPLE_INFOMASK2;
  if (prefix === 0 && suffix === 0) {
    copyBytes(page.bytes, page.view, target, record.bytes, source, position, left);
  } else {
    copyAround(page, record, tuple, position, left, prefix, suffix);
  }
  clearComboCid(page.view, tuple);
  if ((flags & XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED) !== 0) clearAllVisible(page);
}

/**
 * Composes the new tuple at `tuple`: what stands before the data and the data's middle come from the record
 * (`left` bytes at `position`, xl_heap_header first), the data's beginning and end from the old tuple.
 */
function copyAround(
  page: Page,
  record: DecodedRecord,
  tuple: number,
  position: number,
  left: number,
  prefix: number,
  suffix: number,
): void {
  const { bytes, view } = page;
  const oldOffsetNumber = record.view.getUint16(record.mainDataOffset + HEAP_UPDATE_OLD_OFFSET_NUMBER, true);
  const old = getTuple(page, oldOffsetNumber);
  const oldLength = lineItemLength(getLinePointer(page, oldOffsetNumber));
  const oldHoff = view.getUint8(old + TUPLE_HOFF);
  if (oldHoff < TUPLE_HEADER_BYTES || oldHoff + prefix > oldLength || oldHoff + suffix > oldLength) {
    failRedo(
      `the old tuple of ${oldLength} bytes has no prefix of ${prefix} or no suffix of ${suffix} bytes`,
    );
  }
  let target = tuple + TUPLE_INFOMASK2;
  let head = left;
  if (prefix > 0) {
    // Header fields, null bitmap and padding; the prefix comes after them.
    head = record.view.getUint8(position + HEAP_HEADER_HOFF) - TUPLE_INFOMASK2;
    if (head < HEAP_HEADER_BYTES || head > left)
      failRedo(`the new tuple's header has ${head} of ${left} bytes`);
  }
  copyBytes(bytes, view, target, record.bytes, record.view, position, head);
  target += head;
  if (prefix > 0) {
    copyBytes(bytes, view, target, bytes, view, old + oldHoff, prefix);
    target += prefix;
    copyBytes(bytes, view, target, record.bytes, record.view, position + head, left - head);
    target += left - head;
  }
  copyBytes(bytes, view, target, bytes, view, old + oldLength - suffix, suffix);
}

/**
 * The map's page of the new heap block. It may also be that of the old one: then the record names it once, if the
 * bits of both were set, and else it does no harm to clear the old one's.
 */
function redoNewMapBlock(page: Page, record: DecodedRecord, flags: number): boolean {
  const newCleared = flags & XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED;
  const mapId = HEAP_UPDATE_BLKREF_VM_NEW;
  let cleared = redoMapBlock(
    page,
    record,
    mapId,
    HEAP_UPDATE_BLKREF_HEAP_NEW,
    newCleared,
    VISIBILITYMAP_VALID_BITS,
  );
  const oldId = HEAP_UPDATE_BLKREF_HEAP_OLD;
  if (
    (flags & XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED) !== 0 &&
    record.hasBlock(oldId) &&
    visibilityMapBlock(record.blockNumber[oldId] as number) === record.blockNumber[mapId]
  ) {
    cleared = redoMapBlock(page, record, mapId, oldId, 1, VISIBILITYMAP_VALID_BITS) || cleared;
  }
  return cleared;
}

export function redoUpdate(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainDataWithOldTuple(record, HEAP_UPDATE_BYTES, HEAP_UPDATE_FLAGS, XLH_UPDATE_CONTAINS_OLD);
  const isHot = (record.info & XLOG_HEAP_HOT_UPDATE) !== 0;
  const onePage = !record.hasBlock(HEAP_UPDATE_BLKREF_HEAP_OLD);
  const initializes = (record.info & XLOG_HEAP_INIT_PAGE) !== 0;
  if (
    !onePage &&
    record.blockNumber[HEAP_UPDATE_BLKREF_HEAP_OLD] === record.blockNumber[HEAP_UPDATE_BLKREF_HEAP_NEW]
  ) {
    failRedo('old and new page are the same, but named twice');
  }
  if (onePage && initializes) failRedo('the page of the old tuple cannot be made anew');
  if (!onePage && isHot) failRedo('a HOT update stays on its page');
  const flags = record.view.getUint8(record.mainDataOffset + HEAP_UPDATE_FLAGS);
  switch (blockId) {
    case HEAP_UPDATE_BLKREF_HEAP_NEW:
      if (initializes) initializePage(page, 0);
      if (onePage) redoOldTuple(page, record, isHot);
      redoNewTuple(page, record, onePage);
      return true;
    case HEAP_UPDATE_BLKREF_HEAP_OLD:
      redoOldTuple(page, record, isHot);
      return true;
    case HEAP_UPDATE_BLKREF_VM_NEW:
      return redoNewMapBlock(page, record, flags);
    case HEAP_UPDATE_BLKREF_VM_OLD: {
      const oldId = onePage ? HEAP_UPDATE_BLKREF_HEAP_NEW : HEAP_UPDATE_BLKREF_HEAP_OLD;
      const oldCleared = flags & XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED;
      return redoMapBlock(page, record, blockId, oldId, oldCleared, VISIBILITYMAP_VALID_BITS);
    }
    default:
      return failRedo(`an update has no block reference ${blockId}`);
  }
}
