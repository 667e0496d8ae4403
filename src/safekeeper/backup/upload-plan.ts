/** What of a timeline is to be uploaded: whole segments, and the beginning of the last one when nothing comes any more. */
import type { Lsn } from '../../base/lsn.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { PartialSegment, PersistentState } from '../consensus/persistent-state.ts';
import { type PartialPosition, partialSegmentName } from './object-names.ts';

/** Segments from `first` up to but without `end`. */
export interface SegmentRange {
  readonly first: number;
  readonly end: number;
}

/** The whole segments that are committed and not yet in the bucket; undefined where there are none. */
export function segmentsToUpload(
  backupLsn: Lsn,
  commitLsn: Lsn,
  segmentBytes: number,
): SegmentRange | undefined {
  const first = segmentNumber(backupLsn, segmentBytes);
  const end = segmentNumber(commitLsn, segmentBytes);
  return first < end ? { first, end } : undefined;
}

export interface PartialView {
  readonly nodeId: number;
  readonly persistent: Pick<
    PersistentState,
    'partialSegments' | 'backupLsn' | 'localStartLsn' | 'timelineStartLsn' | 'server'
  >;
  /** Where the log is. */
  readonly position: PartialPosition;
  /** There is no WAL, or it is in the bucket. */
  readonly hasLocalWal: boolean;
  /** For how long the position has been the same. */
  readonly unchangedMs: number;
  readonly timeoutMs: number;
}

export type PartialPlan =
  /** All that is there and is worth something is what it should be. */
  | { readonly kind: 'nothing' }
  /** The last segment is to be uploaded when nothing has come for so much longer. */
  | { readonly kind: 'wait'; readonly waitMs: number }
  | { readonly kind: 'upload'; readonly segment: PartialSegment }
  /** Objects of these names are of no use any more. */
  | { readonly kind: 'clean'; readonly names: readonly string[] };

/** What is to be done about partial segments. What is left of earlier ones goes first. */
export function planPartial(view: PartialView): PartialPlan {
  const { persistent, hasLocalWal, unchangedMs, timeoutMs } = view;
  const wanted = hasLocalWal ? wantedPartial(view) : undefined;
  const useless = persistent.partialSegments.filter((segment) => isUseless(segment, view, wanted?.name));
  if (useless.length > 0) return { kind: 'clean', names: useless.map(({ name }) => name) };
  if (wanted === undefined || findUploaded(persistent.partialSegments, wanted.name))
    return { kind: 'nothing' };
  if (unchangedMs < timeoutMs) return { kind: 'wait', waitMs: timeoutMs - unchangedMs };
  return { kind: 'upload', segment: wanted };
}

/** The partial segment that ends where the log does; undefined where the log ends with a whole one. */
function wantedPartial({ persistent, position, nodeId }: PartialView): PartialSegment | undefined {
  const { localStartLsn, timelineStartLsn, server } = persistent;
  const { flushLsn } = position;
  const startLsn = flushLsn - (flushLsn % server.segmentBytes);
  if (startLsn === flushLsn) return undefined;
  // The beginning of the segment is elsewhere.
  if (localStartLsn > startLsn && localStartLsn !== timelineStartLsn) return undefined;
  return {
    status: 'in-progress',
    name: partialSegmentName(position, server.segmentBytes, nodeId),
    ...position,
  };
}

function isUseless(
  { status, name, flushLsn }: PartialSegment,
  view: PartialView,
  wanted: string | undefined,
): boolean {
  if (status === 'deleting') return true;
  // An upload that was broken off: by a crash, since whoever plans has none under way.
  if (status === 'in-progress') return name !== wanted;
  const { segmentBytes } = view.persistent.server;
  const isWholeInBucket =
    segmentNumber(flushLsn, segmentBytes) < segmentNumber(view.persistent.backupLsn, segmentBytes);
  return isWholeInBucket && view.hasLocalWal;
}

function findUploaded(segments: readonly PartialSegment[], name: string): boolean {
  return segments.some((segment) => segment.status === 'uploaded' && segment.name === name);
}
