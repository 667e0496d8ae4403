import { VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import { parseLsn } from '../../base/lsn.ts';
import type { EndpointManager } from '../../contracts/endpoint-manager.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { Clock } from '../../io/clock.ts';
import { pause } from '../../io/retry-delay.ts';
import type { Database } from '../database/database.ts';
import { findHead, type LogPosition } from '../decisions/find-head.ts';
import type { Member, StorageNodes } from './storage-nodes.ts';

/** Wins an election for a timeline that no compute writes to, so that all up to what it gives is committed. */
export type Elect = (timeline: ElectedTimeline, signal: AbortSignal) => Promise<Lsn>;

export interface ElectedTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly membership: MembershipConfiguration;
  readonly segmentBytes: number;
  /** Where its log begins. */
  readonly startLsn: Lsn;
}

export interface HeadDoors {
  readonly database: Database;
  readonly nodes: StorageNodes;
  readonly endpoints: Pick<EndpointManager, 'headOf'> | undefined;
  readonly elect: Elect;
  readonly clock: Clock;
}

/** So often it is looked whether a compute that is not ours has committed what it has sent. */
const POLL_MS = 20;
/** One that sends and commits nothing for so long has no quorum. */
const WAIT_MS = 10_000;

/**
 * Where a timeline ends: at or above all that was acknowledged by the time of this call, and committed.
 * @throws VarveError ‘unavailable’ / NO_QUORUM; what the safekeepers fail of
 */
export async function headOf(doors: HeadDoors, timelineId: TimelineId, signal: AbortSignal): Promise<Lsn> {
  const running = doors.endpoints?.headOf(timelineId);
  if (running !== undefined) return running;
  const timeline = await readTimeline(doors.database, timelineId);
  const membership = await doors.nodes.membershipOf(timelineId);
  // Nobody has ever written to it, and nobody can.
  if (membership.members.length === 0) return timeline.startLsn;
  const members = await doors.nodes.members(membership.members.map(({ id }) => id));
  const untilMs = doors.clock.monotonicMs() + WAIT_MS;
  for (;;) {
    const answers = await positionsOf(members, timeline, signal);
    const decision = findHead(members.length, answers.positions);
    if (decision.kind === 'known') return decision.lsn;
    if (decision.kind === 'elect') {
      return await doors.elect({ ...timeline, timelineId, membership }, signal);
    }
    if (decision.kind === 'no-quorum') throw answers.failure ?? noQuorum(timelineId);
    if (doors.clock.monotonicMs() > untilMs) throw noQuorum(timelineId);
    await pause(doors.clock, POLL_MS, signal);
  }
}

const noQuorum = (timelineId: TimelineId): VarveError =>
  new VarveError('unavailable', 'NO_QUORUM', `too few safekeepers of timeline ${timelineId} answer`);

async function positionsOf(
  members: readonly Member[],
  { tenantId, timelineId }: { readonly tenantId: TenantId; readonly timelineId: TimelineId },
  signal: AbortSignal,
): Promise<{ positions: LogPosition[]; failure: unknown }> {
  const key = { tenant_id: tenantId, timeline_id: timelineId };
  const results = await Promise.allSettled(members.map(({ client }) => client.timelineStatus(key, signal)));
  const positions: LogPosition[] = [];
  let failure: unknown;
  for (const result of results) {
    if (result.status === 'rejected') {
      if (!(result.reason instanceof VarveError) || result.reason.kind === 'assertion') throw result.reason;
      // One that has not got the timeline yet has nothing of it; it counts as one that is away.
      if (result.reason.kind === 'unavailable') failure = result.reason;
      continue;
    }
    const { acceptor_state, flush_lsn, commit_lsn, walreceivers } = result.value;
    positions.push({
      lastLogTerm: acceptor_state.epoch,
      flushLsn: flush_lsn,
      commitLsn: commit_lsn,
      isWrittenTo: walreceivers.some(({ conn_id }) => conn_id !== null),
    });
  }
  return { positions, failure };
}

interface ReadTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly startLsn: Lsn;
  readonly segmentBytes: number;
}

async function readTimeline(database: Database, timelineId: TimelineId): Promise<ReadTimeline> {
  const row = await database.query((queries) =>
    queries
      .selectFrom('timelines')
      .innerJoin('projects', 'projects.id', 'timelines.tenant_id')
      .where('timeline_id', '=', timelineId)
      .select(['tenant_id', 'start_lsn', 'wal_segment_bytes'])
      .executeTakeFirst(),
  );
  if (row === undefined)
    throw new VarveError('not-found', 'TIMELINE_UNKNOWN', `there is no timeline ${timelineId}`);
  if (row.start_lsn === null) {
    throw new VarveError('unavailable', 'TIMELINE_BEING_CREATED', `timeline ${timelineId} is being made`);
  }
  return {
    tenantId: row.tenant_id,
    timelineId,
    startLsn: parseLsn(row.start_lsn),
    segmentBytes: row.wal_segment_bytes,
  };
}
