import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { CheckPoint } from '../../postgres/files/checkpoint.ts';
import type { ControlFile } from '../../postgres/files/control-file.ts';
import { FIRST_NORMAL_XID, xidPrecedes } from '../../postgres/files/slru.ts';
import { CLOG_TRUNCATE, clogResourceManager } from '../../postgres/rmgr/clog.ts';
import { COMMIT_TS_TRUNCATE, commitTimestampResourceManager } from '../../postgres/rmgr/commit-timestamp.ts';
import {
  MULTIXACT_CREATE_MEMBERS,
  MULTIXACT_CREATE_MID,
  MULTIXACT_CREATE_MOFF,
  MULTIXACT_CREATE_NMEMBERS,
  MULTIXACT_MEMBER_BYTES,
  multixactResourceManager,
  XLOG_MULTIXACT_CREATE_ID,
  XLOG_MULTIXACT_TRUNCATE_ID,
} from '../../postgres/rmgr/multixact.ts';
import {
  RM_CLOG,
  RM_COMMIT_TIMESTAMP,
  RM_MULTIXACT,
  RM_STANDBY,
  RM_XACT,
  RM_XLOG,
} from '../../postgres/rmgr/resource-manager.ts';
import {
  RUNNING_XACTS_BYTES,
  RUNNING_XACTS_NEXT_XID,
  XLOG_RUNNING_XACTS,
} from '../../postgres/rmgr/standby.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../../postgres/wal/record-header.ts';
import type { CheckpointCounters } from './checkpoint-counters.ts';
import { advanceNextMulti, advanceNextXidPast } from './next-ids.ts';
import { advanceByTransactionRecord } from './transaction-counters.ts';
import { activateCommitTimestamps, advanceByXlogRecord } from './xlog-counters.ts';

/** The counters where replay of a cluster with this control file begins: at its checkpoint's redo position. */
export function createCounters(control: ControlFile): CheckpointCounters {
  const { checkPointCopy } = control;
  const counters: CheckpointCounters = {
    nextXid: checkPointCopy.nextXid,
    nextOid: checkPointCopy.nextOid,
    nextMulti: checkPointCopy.nextMulti,
    nextMultiOffset: checkPointCopy.nextMultiOffset,
    oldestXid: checkPointCopy.oldestXid,
    oldestXidDb: checkPointCopy.oldestXidDb,
    oldestMulti: checkPointCopy.oldestMulti,
    oldestMultiDb: checkPointCopy.oldestMultiDb,
    oldestCommitTsXid: checkPointCopy.oldestCommitTsXid,
    newestCommitTsXid: checkPointCopy.newestCommitTsXid,
    fullPageWrites: checkPointCopy.fullPageWrites,
    settings: {
      walLevel: control.walLevel,
      walLogHints: control.walLogHints,
      maxConnections: control.maxConnections,
      maxWorkerProcesses: control.maxWorkerProcesses,
      maxWalSenders: control.maxWalSenders,
      maxPreparedTransactions: control.maxPreparedTransactions,
      maxLocksPerTransaction: control.maxLocksPerTransaction,
      trackCommitTimestamp: control.trackCommitTimestamp,
    },
  };
  if (control.trackCommitTimestamp) activateCommitTimestamps(counters);
  return counters;
}

/** The CheckPoint of a shutdown at `redo`. `time` in seconds since 1970. */
export function makeShutdownCheckPoint(
  counters: CheckpointCounters,
  redo: Lsn,
  timelineId: number,
  time: bigint,
): CheckPoint {
  const { settings, ...fields } = counters;
  return {
    ...fields,
    redo,
    thisTimelineId: timelineId,
    prevTimelineId: timelineId,
    walLevel: settings.walLevel,
    time,
    oldestActiveXid: 0,
  };
}

/**
 * Takes a record into account. Follows PostgreSQL's own replay; in addition, counters that replay only learns at
 * its end or from the next checkpoint are kept up to date, so that they are right after each record: prepared
 * subtransactions count, and the bounds of commit timestamps and the oldest xid move with the records.
 *
 * A primary moves oldestXid, oldestMulti and oldestCommitTsXid without WAL when VACUUM finds nothing to truncate,
 * and gives out OIDs below a limit that it has logged: so these may be older, and nextOid higher, than what its
 * next checkpoint says. Both are safe.
 *
 * @throws CorruptionError, UnknownRecordError for a record that cannot be decoded.
 */
