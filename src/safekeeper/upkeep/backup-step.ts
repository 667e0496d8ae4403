import type { Backup } from '../backup/backup.ts';
import { chooseUploader } from '../backup/choose-uploader.ts';
import { cleanPartials, uploadPartial } from '../backup/partial-backup.ts';
import { type PartialPlan, planPartial, type SegmentRange, segmentsToUpload } from '../backup/upload-plan.ts';
import { uploadSegments } from '../backup/upload-segments.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { PeerTable } from '../timeline/peer-info.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';

export interface BackupView {
  readonly nodeId: number;
  readonly durable: DurableAcceptor;
  readonly peers: PeerTable;
  readonly nowMs: number;
  /** For how long the log has been where it is. */
  readonly unchangedMs: number;
  /** After how long the last segment is uploaded. */
  readonly timeoutMs: number;
}

/** What is to be done next about a timeline's WAL in the bucket. */
export interface BackupStep {
  /** This safekeeper is the one that uploads whole segments. */
  readonly isUploader: boolean;
  /** Whole segments to upload, by this safekeeper. They come first. */
  readonly segments: SegmentRange | undefined;
  /** There are some, and another safekeeper is to do it. */
  readonly isUploadPending: boolean;
  readonly partial: PartialPlan;
}

export function planBackup({
  nodeId,
  durable,
  peers,
  nowMs,
  unchangedMs,
  timeoutMs,
}: BackupView): BackupStep {
  const { acceptor, wal } = durable;
  const { persistent, backupLsn, commitLsn, flushLsn, lastLogTerm: term } = acceptor;
  const { tenantId, timelineId, localStartLsn, server } = persistent;
  const partial = planPartial({
    nodeId,
    persistent,
    position: { term, flushLsn, commitLsn },
    hasLocalWal: wal !== undefined && wal.writeLsn !== 0,
    unchangedMs,
    timeoutMs,
  });
  if (wal === undefined) return { isUploader: false, segments: undefined, isUploadPending: false, partial };
  const uploader = chooseUploader({
    timelineId,
    backupLsn,
    self: { nodeId, commitLsn, localStartLsn },
    peers: peers.peersOf(tenantId, timelineId),
    nowMs,
  });
  const isUploader = uploader === nodeId;
  const range = segmentsToUpload(backupLsn, commitLsn, server.segmentBytes);
  return {
    isUploader,
    segments: isUploader ? range : undefined,
    isUploadPending: range !== undefined && !isUploader,
    partial,
  };
}

/** @returns false if there was nothing to do */
export async function carryOut(
  { segments, partial }: BackupStep,
  timeline: ResidentTimeline,
  backup: Backup,
  signal: AbortSignal,
): Promise<boolean> {
  if (segments !== undefined) await uploadSegments(timeline, segments, backup, signal);
  else if (partial.kind === 'upload') await uploadPartial(timeline, partial.segment, backup, signal);
  else if (partial.kind === 'clean') await cleanPartials(timeline, partial.names, backup, signal);
  else return false;
  return true;
}
