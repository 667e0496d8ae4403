import type { CheckPoint } from '../../postgres/files/checkpoint.ts';
import { multixactPrecedes, xidPrecedes } from '../../postgres/files/slru.ts';
import { XLOG_FPI, XLOG_FPI_FOR_HINT, xlogResourceManager } from '../../postgres/rmgr/xlog.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../../postgres/wal/record-header.ts';
import type { CheckpointCounters } from './checkpoint-counters.ts';
import { advanceNextMulti } from './next-ids.ts';

/** ActivateCommitTs: timestamps begin with the next transaction. */
export function activateCommitTimestamps(counters: CheckpointCounters): void {
  if (counters.oldestCommitTsXid !== 0) return;
  counters.oldestCommitTsXid = counters.nextXid >>> 0;
  counters.newestCommitTsXid = counters.oldestCommitTsXid;
}

/**
 * xlog_redo's part of `advanceCounters`. Records with nothing but images, which are frequent, are left at once.
 *
 * A server that starts with another full_page_writes than before logs that with its next checkpoint only, and an
 * online checkpoint may say what held before an FPW_CHANGE: so the flag may be older than the server's own.
 */
export function advanceByXlogRecord(counters: CheckpointCounters, record: DecodedRecord): void {
  const info = record.info & ~RECORD_INFO_MASK;
  if (info === XLOG_FPI || info === XLOG_FPI_FOR_HINT) return;
  const body = xlogResourceManager.decodeBody(record);
  switch (body.kind) {
    case 'CHECKPOINT_SHUTDOWN':
      takeShutdownCheckPoint(counters, body.checkPoint);
      break;
    case 'CHECKPOINT_ONLINE':
      takeOnlineCheckPoint(counters, body.checkPoint);
      break;
    case 'NEXTOID':
      counters.nextOid = body.nextOid;
      break;
    case 'FPW_CHANGE':
      counters.fullPageWrites = body.fullPageWrites;
      break;
    case 'PARAMETER_CHANGE': {
      const { kind: _kind, ...settings } = body;
      counters.settings = settings;
      if (settings.trackCommitTimestamp) {
        activateCommitTimestamps(counters);
      } else {
        counters.oldestCommitTsXid = 0;
        counters.newestCommitTsXid = 0;
      }
      break;
    }
    case 'END_OF_RECOVERY':
      takeWalLevel(counters, body.walLevel);
      break;
    case 'CHECKPOINT_REDO':
      takeWalLevel(counters, body.walLevel);
      break;
    default:
      break;
  }
}

function takeWalLevel(counters: CheckpointCounters, walLevel: number | undefined): void {
  if (walLevel !== undefined) counters.settings = { ...counters.settings, walLevel };
}

/** MultiXactAdvanceOldest. */
function advanceOldestMulti(counters: CheckpointCounters, checkPoint: CheckPoint): void {
  if (!multixactPrecedes(counters.oldestMulti, checkPoint.oldestMulti)) return;
  counters.oldestMulti = checkPoint.oldestMulti;
  counters.oldestMultiDb = checkPoint.oldestMultiDb;
}

/** Nothing else was going on when it was written: it is believed exactly. */
function takeShutdownCheckPoint(counters: CheckpointCounters, checkPoint: CheckPoint): void {
  counters.nextXid = checkPoint.nextXid;
  counters.nextOid = checkPoint.nextOid;
  counters.nextMulti = checkPoint.nextMulti;
  counters.nextMultiOffset = checkPoint.nextMultiOffset;
  advanceOldestMulti(counters, checkPoint);
  counters.oldestXid = checkPoint.oldestXid;
  counters.oldestXidDb = checkPoint.oldestXidDb;
  counters.oldestCommitTsXid = checkPoint.oldestCommitTsXid;
  counters.newestCommitTsXid = checkPoint.newestCommitTsXid;
  counters.fullPageWrites = checkPoint.fullPageWrites;
  takeWalLevel(counters, checkPoint.walLevel);
}

/** Its values are from some time between its redo position and the record: they only move counters forward. */
function takeOnlineCheckPoint(counters: CheckpointCounters, checkPoint: CheckPoint): void {
  if (counters.nextXid < checkPoint.nextXid) counters.nextXid = checkPoint.nextXid;
  advanceNextMulti(counters, checkPoint.nextMulti, checkPoint.nextMultiOffset);
  advanceOldestMulti(counters, checkPoint);
  if (xidPrecedes(counters.oldestXid, checkPoint.oldestXid)) {
    counters.oldestXid = checkPoint.oldestXid;
    counters.oldestXidDb = checkPoint.oldestXidDb;
  }
  if (!counters.settings.trackCommitTimestamp || checkPoint.oldestCommitTsXid === 0) return;
  if (xidPrecedes(counters.oldestCommitTsXid, checkPoint.oldestCommitTsXid)) {
    counters.oldestCommitTsXid = checkPoint.oldestCommitTsXid;
  }
  if (xidPrecedes(counters.newestCommitTsXid, checkPoint.newestCommitTsXid)) {
    counters.newestCommitTsXid = checkPoint.newestCommitTsXid;
  }
}
