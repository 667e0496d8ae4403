/**
 * How heap records clear bits of the visibility map. Since 17.11 the map's page is a block reference of the record
 * where bits were indeed cleared; before, and wherever it is missing, replay changes the map beside the block
 * references and without stamping its page (heapam.c, heap_xlog_vm_clear and heap_xlog_update).
 */
import { CorruptionError } from '../base/errors.ts';
import { isNewPage, type Page } from '../postgres/page/page.ts';
import {
  clearVisibility,
  initializeNewMapPage,
  VISIBILITYMAP_ALL_FROZEN,
  VISIBILITYMAP_VALID_BITS,
  visibilityMapBlock,
} from '../postgres/page/visibility-map.ts';
import {
  HEAP_BLKREF_HEAP,
  HEAP_BLKREF_VM,
  HEAP_DELETE_FLAGS,
  HEAP_INSERT_FLAGS,
  HEAP_LOCK_FLAGS,
  HEAP_UPDATE_BLKREF_HEAP_NEW,
  HEAP_UPDATE_BLKREF_HEAP_OLD,
  HEAP_UPDATE_BLKREF_VM_NEW,
  HEAP_UPDATE_BLKREF_VM_OLD,
  HEAP_UPDATE_FLAGS,
  XLH_DELETE_ALL_VISIBLE_CLEARED,
  XLH_INSERT_ALL_VISIBLE_CLEARED,
  XLH_LOCK_ALL_FROZEN_CLEARED,
  XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED,
  XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED,
  XLOG_HEAP_DELETE,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_INSERT,
  XLOG_HEAP_LOCK,
  XLOG_HEAP_UPDATE,
} from '../postgres/rmgr/heap-layout.ts';
import {
  HEAP_MULTI_INSERT_FLAGS,
  XLOG_HEAP2_LOCK_UPDATED,
  XLOG_HEAP2_MULTI_INSERT,
  XLOG_HEAP2_MULTI_INSERT_INIT,
} from '../postgres/rmgr/heap2.ts';
import { RM_HEAP, RM_HEAP2 } from '../postgres/rmgr/resource-manager.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { FORK_VISIBILITY_MAP } from '../postgres/wal/record-header.ts';
import { failRedo } from './redo-failure.ts';

/** Up to two heap blocks of one relation whose visibility a record clears. Overwritten by the next search. */
export class VisibilityClears {
  /** How many of the entries below hold. */
  count = 0;
  tablespace = 0;
  database = 0;
  relation = 0;
  /** Numbers of the heap blocks, all different; the map's blocks: `visibilityMapBlock`. */
  readonly heapBlocks: Uint32Array = new Uint32Array(2);
  /** VISIBILITYMAP_* bits to be cleared for each. */
  readonly flags: Uint8Array = new Uint8Array(2);
}

/** The byte at `offset` of the record's main data. */
function readMainByte(record: DecodedRecord, offset: number): number {
  if (offset >= record.mainDataLength) {
    throw new CorruptionError('BAD_WAL_RECORD', `the record's main data ends before byte ${offset}`, {
      lsn: record.startLsn,
      resourceManager: record.resourceManager,
      info: record.info,
    });
  }
  return record.view.getUint8(record.mainDataOffset + offset);
}

function addClear(record: DecodedRecord, blockId: number, flags: number, out: VisibilityClears): void {
  if (!record.hasBlock(blockId)) {
    throw new CorruptionError(
      'BAD_WAL_RECORD',
      'the record clears the visibility of a block that it does not name',
      {
        lsn: record.startLsn,
        resourceManager: record.resourceManager,
        info: record.info,
        blockId,
      },
    );
  }
  out.tablespace = record.blockTablespace[blockId] as number;
  out.database = record.blockDatabase[blockId] as number;
  out.relation = record.blockRelation[blockId] as number;
  out.heapBlocks[out.count] = record.blockNumber[blockId] as number;
  out.flags[out.count] = flags;
  out.count++;
}

/** For records of one heap block: `cleared` is the record's flag that says so. */
function addSingle(record: DecodedRecord, cleared: number, bits: number, out: VisibilityClears): number {
  if (cleared === 0 || record.hasBlock(HEAP_BLKREF_VM)) return 0;
  addClear(record, HEAP_BLKREF_HEAP, bits, out);
  return out.count;
}

function addUpdate(record: DecodedRecord, out: VisibilityClears): number {
  const flags = readMainByte(record, HEAP_UPDATE_FLAGS);
  const cleared = flags & (XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED | XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED);
  if (cleared === 0) return 0;
  // One reference to the map is enough to know that all bits that were set have one.
  if (record.hasBlock(HEAP_UPDATE_BLKREF_VM_NEW) || record.hasBlock(HEAP_UPDATE_BLKREF_VM_OLD)) return 0;
  const onePage = !record.hasBlock(HEAP_UPDATE_BLKREF_HEAP_OLD);
  if (onePage || (cleared & XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED) !== 0) {
    addClear(record, HEAP_UPDATE_BLKREF_HEAP_NEW, VISIBILITYMAP_VALID_BITS, out);
  }
  if (!onePage && (cleared & XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED) !== 0) {
    addClear(record, HEAP_UPDATE_BLKREF_HEAP_OLD, VISIBILITYMAP_VALID_BITS, out);
  }
  return out.count;
}

