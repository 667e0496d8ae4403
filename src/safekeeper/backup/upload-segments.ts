import { VarveError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import type { Backup } from './backup.ts';
import { segmentKey } from './object-names.ts';
import type { SegmentRange } from './upload-plan.ts';
import { walBody } from './wal-body.ts';

/**
 * Uploads the first of these whole segments, as many at once as there may be uploads, and notes how far the bucket now
 * has WAL without a gap. An object that is there already is replaced by the same bytes.
 *
 * @throws what the disk, the bucket or the signal fail with. What went up before the first failure counts.
 */
export async function uploadSegments(
  timeline: ResidentTimeline,
  { first, end }: SegmentRange,
  backup: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { uploads, metrics } = backup;
  const { segmentBytes } = timeline.acceptor.acceptor.persistent.server;
  const count = Math.min(end - first, uploads.limit);
  const results = await Promise.allSettled(
    Array.from({ length: count }, (_, index) =>
      uploads.run(signal, () => uploadSegment(timeline, first + index, backup, signal)),
    ),
  );
  const failed = results.findIndex(({ status }) => status === 'rejected');
  const uploaded = failed < 0 ? count : failed;
  if (uploaded > 0) {
    metrics.backedUpSegments.add(uploaded);
    const backupLsn = toLsn((first + uploaded) * segmentBytes);
    await timeline.acceptor.run((acceptor) => acceptor.recordBackup(backupLsn));
  }
  const failure = results[failed];
  if (failure?.status !== 'rejected') return;
  if (!signal.aborted) metrics.backupErrors.increment();
  throw failure.reason;
}

async function uploadSegment(
  timeline: ResidentTimeline,
  segment: number,
  { objects }: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { acceptor, wal } = timeline.acceptor;
  if (wal === undefined) {
    throw new VarveError('unavailable', 'TIMELINE_EVICTED', 'the WAL of this timeline is in the bucket');
  }
  const { persistent } = acceptor;
  const { segmentBytes } = persistent.server;
  const startLsn = toLsn(segment * segmentBytes);
  const body = walBody(wal, startLsn, toLsn(startLsn + segmentBytes), persistent);
  await objects.put(segmentKey(timeline, segment, segmentBytes), body, { signal });
}
