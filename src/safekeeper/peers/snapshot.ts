import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { tarEnd, tarHeader, tarPadding } from '../../base/tar/tar-writer.ts';
import type { TimelineKey } from '../../contracts/safekeeper-api.ts';
import type { Files } from '../../io/files.ts';
import { encodeControlFile } from '../control-file/control-file-codec.ts';
import { CONTROL_FILE_NAME } from '../control-file/control-file-store.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import type { Timelines } from '../timeline/timelines.ts';
import { segmentBefore } from '../wal/cut-wal.ts';
import { WalDirectory } from '../wal/wal-directory.ts';

const CHUNK_BYTES = 128 * 1024;

export interface SnapshotDoors {
  readonly timelines: Timelines;
  readonly files: Files;
  /** No WAL of the timeline is trimmed here until the result is disposed of. */
  readonly holdRemoval: (timeline: Timeline) => Disposable;
}

/**
 * A timeline as a tar archive: its control file, then its segments from the oldest one here up to what was flushed when
 * it began. WAL that is in the bucket only is brought back first, so that the copy needs nothing of this safekeeper's
 * there. The archive has its end only if nothing of what is in it was cut meanwhile.
 *
 * Resolves when the timeline could be opened.
 */
export async function snapshotTimeline(
  { timelines, files, holdRemoval }: SnapshotDoors,
  { tenant_id, timeline_id }: TimelineKey,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const timeline = timelines.get(tenant_id, timeline_id);
  // Whoever never reads the archive never holds the timeline: it is opened once more by the first read.
  using _isThere = await timeline.stay('wal');
  return (async function* archive(): AsyncGenerator<Uint8Array> {
    using resident = await timeline.stay('wal');
    using _held = holdRemoval(timeline);
    yield* archiveOf(resident, files, signal);
  })();
}

async function* archiveOf(
  timeline: ResidentTimeline,
  files: Files,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { acceptor } = timeline;
  await acceptor.run((it) => it.save());
  const { persistent: state, flushLsn } = acceptor.acceptor;
  const check = (): void => checkGoesOn(timeline, state.termHistory.at(-1)?.term, flushLsn, signal);
  const oldest = acceptor.wal?.oldestLocalSegment;
  const control = encodeControlFile({ ...state, partialSegments: [], evictedAtLsn: undefined });
  yield tarHeader({ name: CONTROL_FILE_NAME, sizeBytes: control.length });
  yield control;
  yield tarPadding(control.length);
  if (oldest !== undefined) {
    const directory = new WalDirectory(files, timeline.directory, state.server.segmentBytes);
    const last = segmentBefore(flushLsn, directory.segmentBytes);
    for (let segment = oldest; segment <= last; segment++) {
      yield* segmentOf(timeline, directory, segment, flushLsn, check);
    }
  }
  // If a cut is under way, this waits until its end.
  await acceptor.exclusively(async () => check());
  yield tarEnd();
}

/** One segment, up to `endLsn` if that is in it. Nothing if it is trimmed just then: nobody needs it any more. */
async function* segmentOf(
  timeline: ResidentTimeline,
  directory: WalDirectory,
  segment: number,
  endLsn: Lsn,
  check: () => void,
): AsyncGenerator<Uint8Array> {
  const { acceptor } = timeline;
  const { segmentBytes } = directory;
  const sizeBytes = Math.min(segmentBytes, endLsn - segment * segmentBytes);
  const path = sizeBytes === segmentBytes ? directory.completePath(segment) : directory.partialPath(segment);
  await using file = await directory.open(segment);
  if (file === undefined && segment < (acceptor.wal?.oldestLocalSegment ?? 0)) return;
  if (file !== undefined) yield tarHeader({ name: path.slice(directory.path.length + 1), sizeBytes });
  for (let at = 0; at < sizeBytes; ) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, sizeBytes - at));
    const count = (await file?.read(chunk, 0, chunk.length, at)) ?? 0;
    check();
    if (count < chunk.length) {
      // A cut that is under way may be the reason: it is known when it is done.
      await acceptor.exclusively(async () => check());
      throw new CorruptionError('WAL_MISSING', 'a segment is missing or too short', {
        file: path,
        offset: at + count,
      });
    }
    yield chunk;
    at += count;
  }
  yield tarPadding(sizeBytes);
}

/** What is flushed is only cut where another term begins. */
function checkGoesOn(
  { acceptor, signal: life }: ResidentTimeline,
  lastTerm: number | undefined,
  flushLsn: Lsn,
  signal: AbortSignal,
): void {
  if (life.aborted || signal.aborted)
    throw new VarveError('cancelled', 'CLOSING', 'the snapshot is broken off');
  if (acceptor.failure !== undefined) throw acceptor.failure;
  const { persistent, flushLsn: nowLsn } = acceptor.acceptor;
  if (persistent.termHistory.at(-1)?.term === lastTerm && nowLsn >= flushLsn) return;
  throw new VarveError('unavailable', 'WAL_TRUNCATED', 'another proposer was elected while WAL was copied', {
    lsn: nowLsn,
  });
}
