import { type Lsn, toLsn } from '../../base/lsn.ts';
import {
  CONTROL_FILE_PATH,
  type ControlFile,
  encodeControlFile,
  type ParameterSettings,
} from '../../postgres/files/control-file.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { type ClusterFile, wholeFile } from './cluster-file.ts';
import { WAL_TIMELINE_ID } from './local-wal.ts';
import type { MadeUpWal } from './shutdown-wal.ts';

/** FirstNormalUnloggedLSN (xlogdefs.h). */
const FIRST_UNLOGGED_LSN = 1000;

/**
 * pg_control for a start from made-up WAL. What never changes is the initial cluster's.
 * @param consistentLsn for a standby: up to where its local WAL must be replayed; undefined for a server that was shut down
 */
export function makeStartControlFile(
  version: PostgresVersion,
  initial: ControlFile,
  settings: ParameterSettings,
  wal: MadeUpWal,
  consistentLsn: Lsn | undefined,
): ClusterFile {
  const none = toLsn(0);
  const control: ControlFile = {
    ...initial,
    ...settings,
    state: consistentLsn === undefined ? 'shut down' : 'in archive recovery',
    time: wal.checkPoint.time,
    checkPoint: wal.checkPointLsn,
    checkPointCopy: wal.checkPoint,
    unloggedLsn: toLsn(FIRST_UNLOGGED_LSN),
    minRecoveryPoint: consistentLsn ?? none,
    minRecoveryPointTimelineId: consistentLsn === undefined ? 0 : WAL_TIMELINE_ID,
    backupStartPoint: none,
    backupEndPoint: none,
    backupEndRequired: false,
  };
  return wholeFile(CONTROL_FILE_PATH, encodeControlFile(version, control));
}
