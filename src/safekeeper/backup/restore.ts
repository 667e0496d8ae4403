import { CorruptionError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { segmentBefore } from '../wal/cut-wal.ts';
import { WalDirectory } from '../wal/wal-directory.ts';
import type { Backup } from './backup.ts';
import { translateMissing } from './bucket-reader.ts';
import { removeSegments } from './evict.ts';
import { findPartial } from './eviction-plan.ts';
import { segmentKey, timelinePrefix } from './object-names.ts';
import { WalVerifier } from './wal-verifier.ts';

/** The object with the end of a timeline's WAL, and what it is. */
interface LastSegment {
  readonly key: string;
  readonly segment: number;
  readonly segmentLsn: number;
  readonly endLsn: Lsn;
}

/**
 * Brings the end of evicted WAL back from the bucket, so that more can be appended; older WAL stays there, and is read
 * there. It comes under another name first, and is decoded before it counts. A crash leaves the timeline evicted, or
 * restored.
 *
 * @throws CorruptionError where the object is missing or damaged; the timeline stays evicted then
 */
export async function restore(
  timeline: Timeline,
  acceptor: DurableAcceptor,
  backup: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { files, metrics } = backup;
  metrics.evictionEventsStarted.of('restore').increment();
  const { segmentBytes } = acceptor.acceptor.persistent.server;
  const last = findLastSegment(timeline, acceptor);
  const directory = new WalDirectory(files, timeline.directory, segmentBytes);
  const temporaryPath = `${timeline.directory}/restored-segment${TEMPORARY_SUFFIX}`;
  await download(acceptor, last, temporaryPath, backup, signal);
  // Eviction may have been broken off before all was gone.
  await removeSegments(directory);
  const isWhole = last.endLsn % segmentBytes === 0;
  const path = isWhole ? directory.completePath(last.segment) : directory.partialPath(last.segment);
  await files.rename(temporaryPath, path);
  await directory.sync();
  await acceptor.run((it) => it.updateStorage({ evictedAtLsn: undefined }));
  await acceptor.reopen();
  metrics.evictionEventsCompleted.of('restore').increment();
}

function findLastSegment(timeline: Timeline, { acceptor }: DurableAcceptor): LastSegment {
  const { persistent, lastLogTerm: term, flushLsn, commitLsn } = acceptor;
  const { segmentBytes } = persistent.server;
  const segment = segmentBefore(flushLsn, segmentBytes);
  const place = { segment, segmentLsn: segment * segmentBytes, endLsn: flushLsn };
  if (flushLsn % segmentBytes === 0) return { ...place, key: segmentKey(timeline, segment, segmentBytes) };
  const partial = findPartial(persistent.partialSegments, { flushLsn, commitLsn, term });
  if (partial !== undefined) return { ...place, key: timelinePrefix(timeline) + partial.name };
  throw new CorruptionError(
    'NO_PARTIAL_SEGMENT',
    `the WAL was evicted at ${formatLsn(flushLsn)}, and the control file names no object that goes so far`,
    { file: timeline.directory, lsn: flushLsn },
  );
}

async function download(
  { acceptor }: DurableAcceptor,
  { key, segmentLsn, endLsn }: LastSegment,
  path: string,
  { objects, files, workspace, clock }: Backup,
  signal: AbortSignal,
): Promise<void> {
  const { persistent } = acceptor;
  const verifier = new WalVerifier({ kind: persistent, workspace, segmentLsn, endLsn, place: key });
  await using file = await files.openForUpdate(path);
  // All zeros but for what comes.
  await file.resize(0);
  await file.resize(persistent.server.segmentBytes);
  try {
    for await (const piece of objects.getStream(key, { signal })) {
      const offset = verifier.position - segmentLsn;
      verifier.feed(piece);
      await file.write(piece, 0, piece.length, offset);
      await clock.yieldToOthers();
    }
  } catch (error) {
    throw translateMissing(error, key, endLsn);
  }
  verifier.finish();
  await file.sync();
}
