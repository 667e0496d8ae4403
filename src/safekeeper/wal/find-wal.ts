import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { segmentBefore } from './cut-wal.ts';
import { findEndOfWal, readerAt, type ScanPlace } from './find-end.ts';
import { rewriteTail } from './rewrite-tail.ts';

/** What a directory holds. */
export interface FoundWal {
  readonly endLsn: Lsn;
  /** The first of the segments that are there without a gap up to the commit LSN. */
  readonly oldestSegment: number;
  /** There are segments below it, of no use. */
  readonly hasStraySegments: boolean;
}

/**
 * Finds where the WAL in a directory ends, at the commit LSN or behind it, and makes it durable up to there. Undefined
 * where there is none and need not be any.
 *
 * @throws CorruptionError where WAL does not go up to the commit LSN
 */
export async function findWal(
  place: Omit<ScanPlace, 'oldestSegment'>,
  commitLsn: Lsn,
): Promise<FoundWal | undefined> {
  const { directory, localStartLsn } = place;
  const { segmentBytes } = directory;
  const segments = await directory.list();
  if (segments.length === 0 && commitLsn <= localStartLsn) return undefined;
  const startLsn = commitLsn > localStartLsn ? commitLsn : localStartLsn;
  const numbers = new Set(segments.map(({ segment }) => segment));
  // Where a segment has just been completed there need not be another.
  let oldestSegment = segmentNumber(startLsn, segmentBytes);
  if (!numbers.has(oldestSegment)) oldestSegment = segmentBefore(startLsn, segmentBytes);
  if (!numbers.has(oldestSegment)) {
    throw new CorruptionError('WAL_MISSING', 'the segment that WAL is committed to is not there', {
      file: directory.completePath(oldestSegment),
      lsn: startLsn,
    });
  }
  while (numbers.has(oldestSegment - 1)) oldestSegment--;
  const hasStraySegments = (segments[0]?.segment ?? oldestSegment) < oldestSegment;
  const reader = await readerAt({ ...place, oldestSegment }, startLsn);
  const endLsn = await findEndOfWal({ ...place, oldestSegment }, reader);
  if (endLsn > startLsn) await rewriteTail(directory, segments, startLsn, endLsn);
  return { endLsn, oldestSegment, hasStraySegments };
}
