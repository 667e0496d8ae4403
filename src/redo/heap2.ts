/** Replay of the resource manager Heap2 (access/heap/heapam.c, heap2_redo). */
import { UnknownRecordError } from '../base/errors.ts';
import { TUPLE_XMAX } from '../postgres/page/heap-tuple.ts';
import { initializePage, type Page } from '../postgres/page/page.ts';
import {
  initializeNewMapPage,
  setVisibility,
  VISIBILITYMAP_VALID_BITS,
  VISIBILITYMAP_XLOG_VALID_BITS,
  visibilityMapBlock,
} from '../postgres/page/visibility-map.ts';
import {
  HEAP_BLKREF_HEAP,
  HEAP_BLKREF_VM,
  HEAP_LOCK_BYTES,
  HEAP_LOCK_INFOBITS,
  HEAP_LOCK_OFFSET_NUMBER,
  HEAP_LOCK_XMAX,
  XLH_INSERT_ALL_FROZEN_SET,
  XLH_INSERT_ALL_VISIBLE_CLEARED,
} from '../postgres/rmgr/heap-layout.ts';
import {
  HEAP_MULTI_INSERT_FLAGS,
  HEAP_MULTI_INSERT_OFFSETS,
  HEAP_MULTI_INSERT_TUPLES,
  HEAP_VISIBLE_BLKREF_HEAP,
  HEAP_VISIBLE_BLKREF_VM,
  HEAP_VISIBLE_BYTES,
  HEAP_VISIBLE_FLAGS,
  MULTI_INSERT_TUPLE_BYTES,
  MULTI_INSERT_TUPLE_HEADER,
  XLOG_HEAP2_LOCK_UPDATED,
  XLOG_HEAP2_MULTI_INSERT,
  XLOG_HEAP2_MULTI_INSERT_INIT,
  XLOG_HEAP2_NEW_CID,
  XLOG_HEAP2_PRUNE_ON_ACCESS,
  XLOG_HEAP2_PRUNE_VACUUM_CLEANUP,
  XLOG_HEAP2_PRUNE_VACUUM_SCAN,
  XLOG_HEAP2_REWRITE,
  XLOG_HEAP2_VISIBLE,
} from '../postgres/rmgr/heap2.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { redoLockMapBlock } from './heap.ts';
import {
  addTuple,
  changeInfomasks,
  checkInitialization,
  clearAllVisible,
  getTuple,
  requireMainData,
  setAllVisible,
} from './heap-tuples.ts';
import { redoPrune } from './heap2-prune.ts';
import { failRedo } from './redo-failure.ts';
import type { RedoFunction, RedoSettings } from './redo-types.ts';
import { redoMapBlock } from './visibility.ts';

/** heap_xlog_visible. */
function redoVisible(page: Page, record: DecodedRecord, blockId: number, settings: RedoSettings): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_VISIBLE_BYTES);
  const flags = record.view.getUint8(record.mainDataOffset + HEAP_VISIBLE_FLAGS);
  if ((flags & ~VISIBILITYMAP_XLOG_VALID_BITS) !== 0) failRedo(`unknown visibility flags ${flags}`);
  if (!record.hasBlock(HEAP_VISIBLE_BLKREF_HEAP)) failRedo('the record does not name its heap block');
  switch (blockId) {
    case HEAP_VISIBLE_BLKREF_VM: {
      const heapBlock = record.blockNumber[HEAP_VISIBLE_BLKREF_HEAP] as number;
      if (visibilityMapBlock(heapBlock) !== record.blockNumber[blockId]) {
        failRedo(`heap block ${heapBlock} is not in this page of the visibility map`);
      }
      initializeNewMapPage(page);
      return setVisibility(page, heapBlock, flags & VISIBILITYMAP_VALID_BITS);
    }
    case HEAP_VISIBLE_BLKREF_HEAP:
      // The flag is a hint as far as torn pages go: where those are not protected, neither is the LSN moved.
      setAllVisible(page);
      return settings.hintBitsAreLogged;
    default:
      return failRedo(`a VISIBLE record has no block reference ${blockId}`);
  }
}

