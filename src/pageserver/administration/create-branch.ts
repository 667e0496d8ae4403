import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { TimelineBranchRequest } from '../../contracts/pageserver-api-timeline.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Tenant } from '../tenant/tenant.ts';
import { toPostgresMicros } from './postgres-time.ts';
import { timelineOf } from './tenant-access.ts';

/**
 * Begins a timeline where another one was: at an LSN, at a time, or at its last record. A request that was carried out
 * before does nothing.
 * @throws as Tenant.createBranch; CorruptionError TIMELINE_BROKEN
 */
export async function createBranch(
  tenant: Tenant,
  request: TimelineBranchRequest,
  signal: AbortSignal,
): Promise<ActiveTimeline> {
  const { ancestor_timeline_id: parentId, ancestor_start_lsn: lsn, ancestor_start_time: timeMs } = request;
  if (typeof lsn === 'number' && typeof timeMs === 'number') {
    throw new BadRequestError('BAD_REQUEST', 'a branch begins at an LSN or at a time, and not at both');
  }
  // Of a broken one storage would say what it is broken by.
  if (tenant.brokenTimelines.some((broken) => broken.timelineId === parentId)) timelineOf(tenant, parentId);
  try {
    if (typeof timeMs === 'number') return await branchAtTime(tenant, request, timeMs, signal);
    return await tenant.createBranch(request.new_timeline_id, parentId, lsn ?? undefined);
  } catch (error) {
    // What is being deleted passes, whether it has the name or is the ancestor.
    if (!(error instanceof VarveError) || error.code !== 'TIMELINE_BUSY') throw error;
    throw new VarveError('unavailable', error.code, error.reason, error.place, error);
  }
}

async function branchAtTime(
  tenant: Tenant,
  { new_timeline_id: timelineId, ancestor_timeline_id: parentId }: TimelineBranchRequest,
  timeMs: number,
  signal: AbortSignal,
): Promise<ActiveTimeline> {
  const parent = timelineOf(tenant, parentId);
  const lsn = await lsnOfTime(parent, timeMs, { task: 'administration', signal });
  // It may be forgotten before the branch says that it needs it.
  const hold = parent.upkeep.retain(lsn);
  try {
    return await tenant.createBranch(timelineId, parentId, lsn);
  } finally {
    hold.release();
  }
}

/** @throws VarveError ‘precondition’ / BAD_BRANCH_POINT where the history does not go back so far, or has no commit */
async function lsnOfTime(parent: ActiveTimeline, timeMs: number, context: ReadContext): Promise<Lsn> {
  const { kind, lsn } = await parent.reads.lsnByTimestamp(toPostgresMicros(timeMs), context);
  if (kind === 'present' || kind === 'future') return lsn;
  const reason = kind === 'past' ? 'all commits that are known are later' : 'there is no commit';
  throw new VarveError(
    'precondition',
    'BAD_BRANCH_POINT',
    `invalid branch start time ${new Date(timeMs).toISOString()}: ${reason}`,
  );
}