/** LOCK and LOCK_UPDATED, whose layouts are the same. A locked row is no longer frozen, but as visible as before. */
function addLock(record: DecodedRecord, out: VisibilityClears): number {
  const cleared = readMainByte(record, HEAP_LOCK_FLAGS) & XLH_LOCK_ALL_FROZEN_CLEARED;
  return addSingle(record, cleared, VISIBILITYMAP_ALL_FROZEN, out);
}

/**
 * The heap blocks whose bits in the visibility map a record of any resource manager clears without naming the
 * map's page. Returns how many, which mostly is none; allocates nothing. PRUNE records never touch the map.
 *
 * Such a clear takes effect whatever the LSN of the map's page says, and does not change that LSN.
 *
 * @throws CorruptionError where the record is too short to tell.
 */
export function findVisibilityClears(record: DecodedRecord, out: VisibilityClears): number {
  out.count = 0;
  if (record.resourceManager === RM_HEAP) {
    switch (record.info & 0xf0) {
      case XLOG_HEAP_INSERT:
      case XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE: {
        const cleared = readMainByte(record, HEAP_INSERT_FLAGS) & XLH_INSERT_ALL_VISIBLE_CLEARED;
        return addSingle(record, cleared, VISIBILITYMAP_VALID_BITS, out);
      }
      case XLOG_HEAP_DELETE: {
        const cleared = readMainByte(record, HEAP_DELETE_FLAGS) & XLH_DELETE_ALL_VISIBLE_CLEARED;
        return addSingle(record, cleared, VISIBILITYMAP_VALID_BITS, out);
      }
      case XLOG_HEAP_UPDATE:
      case XLOG_HEAP_UPDATE | XLOG_HEAP_INIT_PAGE:
      case XLOG_HEAP_HOT_UPDATE:
      case XLOG_HEAP_HOT_UPDATE | XLOG_HEAP_INIT_PAGE:
        return addUpdate(record, out);
      case XLOG_HEAP_LOCK:
        return addLock(record, out);
      default:
        return 0;
    }
  }
  if (record.resourceManager === RM_HEAP2) {
    switch (record.info & 0xf0) {
      case XLOG_HEAP2_MULTI_INSERT:
      case XLOG_HEAP2_MULTI_INSERT_INIT: {
        const cleared = readMainByte(record, HEAP_MULTI_INSERT_FLAGS) & XLH_INSERT_ALL_VISIBLE_CLEARED;
        return addSingle(record, cleared, VISIBILITYMAP_VALID_BITS, out);
      }
      case XLOG_HEAP2_LOCK_UPDATED:
        return addLock(record, out);
      default:
        return 0;
    }
  }
  return 0;
}

const scratch = new VisibilityClears();

/**
 * Replays what `findVisibilityClears` finds for block `mapBlock` of the map: visibilitymap_pin, which makes a new
 * page an empty one, and visibilitymap_clear. Returns whether the page changed; its LSN does not.
 */
export function redoVisibilityClears(page: Page, record: DecodedRecord, mapBlock: number): boolean {
  let changed = false;
  const count = findVisibilityClears(record, scratch);
  for (let index = 0; index < count; index++) {
    const heapBlock = scratch.heapBlocks[index] as number;
    if (visibilityMapBlock(heapBlock) !== mapBlock) continue;
    changed = initializeNewMapPage(page) || changed;
    changed = clearVisibility(page, heapBlock, scratch.flags[index] as number) || changed;
  }
  return changed;
}

/**
 * Replays a record on the map's page that it names in block reference `mapBlockId` (17.11 and later): clears `bits`
 * of the heap block of `heapBlockId`. `cleared` is the record's flag that must say so. Returns whether a bit was
 * cleared; only then PostgreSQL stamps the page.
 */
export function redoMapBlock(
  page: Page,
  record: DecodedRecord,
  mapBlockId: number,
  heapBlockId: number,
  cleared: number,
  bits: number,
): boolean {
  if (cleared === 0) failRedo('the record names the visibility map, but clears nothing in it');
  if (record.blockFork[mapBlockId] !== FORK_VISIBILITY_MAP) {
    failRedo(`block reference ${mapBlockId} is no page of the visibility map`);
  }
  if (!record.hasBlock(heapBlockId)) failRedo(`the record has no heap block ${heapBlockId}`);
  const heapBlock = record.blockNumber[heapBlockId] as number;
  if (visibilityMapBlock(heapBlock) !== record.blockNumber[mapBlockId]) {
    failRedo(`heap block ${heapBlock} is not in this page of the visibility map`);
  }
  if (isNewPage(page)) failRedo('the page of the visibility map has never been written');
  return clearVisibility(page, heapBlock, bits);
}