/** heap_xlog_multi_insert. */
function redoMultiInsert(page: Page, record: DecodedRecord, blockId: number, initializes: boolean): boolean {
  checkInitialization(record, blockId);
  if (record.mainDataLength < HEAP_MULTI_INSERT_OFFSETS) failRedo('the MULTI_INSERT record is cut off');
  const { view } = record;
  const main = record.mainDataOffset;
  const flags = view.getUint8(main + HEAP_MULTI_INSERT_FLAGS);
  const cleared = flags & XLH_INSERT_ALL_VISIBLE_CLEARED;
  if (blockId === HEAP_BLKREF_VM) {
    return redoMapBlock(page, record, blockId, HEAP_BLKREF_HEAP, cleared, VISIBILITYMAP_VALID_BITS);
  }
  if (blockId !== HEAP_BLKREF_HEAP) failRedo(`a MULTI_INSERT record has no block reference ${blockId}`);
  const count = view.getUint16(main + HEAP_MULTI_INSERT_TUPLES, true);
  const offsetBytes = initializes ? 0 : count * 2;
  if (record.mainDataLength !== HEAP_MULTI_INSERT_OFFSETS + offsetBytes) {
    failRedo(`${record.mainDataLength} bytes are not the main data for ${count} tuples`);
  }
  if (initializes) initializePage(page, 0);
  addTuples(page, record, count, initializes);
  if (cleared !== 0) clearAllVisible(page);
  if ((flags & XLH_INSERT_ALL_FROZEN_SET) !== 0) setAllVisible(page);
  return true;
}

function addTuples(page: Page, record: DecodedRecord, count: number, initializes: boolean): void {
  const { view } = record;
  const offsets = record.mainDataOffset + HEAP_MULTI_INSERT_OFFSETS;
  const block = record.blockNumber[HEAP_BLKREF_HEAP] as number;
  const start = record.blockDataOffset[HEAP_BLKREF_HEAP] as number;
  const length = record.blockDataLength[HEAP_BLKREF_HEAP] as number;
  let position = 0;
  for (let index = 0; index < count; index++) {
    const offsetNumber = initializes ? index + 1 : view.getUint16(offsets + index * 2, true);
    // SHORTALIGN, counted from the beginning of the data.
    position += position & 1;
    if (position + MULTI_INSERT_TUPLE_BYTES > length)
      failRedo(`the data ends within tuple ${index} of ${count}`);
    const tupleEnd = position + MULTI_INSERT_TUPLE_BYTES + view.getUint16(start + position, true);
    if (tupleEnd > length) failRedo(`the data ends within tuple ${index} of ${count}`);
    const header = position + MULTI_INSERT_TUPLE_HEADER;
    addTuple(page, record, block, offsetNumber, start + header, tupleEnd - header);
    position = tupleEnd;
  }
  if (position !== length) failRedo(`${length - position} bytes after the last tuple`);
}

/** heap_xlog_lock_updated: unlike LOCK it leaves command id and chain alone. */
function redoLockUpdated(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  requireMainData(record, HEAP_LOCK_BYTES);
  const main = record.mainDataOffset;
  if (blockId === HEAP_BLKREF_VM) return redoLockMapBlock(page, record, blockId);
  if (blockId !== HEAP_BLKREF_HEAP) failRedo(`a LOCK_UPDATED record has no block reference ${blockId}`);
  const tuple = getTuple(page, record.view.getUint16(main + HEAP_LOCK_OFFSET_NUMBER, true));
  changeInfomasks(page.view, tuple, record.view.getUint8(main + HEAP_LOCK_INFOBITS), 0);
  page.view.setUint32(tuple + TUPLE_XMAX, record.view.getUint32(main + HEAP_LOCK_XMAX, true), true);
  return true;
}

export const redoHeap2: RedoFunction = (page, record, blockId, settings) => {
  switch (record.info & 0xf0) {
    case XLOG_HEAP2_MULTI_INSERT:
      return redoMultiInsert(page, record, blockId, false);
    case XLOG_HEAP2_MULTI_INSERT_INIT:
      return redoMultiInsert(page, record, blockId, true);
    case XLOG_HEAP2_PRUNE_ON_ACCESS:
    case XLOG_HEAP2_PRUNE_VACUUM_SCAN:
    case XLOG_HEAP2_PRUNE_VACUUM_CLEANUP:
      return redoPrune(page, record, blockId);
    case XLOG_HEAP2_VISIBLE:
      return redoVisible(page, record, blockId, settings);
    case XLOG_HEAP2_LOCK_UPDATED:
      return redoLockUpdated(page, record, blockId);
    case XLOG_HEAP2_NEW_CID:
    case XLOG_HEAP2_REWRITE:
      // For logical decoding: the one is only read from WAL, the other writes a file of pg_logical/mappings.
      return failRedo('this kind of record has no block references');
    default:
      throw new UnknownRecordError('Heap2', record.info, record.startLsn);
  }
};
