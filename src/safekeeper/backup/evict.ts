import { CorruptionError } from '../../base/errors.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { WalDirectory } from '../wal/wal-directory.ts';
import type { Backup } from './backup.ts';
import { type EvictionView, findPartial, isAllUploaded } from './eviction-plan.ts';
import { segmentKey, timelinePrefix } from './object-names.ts';

/** What eviction and its plan look at. */
export function evictionViewOf(acceptor: Acceptor): EvictionView {
  const { persistent, log, lastLogTerm: term, flushLsn, commitLsn } = acceptor;
  return { persistent, log, position: { term, flushLsn, commitLsn } };
}

/**
 * Removes a timeline's local WAL, if the bucket has all of it and nobody uses the timeline. The control file says so
 * before the first file goes.
 *
 * @returns false if somebody uses the timeline, or it has changed meanwhile
 * @throws CorruptionError where the bucket has not what it should have; the timeline is as it was then
 */
export async function evict(timeline: Timeline, backup: Backup, signal: AbortSignal): Promise<boolean> {
  const { acceptor: opened } = timeline;
  if (opened === undefined || opened.failure !== undefined || timeline.isInUse) return false;
  const seen = evictionViewOf(opened.acceptor);
  if (!isAllUploaded(seen)) return false;
  await checkBucket(timeline, seen, backup, signal);
  let isEvicted = false;
  await timeline.whileUnused(async (acceptor) => {
    if (acceptor !== opened || acceptor.failure !== undefined) return;
    const now = evictionViewOf(acceptor.acceptor);
    // What was checked is what goes.
    if (!isAllUploaded(now) || now.position.flushLsn !== seen.position.flushLsn) return;
    await evictNow(timeline, acceptor, backup);
    isEvicted = true;
  });
  return isEvicted;
}

async function evictNow(timeline: Timeline, acceptor: DurableAcceptor, backup: Backup): Promise<void> {
  const { metrics } = backup;
  metrics.evictionEventsStarted.of('evict').increment();
  await acceptor.run((it) => it.updateStorage({ evictedAtLsn: it.flushLsn }));
  await acceptor.reopen();
  await removeEvictedWal(timeline, acceptor, backup);
  metrics.evictionEventsCompleted.of('evict').increment();
}

/** Removes what is left of the local WAL of an evicted timeline that nobody uses. It may be gone already. */
export async function removeEvictedWal(
  timeline: Timeline,
  { acceptor }: DurableAcceptor,
  { files, deletesOffloadedWal }: Backup,
): Promise<void> {
  const { evictedAtLsn, server } = acceptor.persistent;
  if (evictedAtLsn === undefined || !deletesOffloadedWal) return;
  await removeSegments(new WalDirectory(files, timeline.directory, server.segmentBytes));
}

/** Removes all segments of a directory, durably. */
export async function removeSegments(directory: WalDirectory): Promise<void> {
  const segments = await directory.list();
  for (const segment of segments) await directory.remove(segment);
  if (segments.length > 0) await directory.sync();
}

/** Asks the bucket for each segment that is about to be removed here. */
async function checkBucket(
  timeline: Timeline,
  { persistent, position }: EvictionView,
  { objects, files }: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { segmentBytes } = persistent.server;
  const { flushLsn } = position;
  const check = async (key: string, sizeBytes: number): Promise<void> => {
    const status = await objects.head(key, signal);
    if (status?.sizeBytes === sizeBytes) return;
    const found = status === undefined ? 'is not there' : `has ${status.sizeBytes} bytes`;
    throw new CorruptionError(
      'WAL_OBJECT_MISSING',
      `an object of ${sizeBytes} bytes was uploaded, and ${found}`,
      {
        file: key,
      },
    );
  };
  for (const { segment } of await new WalDirectory(files, timeline.directory, segmentBytes).list()) {
    if ((segment + 1) * segmentBytes > flushLsn) continue;
    await check(segmentKey(timeline, segment, segmentBytes), segmentBytes);
  }
  const partial = findPartial(persistent.partialSegments, position);
  if (flushLsn % segmentBytes !== 0 && partial !== undefined) {
    await check(timelinePrefix(timeline) + partial.name, flushLsn % segmentBytes);
  }
}
