import {
  decodeRecordPositions,
  type RecordPosition,
  RecordPositions,
  recordPositionsKey,
  STRETCH_BYTES,
  stretchOf,
} from '../layers/record-positions.ts';
import type { TimelineReader } from '../read/timeline-reader.ts';
import type { Timeline } from './timeline.ts';

/** How a timeline is read. */
export type ReaderOf = (timeline: Timeline) => TimelineReader;

/**
 * All records that begin in a stretch of WAL and end at or below `lsn`, the ancestors' among them. Their list is stored a
 * little after they are, so what each timeline has of it is read as of its last record; and what a timeline was given of
 * former ancestors, as of where it left them, since what it made above may lack it.
 */
export async function recordsUpTo(
  timeline: Timeline,
  stretch: number,
  lsn: number,
  readerOf: ReaderOf,
): Promise<RecordPosition[]> {
  const { ancestor, ancestorTimeline, lastRecordLsn } = timeline;
  const records: RecordPosition[] = [];
  const branchLsn = ancestor?.lsn ?? 0;
  const edges = ancestorTimeline === undefined ? timeline.edgeLsns : [branchLsn];
  let upper: number = Math.max(lastRecordLsn, lsn);
  for (const lower of [...edges, 0]) {
    // An edge above one that has been is of no former ancestor of the timeline's.
    if (lower >= upper && lower > 0) continue;
    const isInherited = lower === 0 && ancestorTimeline !== undefined;
    if (isInherited) {
      records.unshift(...(await recordsUpTo(ancestorTimeline, stretch, Math.min(lsn, branchLsn), readerOf)));
    } else if (lsn > lower && upper > stretch * STRETCH_BYTES && stretch >= stretchOf(lower)) {
      const at = Math.min(upper, lastRecordLsn);
      const value = await readerOf(timeline).readValue(recordPositionsKey(stretch), at);
      const found = value === undefined ? [] : decodeRecordPositions(stretch, value);
      records.unshift(...found.filter(({ endLsn }) => endLsn > lower && endLsn <= Math.min(lsn, upper)));
    }
    upper = lower;
  }
  return records;
}

/** The last record that ends at or below an LSN, the ancestors' among them; undefined where there is none. */
export async function findRecordBefore(
  timeline: Timeline,
  lsn: number,
  readerOf: ReaderOf,
): Promise<RecordPosition | undefined> {
  let root = timeline;
  while (root.ancestorTimeline !== undefined) root = root.ancestorTimeline;
  for (let stretch = stretchOf(lsn); stretch >= stretchOf(root.initialLsn); stretch--) {
    const found = (await recordsUpTo(timeline, stretch, lsn, readerOf)).at(-1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The list of records as it is stored. */
export function encodeRecords(stretch: number, records: readonly RecordPosition[]): Uint8Array {
  const positions = new RecordPositions();
  positions.begin(stretch);
  for (const { startLsn, endLsn } of records) positions.add(startLsn, endLsn);
  return positions.bytes.slice(0, positions.length);
}