export function advanceCounters(counters: CheckpointCounters, record: DecodedRecord): void {
  if (record.xid !== 0) advanceNextXidPast(counters, record.xid);
  switch (record.resourceManager) {
    case RM_XACT:
      advanceByTransactionRecord(counters, record);
      break;
    case RM_XLOG:
      advanceByXlogRecord(counters, record);
      break;
    case RM_MULTIXACT:
      advanceByMultixactRecord(counters, record);
      break;
    case RM_STANDBY:
      if ((record.info & ~RECORD_INFO_MASK) === XLOG_RUNNING_XACTS)
        advanceByRunningTransactions(counters, record);
      break;
    case RM_CLOG:
      if ((record.info & ~RECORD_INFO_MASK) === CLOG_TRUNCATE) advanceByClogTruncation(counters, record);
      break;
    case RM_COMMIT_TIMESTAMP:
      if ((record.info & ~RECORD_INFO_MASK) === COMMIT_TS_TRUNCATE)
        advanceByCommitTsTruncation(counters, record);
      break;
    default:
      break;
  }
}

function fail(record: DecodedRecord, reason: string): never {
  throw new CorruptionError('BAD_WAL_RECORD', reason, {
    lsn: record.startLsn,
    resourceManager: record.resourceManager,
    info: record.info,
  });
}

/** multixact_redo: CREATE_ID and TRUNCATE_ID. */
function advanceByMultixactRecord(counters: CheckpointCounters, record: DecodedRecord): void {
  const info = record.info & ~RECORD_INFO_MASK;
  if (info === XLOG_MULTIXACT_TRUNCATE_ID) {
    const body = multixactResourceManager.decodeBody(record);
    if (body.kind !== 'TRUNCATE_ID') return;
    counters.oldestMulti = body.endMultixact;
    counters.oldestMultiDb = body.oldestMultixactDatabase;
    return;
  }
  if (info !== XLOG_MULTIXACT_CREATE_ID) return;
  const { view, mainDataOffset: start, mainDataLength: length } = record;
  if (length < MULTIXACT_CREATE_MEMBERS) fail(record, 'the multixact is cut off');
  const count = view.getInt32(start + MULTIXACT_CREATE_NMEMBERS, true);
  if (count * MULTIXACT_MEMBER_BYTES !== length - MULTIXACT_CREATE_MEMBERS) {
    fail(record, 'the multixact contradicts itself on the number of its members');
  }
  const multi = view.getUint32(start + MULTIXACT_CREATE_MID, true);
  const offset = view.getUint32(start + MULTIXACT_CREATE_MOFF, true);
  advanceNextMulti(counters, (multi + 1) >>> 0, (offset + count) >>> 0);
  for (let index = 0; index < count; index++) {
    const member = start + MULTIXACT_CREATE_MEMBERS + index * MULTIXACT_MEMBER_BYTES;
    advanceNextXidPast(counters, view.getUint32(member, true));
  }
}

/** ProcArrayApplyRecoveryInfo: the record names the next xid, not the last. */
function advanceByRunningTransactions(counters: CheckpointCounters, record: DecodedRecord): void {
  if (record.mainDataLength < RUNNING_XACTS_BYTES) fail(record, 'the running transactions are cut off');
  const next = record.view.getUint32(record.mainDataOffset + RUNNING_XACTS_NEXT_XID, true);
  if (next < FIRST_NORMAL_XID) fail(record, `${next} cannot be the next transaction id`);
  advanceNextXidPast(counters, next === FIRST_NORMAL_XID ? 0xffff_ffff : next - 1);
}

/** The transactions before are in no clog any more, so that nothing may look for them there. */
function advanceByClogTruncation(counters: CheckpointCounters, record: DecodedRecord): void {
  const body = clogResourceManager.decodeBody(record);
  if (body.kind !== 'TRUNCATE' || !xidPrecedes(counters.oldestXid, body.oldestXid)) return;
  counters.oldestXid = body.oldestXid;
  counters.oldestXidDb = body.oldestXidDatabase;
}

/** AdvanceOldestCommitTsXid. */
function advanceByCommitTsTruncation(counters: CheckpointCounters, record: DecodedRecord): void {
  const body = commitTimestampResourceManager.decodeBody(record);
  if (body.kind !== 'TRUNCATE' || counters.oldestCommitTsXid === 0) return;
  if (xidPrecedes(counters.oldestCommitTsXid, body.oldestXid)) counters.oldestCommitTsXid = body.oldestXid;
}
