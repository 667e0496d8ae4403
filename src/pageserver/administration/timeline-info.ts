import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { BrokenTimelineInfo, TimelineInfo } from '../../contracts/pageserver-api-timeline.ts';
import type { TenantShardId } from '../../contracts/tenant-shard-id.ts';
import type { WalReceiverState } from '../ingest/receiver/receiver-state.ts';
import type { BrokenTimeline } from '../tenant/active-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';

export interface TimelineInfoParts {
  /** Of the relations at an LSN; undefined where it is not known. */
  readonly size: { readonly lsn: Lsn; readonly bytes: number } | undefined;
  readonly receiver: WalReceiverState | undefined;
}

/** What the HTTP API says of a timeline that is served. */
export function toTimelineInfo(
  shard: TenantShardId,
  timeline: Timeline,
  { size, receiver }: TimelineInfoParts,
): TimelineInfo {
  const { lastRecordLsn, initialLsn, gcCutoffLsn, ancestor, ancestorTimeline } = timeline;
  const lowestLsn = Math.max(gcCutoffLsn, initialLsn) as Lsn;
  const isAccurate = size?.lsn === lastRecordLsn;
  const connection = receiver?.connection;
  return {
    tenant_id: shard,
    timeline_id: timeline.timelineId,
    ...(ancestor === undefined
      ? {}
      : { ancestor_timeline_id: ancestorTimeline?.timelineId, ancestor_lsn: ancestor.lsn as Lsn }),
    last_record_lsn: lastRecordLsn,
    prev_record_lsn: timeline.previousRecordLsn,
    applied_gc_cutoff_lsn: gcCutoffLsn,
    min_readable_lsn: lowestLsn,
    disk_consistent_lsn: timeline.diskConsistentLsn,
    remote_consistent_lsn: timeline.remote.projectedRemoteConsistentLsn,
    remote_consistent_lsn_visible: timeline.remote.visibleRemoteConsistentLsn,
    initdb_lsn: initialLsn,
    current_logical_size: size?.bytes ?? 0,
    current_logical_size_is_accurate: isAccurate,
    ...(isAccurate ? { current_logical_size_non_incremental: size.bytes } : {}),
    current_physical_size: layerBytes(timeline),
    pitr_history_size: lastRecordLsn - lowestLsn,
    within_ancestor_pitr: ancestor !== undefined && ancestor.lsn >= (ancestorTimeline?.gcCutoffLsn ?? 0),
    ...(connection === undefined
      ? {}
      : { wal_source_connstr: connection.address, last_received_msg_lsn: connection.streamedLsn }),
    pg_version: timeline.version.major,
    system_identifier: timeline.systemIdentifier,
    wal_segment_size: timeline.walSegmentBytes,
    state: timeline.signal.aborted ? 'Stopping' : 'Active',
    walreceiver_status: describeReceiver(receiver),
    is_archived: timeline.archivedAtMs !== undefined,
    ...(timeline.ingestStop === undefined ? {} : { ingest_stopped: timeline.ingestStop.message }),
    poisoned_records: timeline.poisonedRecords,
  };
}

/** What the HTTP API says of one that is not. */
export function toBrokenInfo(
  shard: TenantShardId,
  { timelineId, error, head }: BrokenTimeline,
): BrokenTimelineInfo {
  return {
    tenant_id: shard,
    timeline_id: timelineId,
    ...(head?.ancestor === undefined ? {} : { ancestor_timeline_id: head.ancestor.timelineId }),
    state: { Broken: { reason: error.message, backtrace: '' } },
  };
}

function layerBytes({ layers }: Timeline): number {
  let bytes = 0;
  for (const layer of layers) bytes += layer.sizeBytes;
  return bytes;
}

/** One line for people: whether WAL comes, from where, and if not, why. */
function describeReceiver(receiver: WalReceiverState | undefined): string {
  if (receiver === undefined) return 'not receiving';
  const { status, connection, lastFailure, isDamaged, waitingBytes } = receiver;
  const parts: string[] = [status];
  if (connection !== undefined) {
    const { nodeId, address, streamedLsn, serverEndLsn } = connection;
    const which = status === 'streaming' || status === 'connecting' ? 'from' : 'last from';
    parts.push(
      `${which} safekeeper ${nodeId} at ${address}, which has WAL up to ${formatLsn(serverEndLsn)}`,
      `received up to ${formatLsn(streamedLsn)}`,
    );
  }
  if (waitingBytes > 0) parts.push(`${waitingBytes} bytes wait to be taken in`);
  if (isDamaged) parts.push('several safekeepers give WAL that cannot be taken');
  if (lastFailure !== undefined) {
    const { nodeId, message } = lastFailure;
    const whose = nodeId === undefined ? 'this pageserver, and no safekeeper,' : `safekeeper ${nodeId}`;
    parts.push(`${whose} failed last: ${message}`);
  }
  return parts.join('; ');
}
