import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { LogPosition } from '../consensus/effects.ts';
import type { PartialSegment, PersistentState } from '../consensus/persistent-state.ts';
import type { PartialPosition } from './object-names.ts';

export interface EvictionView {
  readonly persistent: Pick<PersistentState, 'partialSegments' | 'backupLsn' | 'server' | 'evictedAtLsn'>;
  readonly log: LogPosition;
  readonly position: PartialPosition;
}

/**
 * Whether all of the timeline's WAL is in the bucket, so that the local files are not needed to have it: whole segments
 * up to the last one, which is there as a partial segment that goes to the end of WAL, and all of that is committed.
 */
export function isAllUploaded({ persistent, log, position }: EvictionView): boolean {
  const { backupLsn, evictedAtLsn, server, partialSegments } = persistent;
  const { flushLsn, commitLsn } = position;
  if (evictedAtLsn !== undefined || log.writeLsn === 0) return false;
  // What is written and not flushed belongs to somebody who is still at it.
  if (log.recordLsn !== log.flushLsn || log.flushLsn !== flushLsn || commitLsn !== flushLsn) return false;
  const { segmentBytes } = server;
  if (segmentNumber(backupLsn, segmentBytes) < segmentNumber(flushLsn, segmentBytes)) return false;
  return flushLsn % segmentBytes === 0 || findPartial(partialSegments, position) !== undefined;
}

/** The uploaded partial segment that is the end of a log at this position. */
export function findPartial(
  segments: readonly PartialSegment[],
  { flushLsn, commitLsn, term }: PartialPosition,
): PartialSegment | undefined {
  return segments.find(
    (segment) =>
      segment.status === 'uploaded' &&
      segment.flushLsn === flushLsn &&
      segment.commitLsn === commitLsn &&
      segment.term === term,
  );
}
