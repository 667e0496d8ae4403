/** What PRUNE records of Heap2 consist of (access/heapam_xlog.h: xl_heap_prune, xlhp_*). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { BodyReader, refuseBody } from './resource-manager.ts';

/** xl_heap_prune: a reason, which PostgreSQL never sets, and flags; then the conflict horizon if there is one. */
export const HEAP_PRUNE_FLAGS = 1;
export const HEAP_PRUNE_BYTES = 2;
export const CONFLICT_HORIZON_BYTES = 4;
export const XLHP_IS_CATALOG_REL = 0x02;
export const XLHP_CLEANUP_LOCK = 0x04;
export const XLHP_HAS_CONFLICT_HORIZON = 0x08;
export const XLHP_HAS_FREEZE_PLANS = 0x10;
export const XLHP_HAS_REDIRECTIONS = 0x20;
export const XLHP_HAS_DEAD_ITEMS = 0x40;
export const XLHP_HAS_NOW_UNUSED_ITEMS = 0x80;
/** Not known: bit 0. */
export const XLHP_VALID_FLAGS = 0xfe;

/** xlhp_freeze_plans: a count and two bytes of padding before the plans. */
export const FREEZE_PLANS_HEADER_BYTES = 4;
/** xlhp_freeze_plan, with one byte of padding after frzflags. */
export const FREEZE_PLAN_XMAX = 0;
export const FREEZE_PLAN_INFOMASK2 = 4;
export const FREEZE_PLAN_INFOMASK = 6;
export const FREEZE_PLAN_FLAGS = 8;
export const FREEZE_PLAN_TUPLES = 10;
export const FREEZE_PLAN_BYTES = 12;
export const XLH_FREEZE_XVAC = 0x02;
export const XLH_INVALID_XVAC = 0x04;

export interface FreezePlanBody {
  readonly xmax: number;
  readonly infomask2: number;
  readonly infomask: number;
  readonly flags: number;
  readonly offsetNumbers: readonly number[];
}

/** The data of block 0. */
export interface PruneChangesBody {
  readonly freezePlans: readonly FreezePlanBody[];
  readonly redirected: readonly { readonly from: number; readonly to: number }[];
  readonly dead: readonly number[];
  readonly unused: readonly number[];
}

export interface HeapPruneBody {
  readonly kind: 'PRUNE_ON_ACCESS' | 'PRUNE_VACUUM_SCAN' | 'PRUNE_VACUUM_CLEANUP';
  readonly flags: number;
  readonly snapshotConflictHorizon: number | undefined;
  /** Absent where a full-page image makes it unnecessary. */
  readonly changes: PruneChangesBody | undefined;
}

/** heap_xlog_deserialize_prune_and_freeze (heapdesc.c). */
function readChanges(reader: BodyReader, flags: number): PruneChangesBody {
  const plans: { xmax: number; infomask2: number; infomask: number; flags: number; count: number }[] = [];
  if ((flags & XLHP_HAS_FREEZE_PLANS) !== 0) {
    const planCount = reader.u16();
    reader.skip(FREEZE_PLANS_HEADER_BYTES - 2);
    for (let index = 0; index < planCount; index++) {
      const xmax = reader.u32();
      const infomask2 = reader.u16();
      const infomask = reader.u16();
      const planFlags = reader.u8();
      reader.skip(1);
      plans.push({ xmax, infomask2, infomask, flags: planFlags, count: reader.u16() });
    }
  }
  const redirected: { from: number; to: number }[] = [];
  if ((flags & XLHP_HAS_REDIRECTIONS) !== 0) {
    const count = reader.u16();
    for (let index = 0; index < count; index++) redirected.push({ from: reader.u16(), to: reader.u16() });
  }
  const dead = (flags & XLHP_HAS_DEAD_ITEMS) === 0 ? [] : reader.u16Array(reader.u16());
  const unused = (flags & XLHP_HAS_NOW_UNUSED_ITEMS) === 0 ? [] : reader.u16Array(reader.u16());
  const freezePlans = plans.map(({ count, ...plan }) => ({ ...plan, offsetNumbers: reader.u16Array(count) }));
  reader.expectEnd();
  return { freezePlans, redirected, dead, unused };
}

export function decodePrune(record: DecodedRecord, kind: HeapPruneBody['kind']): HeapPruneBody {
  const main = BodyReader.mainData(record);
  main.skip(HEAP_PRUNE_FLAGS);
  const flags = main.u8();
  if ((flags & ~XLHP_VALID_FLAGS) !== 0) {
    refuseBody('Heap2', record, `the prune record has unknown flags ${flags}`);
  }
  const snapshotConflictHorizon = (flags & XLHP_HAS_CONFLICT_HORIZON) === 0 ? undefined : main.u32();
  main.expectEnd();
  const block = BodyReader.blockData(record, 0);
  const changes = block.remaining > 0 ? readChanges(block, flags) : undefined;
  return { kind, flags, snapshotConflictHorizon, changes };
}
