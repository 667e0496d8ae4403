/** Replay of Heap2's PRUNE records (heapam.c, heap_xlog_prune_freeze; pruneheap.c, heap_page_prune_execute). */
import {
  FROZEN_TRANSACTION_ID,
  INVALID_TRANSACTION_ID,
  TUPLE_CID,
  TUPLE_INFOMASK,
  TUPLE_INFOMASK2,
  TUPLE_XMAX,
} from '../postgres/page/heap-tuple.ts';
import { LINE_DEAD, LINE_REDIRECT, makeLinePointer, type Page } from '../postgres/page/page.ts';
import {
  CONFLICT_HORIZON_BYTES,
  FREEZE_PLAN_BYTES,
  FREEZE_PLAN_FLAGS,
  FREEZE_PLAN_INFOMASK,
  FREEZE_PLAN_INFOMASK2,
  FREEZE_PLAN_TUPLES,
  FREEZE_PLAN_XMAX,
  FREEZE_PLANS_HEADER_BYTES,
  HEAP_PRUNE_BYTES,
  HEAP_PRUNE_FLAGS,
  XLH_FREEZE_XVAC,
  XLH_INVALID_XVAC,
  XLHP_CLEANUP_LOCK,
  XLHP_HAS_CONFLICT_HORIZON,
  XLHP_HAS_DEAD_ITEMS,
  XLHP_HAS_FREEZE_PLANS,
  XLHP_HAS_NOW_UNUSED_ITEMS,
  XLHP_HAS_REDIRECTIONS,
  XLHP_VALID_FLAGS,
} from '../postgres/rmgr/heap2-prune.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { checkInitialization, getTuple, requireMainData } from './heap-tuples.ts';
import { getLinePointer, repairFragmentation, setLinePointer, truncateLinePointers } from './page-items.ts';
import { failRedo } from './redo-failure.ts';

/**
 * The count at `position`, after checking that it and as many entries of `entryBytes` after a header of
 * `headerBytes` lie before `end`.
 */
function readCount(
  record: DecodedRecord,
  position: number,
  end: number,
  headerBytes: number,
  entryBytes: number,
): number {
  if (end - position < headerBytes) failRedo("the prune record's data is cut off");
  const count = record.view.getUint16(position, true);
  if (end - position - headerBytes < count * entryBytes)
    failRedo(`the prune record's data has no ${count} entries`);
  return count;
}

/** heap_execute_freeze_tuple for the `count` tuples whose lines stand at `offsets`. */
function freezeTuples(page: Page, source: DataView, plan: number, offsets: number, count: number): void {
  const { view } = page;
  const xmax = source.getUint32(plan + FREEZE_PLAN_XMAX, true);
  const infomask2 = source.getUint16(plan + FREEZE_PLAN_INFOMASK2, true);
  const infomask = source.getUint16(plan + FREEZE_PLAN_INFOMASK, true);
  const flags = source.getUint8(plan + FREEZE_PLAN_FLAGS);
  if ((flags & ~(XLH_FREEZE_XVAC | XLH_INVALID_XVAC)) !== 0)
    failRedo(`the freeze plan has unknown flags ${flags}`);
  for (let index = 0; index < count; index++) {
    const tuple = getTuple(page, source.getUint16(offsets + index * 2, true));
    view.setUint32(tuple + TUPLE_XMAX, xmax, true);
    if ((flags & XLH_FREEZE_XVAC) !== 0) view.setUint32(tuple + TUPLE_CID, FROZEN_TRANSACTION_ID, true);
    if ((flags & XLH_INVALID_XVAC) !== 0) view.setUint32(tuple + TUPLE_CID, INVALID_TRANSACTION_ID, true);
    view.setUint16(tuple + TUPLE_INFOMASK, infomask, true);
    view.setUint16(tuple + TUPLE_INFOMASK2, infomask2, true);
  }
}

/** All freeze plans; their lines stand one after another from `offsets` to `end`, which must be just enough. */
function redoFreezePlans(
  page: Page,
  record: DecodedRecord,
  plans: number,
  planCount: number,
  offsets: number,
  end: number,
): void {
  let position = offsets;
  for (let index = 0; index < planCount; index++) {
    const plan = plans + index * FREEZE_PLAN_BYTES;
    const count = record.view.getUint16(plan + FREEZE_PLAN_TUPLES, true);
    if (end - position < count * 2) failRedo(`the prune record's data has no ${count} lines to freeze`);
    freezeTuples(page, record.view, plan, position, count);
    position += count * 2;
  }
  if (position !== end) failRedo(`${end - position} bytes of the prune record's data are unexplained`);
}

export function redoPrune(page: Page, record: DecodedRecord, blockId: number): boolean {
  checkInitialization(record, blockId);
  if (blockId !== 0) failRedo(`a prune record has no block reference ${blockId}`);
  if (record.mainDataLength < HEAP_PRUNE_BYTES) failRedo('the prune record is cut off');
  const { view } = record;
  const flags = view.getUint8(record.mainDataOffset + HEAP_PRUNE_FLAGS);
  if ((flags & ~XLHP_VALID_FLAGS) !== 0) failRedo(`the prune record has unknown flags ${flags}`);
  const horizonBytes = (flags & XLHP_HAS_CONFLICT_HORIZON) !== 0 ? CONFLICT_HORIZON_BYTES : 0;
  requireMainData(record, HEAP_PRUNE_BYTES + horizonBytes);
  let position = record.blockDataOffset[0] as number;
  const end = position + (record.blockDataLength[0] as number);
  let planCount = 0;
  const plans = position + FREEZE_PLANS_HEADER_BYTES;
  if ((flags & XLHP_HAS_FREEZE_PLANS) !== 0) {
    planCount = readCount(record, position, end, FREEZE_PLANS_HEADER_BYTES, FREEZE_PLAN_BYTES);
    position = plans + planCount * FREEZE_PLAN_BYTES;
  }
  let changed = 0;
  if ((flags & XLHP_HAS_REDIRECTIONS) !== 0) {
    const count = readCount(record, position, end, 2, 4);
    position += 2;
    for (let index = 0; index < count; index++, position += 4) {
      const target = view.getUint16(position + 2, true);
      getLinePointer(page, target);
      setLinePointer(page, view.getUint16(position, true), makeLinePointer(target, LINE_REDIRECT, 0));
    }
    changed += count;
  }
  if ((flags & XLHP_HAS_DEAD_ITEMS) !== 0) {
    const count = readCount(record, position, end, 2, 2);
    position += 2;
    for (let index = 0; index < count; index++, position += 2) {
      setLinePointer(page, view.getUint16(position, true), makeLinePointer(0, LINE_DEAD, 0));
    }
    changed += count;
  }
  if ((flags & XLHP_HAS_NOW_UNUSED_ITEMS) !== 0) {
    const count = readCount(record, position, end, 2, 2);
    position += 2;
    for (let index = 0; index < count; index++, position += 2) {
      setLinePointer(page, view.getUint16(position, true), 0);
    }
    changed += count;
  }
  if (changed > 0) {
    // Without a cleanup lock no tuple may move: VACUUM's second pass, which only gives back dead lines.
    if ((flags & XLHP_CLEANUP_LOCK) !== 0) repairFragmentation(page);
    else truncateLinePointers(page);
  }
  redoFreezePlans(page, record, plans, planCount, position, end);
  return true;
}
