/** Names of what safekeepers keep in object storage, as docs/formats/safekeeper-bucket.md says. */
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import { formatSegmentName, segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WAL_TIMELINE_ID } from '../wal/wal-directory.ts';

export interface TimelineName {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
}

/** What a partial segment is the beginning of, and how far it goes. */
export interface PartialPosition {
  /** Term of the last WAL in it. */
  readonly term: number;
  readonly flushLsn: Lsn;
  readonly commitLsn: Lsn;
}

const hex16 = (lsn: Lsn): string => lsn.toString(16).toUpperCase().padStart(16, '0');

/** All objects of a timeline, and no others, have keys that begin so. */
export function timelinePrefix({ tenantId, timelineId }: TimelineName): string {
  return `${tenantId}/${timelineId}/`;
}

/** Key of a whole segment. */
export function segmentKey(timeline: TimelineName, segment: number, segmentBytes: number): string {
  return timelinePrefix(timeline) + formatSegmentName(WAL_TIMELINE_ID, segment, segmentBytes);
}

/** Name, below the timeline's prefix, of a partial segment that ends at the flush LSN. */
export function partialSegmentName(position: PartialPosition, segmentBytes: number, nodeId: number): string {
  const { term, flushLsn, commitLsn } = position;
  const segment = formatSegmentName(WAL_TIMELINE_ID, segmentNumber(flushLsn, segmentBytes), segmentBytes);
  return `${segment}_${term}_${hex16(flushLsn)}_${hex16(commitLsn)}${partialSuffix(nodeId)}`;
}

/** Whether a safekeeper has made this partial segment itself. Those of others are not its to remove. */
export function isPartialOf(name: string, nodeId: number): boolean {
  return name.endsWith(partialSuffix(nodeId));
}

function partialSuffix(nodeId: number): string {
  return `_sk${nodeId}.partial`;
}
