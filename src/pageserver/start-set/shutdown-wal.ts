import type { Lsn } from '../../base/lsn.ts';
import { CHECKPOINT_BYTES, type CheckPoint, encodeCheckPoint } from '../../postgres/files/checkpoint.ts';
import { RM_XLOG } from '../../postgres/rmgr/resource-manager.ts';
import { XLOG_CHECKPOINT_SHUTDOWN } from '../../postgres/rmgr/xlog.ts';
import type { CheckpointCounters } from '../../redo/effects/checkpoint-counters.ts';
import { makeShutdownCheckPoint } from '../../redo/effects/counters.ts';
import type { ClusterFile } from './cluster-file.ts';
import { toSegmentFiles, WAL_TIMELINE_ID, type WalIdentity, writerAt } from './local-wal.ts';

export interface MadeUpWal {
  /** Where the checkpoint's record begins. */
  readonly checkPointLsn: Lsn;
  readonly checkPoint: CheckPoint;
  readonly files: readonly ClusterFile[];
}

/**
 * The WAL of a server that was shut down at the end of a record: the shutdown checkpoint that comes next. It depends on
 * nothing but its arguments, so two starts at one LSN write the same bytes. It may lie in two segments.
 *
 * @param recordEndLsn first aligned LSN past the last record
 * @param previousRecordLsn where that record begins: the link back to it must be exact, or a standby stops here later
 * @param timeSeconds of the checkpoint, since 1970
 */
export function makeShutdownWal(
  identity: WalIdentity,
  recordEndLsn: Lsn,
  previousRecordLsn: Lsn,
  counters: CheckpointCounters,
  timeSeconds: bigint,
): MadeUpWal {
  const writer = writerAt(identity, recordEndLsn, previousRecordLsn);
  const checkPointLsn = writer.nextLsn;
  const checkPoint = makeShutdownCheckPoint(counters, checkPointLsn, WAL_TIMELINE_ID, timeSeconds);
  writer.append({
    resourceManager: RM_XLOG,
    info: XLOG_CHECKPOINT_SHUTDOWN,
    mainData: encodedCheckPoint(identity, checkPoint),
  });
  return { checkPointLsn, checkPoint, files: toSegmentFiles(identity, writer, recordEndLsn) };
}

export function encodedCheckPoint(identity: WalIdentity, checkPoint: CheckPoint): Uint8Array {
  const bytes = new Uint8Array(CHECKPOINT_BYTES);
  encodeCheckPoint(identity.version, checkPoint, new DataView(bytes.buffer), 0);
  return bytes;
}
