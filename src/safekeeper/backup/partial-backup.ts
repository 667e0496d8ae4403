/**
 * Uploads of the last, unfinished segment of a timeline that nobody writes to. The control file names an object before
 * it is there, and until it is gone: whatever crashes come between, nothing is left in the bucket that it does not name.
 */
import { VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import type { PartialSegment } from '../consensus/persistent-state.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import type { Backup } from './backup.ts';
import { isPartialOf, timelinePrefix } from './object-names.ts';
import { walBody } from './wal-body.ts';

/** @throws what the disk, the bucket or the signal fail with; WAL_CUT (`unavailable`) if the log changed meanwhile */
export async function uploadPartial(
  timeline: ResidentTimeline,
  segment: PartialSegment,
  backup: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { uploads, metrics } = backup;
  const { name } = segment;
  try {
    await change(timeline.acceptor, (segments) => [
      ...segments.filter((other) => other.name !== name),
      { ...segment, status: 'in-progress' },
    ]);
    const sizeBytes = await uploads.run(signal, () => put(timeline, segment, backup, signal));
    checkUnchanged(timeline.acceptor, segment);
    await change(timeline.acceptor, (segments) => [
      ...segments
        .filter((other) => other.name !== name)
        .map((other) => ({ ...other, status: 'deleting' as const })),
      { ...segment, status: 'uploaded' },
    ]);
    metrics.partialBackupUploads.of('ok').increment();
    metrics.partialBackupUploadedBytes.add(sizeBytes);
  } catch (error) {
    if (!signal.aborted) metrics.partialBackupUploads.of('error').increment();
    throw error;
  }
}

/** Removes partial segments that this safekeeper has made, and forgets those of others, which are theirs. */
export async function cleanPartials(
  timeline: ResidentTimeline,
  names: readonly string[],
  { objects, nodeId }: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { acceptor } = timeline;
  const isNamed = ({ name }: PartialSegment): boolean => names.includes(name);
  await change(acceptor, (segments) =>
    segments.map((segment) => (isNamed(segment) ? { ...segment, status: 'deleting' } : segment)),
  );
  const prefix = timelinePrefix(timeline);
  const own = names.filter((name) => isPartialOf(name, nodeId));
  if (own.length > 0)
    await objects.remove(
      own.map((name) => prefix + name),
      signal,
    );
  await change(acceptor, (segments) =>
    segments.filter((segment) => !isNamed(segment) || segment.status !== 'deleting'),
  );
}

/**
 * Forgets all partial segments, and returns their names. The objects stay in the bucket, where somebody may want to
 * look at them. Evicted WAL is brought back first.
 */
export async function resetPartialBackup(timeline: Timeline): Promise<string[]> {
  using resident = await timeline.stay('wal');
  return resident.acceptor.run(function* (acceptor) {
    const names = acceptor.persistent.partialSegments.map(({ name }) => name);
    if (names.length > 0) yield* acceptor.updateStorage({ partialSegments: [] });
    return names;
  });
}

async function put(
  timeline: ResidentTimeline,
  { name, flushLsn }: PartialSegment,
  { objects }: Backup,
  signal: AbortSignal,
): Promise<number> {
  const { wal, acceptor } = timeline.acceptor;
  if (wal === undefined) throw changed(flushLsn);
  const { persistent } = acceptor;
  const startLsn = toLsn(flushLsn - (flushLsn % persistent.server.segmentBytes));
  await objects.put(timelinePrefix(timeline) + name, walBody(wal, startLsn, flushLsn, persistent), {
    signal,
  });
  return flushLsn - startLsn;
}

/**
 * Uncommitted WAL may have been cut and other WAL written in its place while it was read. It would be of a higher term,
 * or not as long.
 */
function checkUnchanged({ acceptor }: DurableAcceptor, { flushLsn, term }: PartialSegment): void {
  if (acceptor.flushLsn >= flushLsn && acceptor.lastLogTerm === term) return;
  throw changed(flushLsn);
}

function changed(lsn: PartialSegment['flushLsn']): VarveError {
  return new VarveError('unavailable', 'WAL_CUT', 'WAL was cut while it was uploaded', { lsn });
}

/** Changes what the control file says of partial segments, as it is when it is this change's turn. */
async function change(
  durable: DurableAcceptor,
  action: (segments: readonly PartialSegment[]) => readonly PartialSegment[],
): Promise<void> {
  await durable.run((acceptor) =>
    acceptor.updateStorage({ partialSegments: action(acceptor.persistent.partialSegments) }),
  );
}
