import type { Lsn } from '../../base/lsn.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import { beforeHeader } from './cluster-at-lsn.ts';

/**
 * The LSN to start from for who asks for a start at `lsn`: the end of the last record at or below it, from now on readable
 * until `holds` is disposed of. It may lie below the cutoff, where only what was asked for is promised: no record ends
 * between the two, so both show the same.
 * @param lsn undefined for the last record
 * @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF; as TimelineReads.recordBefore
 */
export async function holdRecord(
  { timeline, reads, upkeep }: ActiveTimeline,
  lsn: Lsn | undefined,
  holds: DisposableStack,
  context: ReadContext,
): Promise<Lsn> {
  const asked = lsn ?? timeline.lastRecordLsn;
  const before = beforeHeader(asked, timeline.walSegmentBytes);
  const hold = upkeep.retain(asked);
  holds.defer(() => hold.release());
  const holdBefore = upkeep.retainBranchPoint(before);
  holds.defer(() => holdBefore.release());
  const record = await reads.recordBefore(before, context);
  if (record === undefined) return before;
  const recordHold = upkeep.retainBranchPoint(record.endLsn);
  holds.defer(() => recordHold.release());
  return record.endLsn;
}
