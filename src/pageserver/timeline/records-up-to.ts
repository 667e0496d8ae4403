import {
  decodeRecordPositions,
  type RecordPosition,
  RecordPositions,
  recordPositionsKey,
} from '../layers/record-positions.ts';
import type { TimelineReader } from '../read/timeline-reader.ts';
import type { Timeline } from './timeline.ts';

/**
 * All records that begin in a stretch of WAL and end at or below `lsn`, the ancestors' among them. Their list is stored a
 * little after they are, so what each timeline has of it is read as of its last record.
 */
export async function recordsUpTo(
  timeline: Timeline,
  stretch: number,
  lsn: number,
  readerOf: (timeline: Timeline) => TimelineReader,
): Promise<RecordPosition[]> {
  const { ancestor, ancestorTimeline } = timeline;
  const branchLsn = ancestor?.lsn ?? 0;
  const shared =
    ancestorTimeline === undefined
      ? []
      : await recordsUpTo(ancestorTimeline, stretch, Math.min(lsn, branchLsn), readerOf);
  if (lsn <= branchLsn) return shared;
  const value = await readerOf(timeline).readValue(recordPositionsKey(stretch), timeline.lastRecordLsn);
  if (value === undefined) return shared;
  const own = decodeRecordPositions(stretch, value).filter(
    ({ endLsn }) => endLsn > branchLsn && endLsn <= lsn,
  );
  return [...shared, ...own];
}

/** The list of records as it is stored. */
export function encodeRecords(stretch: number, records: readonly RecordPosition[]): Uint8Array {
  const positions = new RecordPositions();
  positions.begin(stretch);
  for (const { startLsn, endLsn } of records) positions.add(startLsn, endLsn);
  return positions.bytes.slice(0, positions.length);
}
