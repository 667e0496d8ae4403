import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import type { ImportWalQuery } from '../../contracts/pageserver-api-timeline.ts';
import type { Files } from '../../io/files.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import { parseSegmentName } from '../../postgres/wal/segment-name.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { placeInWal } from './cluster-archive.ts';
import { type ArchiveTarget, receiveArchive } from './receive-archive.ts';
import { blameSender } from './refusal.ts';
import {
  POSTGRES_TIMELINE,
  type SegmentFiles,
  segmentsBetween,
  takeSegments,
  verifySegments,
} from './segment-files.ts';

/** Within a timeline's directory. What an earlier process has left there goes when the timeline is loaded. */
const WAL_IMPORT_DIRECTORY = `imported-wal${TEMPORARY_SUFFIX}`;

/** Timelines for which somebody is sending WAL. */
const receiving = new WeakSet<Timeline>();

/**
 * Takes WAL in that comes as segments in a tar archive, and goes on exactly where the timeline ends. All of it is looked
 * through before, and is durable in the store when this resolves.
 *
 * @param signal given when whoever sends it has gone
 * @throws VarveError ‘precondition’ / WRONG_START_LSN; ‘conflict’ / IMPORT_UNDER_WAY, WAL_COMES_FROM_ELSEWHERE;
 *   BadRequestError where the archive or the WAL is damaged, of another system or timeline, or does not reach to `end_lsn`:
 *   then nothing has been taken in. What the disk or the store fail of, and ‘cancelled’: the timeline's last record says how
 *   far it has come
 */
export async function importWal(
  files: Files,
  { timeline }: ActiveTimeline,
  query: ImportWalQuery,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  checkRange(timeline, query);
  if (receiving.has(timeline)) {
    throw new VarveError('conflict', 'IMPORT_UNDER_WAY', 'somebody else is sending WAL for this timeline');
  }
  receiving.add(timeline);
  const directory = `${timeline.directory}/${WAL_IMPORT_DIRECTORY}`;
  try {
    // All that is awaited obeys the timeline's signal, or is the disk.
    using _pass = timeline.enter();
    try {
      await blameSender(() => receiveAndTake(files, timeline, query, tar, directory, signal));
    } finally {
      await files.removeDirectory(directory);
    }
  } finally {
    receiving.delete(timeline);
  }
}

async function receiveAndTake(
  files: Files,
  timeline: Timeline,
  query: ImportWalQuery,
  tar: AsyncIterable<Uint8Array>,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  const either = AbortSignal.any([signal, timeline.signal]);
  const { version, walSegmentBytes: segmentBytes, systemIdentifier } = timeline;
  const { start_lsn: startLsn, end_lsn: endLsn } = query;
  const wal: SegmentFiles = {
    files,
    directory,
    version,
    segmentBytes,
    systemIdentifier,
    startLsn,
    endLsn,
  };
  await files.makeDirectory(directory);
  await receiveArchive(tar, targetOf(wal), either);
  if (endLsn === startLsn) return;
  await verifySegments(wal, () => undefined, either);
  checkRange(timeline, query);
  await takeSegments(wal, timeline, either);
  await timeline.flush();
  await timeline.remote.waitForUploads(either);
}

function targetOf({ files, directory, segmentBytes, startLsn, endLsn }: SegmentFiles): ArchiveTarget {
  const [first, last] = segmentsBetween(startLsn, endLsn, segmentBytes);
  const isWanted = (name: string): boolean => {
    const { timelineId, segment } = parseSegmentName(name, segmentBytes);
    return timelineId === POSTGRES_TIMELINE && segment >= first && segment <= last;
  };
  return { files, directory, placeOf: (entry) => placeInWal(isWanted, segmentBytes, entry) };
}

function checkRange({ lastRecordLsn }: Timeline, { start_lsn, end_lsn }: ImportWalQuery): void {
  if (end_lsn < start_lsn) throw new BadRequestError('BAD_RANGE', 'the end is before the beginning');
  if (start_lsn === lastRecordLsn) return;
  throw new VarveError(
    'precondition',
    'WRONG_START_LSN',
    `the timeline ends at ${formatLsn(lastRecordLsn)}, and the WAL begins at ${formatLsn(start_lsn)}`,
  );
}
