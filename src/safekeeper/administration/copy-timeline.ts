import { BadRequestError, CorruptionError, VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import { formatLsn, INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import { NO_MEMBERSHIP } from '../../contracts/membership.ts';
import type { TimelineKey } from '../../contracts/safekeeper-api.ts';
import { historyUpTo } from '../../contracts/term-history.ts';
import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalWorkspace } from '../../postgres/wal/workspace.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';
import { ControlFileStore } from '../control-file/control-file-store.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import { type Timelines, versionOf } from '../timeline/timelines.ts';
import { segmentBefore } from '../wal/cut-wal.ts';
import { readerAt } from '../wal/find-end.ts';
import { SegmentReader } from '../wal/segment-reader.ts';
import { WalDirectory } from '../wal/wal-directory.ts';
import { copyWal } from './copy-wal.ts';
import { checkGoesOn } from './digest.ts';
import { notConfigured, type WalBackup } from './extensions.ts';

export interface CopyDoors {
  readonly timelines: Timelines;
  readonly files: Files;
  readonly clock: Clock;
  readonly backup: WalBackup | undefined;
}

/**
 * Makes a timeline whose WAL is that of another one up to `untilLsn`, byte for byte. It has the other's terms up to
 * there, and no members: who they are is said later. Nothing of it is called backed up but what the bucket is made to
 * have of it, and no pageserver has anything of it. Does nothing where the target is there.
 *
 * @param untilLsn where a record ends, committed and durable here
 * @throws BadRequestError / BAD_COPY, ‘not-found’ / TIMELINE_DELETED for a target that was deleted, ‘unavailable’ /
 * NOT_CONFIGURED where WAL has been trimmed here and there is no bucket to copy it in
 */
export async function copyTimeline(
  source: ResidentTimeline,
  targetTimelineId: TimelineId,
  untilLsn: Lsn,
  doors: CopyDoors,
  signal: AbortSignal,
): Promise<void> {
  const { timelines, files, clock, backup } = doors;
  const { tenantId } = source;
  if (timelines.find(tenantId, targetTimelineId) !== undefined) return;
  const { acceptor } = source.acceptor;
  const state = acceptor.persistent;
  const { segmentBytes } = state.server;
  if (untilLsn > acceptor.commitLsn || untilLsn > acceptor.flushLsn || untilLsn < state.timelineStartLsn) {
    refuse(
      `WAL is committed from ${formatLsn(state.timelineStartLsn)} to ${formatLsn(acceptor.commitLsn)}`,
      untilLsn,
    );
  }
  if (state.timelineStartLsn === 0) refuse('the timeline has no WAL yet', untilLsn);
  const from = new WalDirectory(files, source.directory, segmentBytes);
  const isEmpty = untilLsn === state.localStartLsn;
  const oldestSegment = isEmpty ? undefined : source.acceptor.wal?.oldestLocalSegment;
  const firstSegment = oldestSegment ?? segmentNumber(state.timelineStartLsn, segmentBytes);
  if (oldestSegment !== undefined) await checkRecordEnd(source, from, oldestSegment, untilLsn);
  const check = (): void => checkGoesOn(source, signal);
  const remoteBelowLsn = remotePart(state, firstSegment);
  if (remoteBelowLsn !== undefined) {
    if (backup === undefined)
      throw notConfigured('an object store, which has the oldest WAL of this timeline,');
    const key = { tenant_id: tenantId, timeline_id: source.timelineId } satisfies TimelineKey;
    await backup.copyWholeSegments(key, targetTimelineId, remoteBelowLsn, signal);
  }
  await timelines.install(tenantId, targetTimelineId, 0, async (directory) => {
    if (oldestSegment !== undefined) {
      await copyWal(from, new WalDirectory(files, directory, segmentBytes), firstSegment, untilLsn, check);
    }
    const controlFile = new ControlFileStore(files, directory);
    await controlFile.load();
    await controlFile.save({
      ...copiedState(state, targetTimelineId, untilLsn),
      backupLsn: remoteBelowLsn ?? state.timelineStartLsn,
      createdAtMs: Math.floor(clock.wallMs()),
    });
  });
}

function copiedState(state: PersistentState, timelineId: TimelineId, untilLsn: Lsn): PersistentState {
  const termHistory = historyUpTo(state.termHistory, untilLsn);
  return {
    ...state,
    timelineId,
    membership: NO_MEMBERSHIP,
    term: termHistory.at(-1)?.term ?? 0,
    termHistory,
    commitLsn: untilLsn,
    peerHorizonLsn: state.timelineStartLsn,
    remoteConsistentLsn: INVALID_LSN,
    partialSegments: [],
    evictedAtLsn: undefined,
  };
}

/** Below it WAL is in the bucket only; undefined where all of it is here. */
function remotePart(
  { timelineStartLsn, localStartLsn, server }: PersistentState,
  firstSegment: number,
): Lsn | undefined {
  const { segmentBytes } = server;
  if (localStartLsn !== timelineStartLsn && segmentNumber(localStartLsn, segmentBytes) >= firstSegment) {
    // Of the segment in which WAL begins here, the beginning is not here.
    throw new VarveError(
      'precondition',
      'WAL_NOT_LOCAL',
      'WAL begins later here than the timeline: copy it on another safekeeper',
      { lsn: localStartLsn },
    );
  }
  const isWhole = firstSegment <= segmentNumber(timelineStartLsn, segmentBytes);
  return isWhole ? undefined : toLsn(firstSegment * segmentBytes);
}

/** A log that ends within a record could never be opened. */
async function checkRecordEnd(
  source: ResidentTimeline,
  directory: WalDirectory,
  oldestSegment: number,
  untilLsn: Lsn,
): Promise<void> {
  const { server, localStartLsn } = source.acceptor.acceptor.persistent;
  if (segmentBefore(untilLsn, directory.segmentBytes) < oldestSegment) {
    throw new VarveError('precondition', 'WAL_NOT_LOCAL', 'the WAL before this is not here any more', {
      lsn: untilLsn,
    });
  }
  const segments = new SegmentReader(directory);
  const place = {
    directory,
    segments,
    version: versionOf(server.pgVersion),
    systemIdentifier: server.systemIdentifier,
    workspace: new WalWorkspace(),
    localStartLsn,
    oldestSegment,
  };
  try {
    await readerAt(place, untilLsn);
  } catch (error) {
    if (!(error instanceof CorruptionError) || error.code !== 'NO_RECORD_END') throw error;
    refuse('no record ends there', untilLsn);
  } finally {
    await segments.forget();
  }
}

function refuse(reason: string, lsn: Lsn): never {
  throw new BadRequestError('BAD_COPY', `the WAL cannot be copied up to there: ${reason}`, { lsn });
}
