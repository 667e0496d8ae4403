import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { FIRST_NORMAL_XID } from '../../postgres/files/slru.ts';
import { RM_STANDBY, RM_XLOG } from '../../postgres/rmgr/resource-manager.ts';
import { RUNNING_XACTS_BYTES, XLOG_RUNNING_XACTS, XLOG_STANDBY_LOCK } from '../../postgres/rmgr/standby.ts';
import {
  XLOG_CHECKPOINT_ONLINE,
  XLOG_CHECKPOINT_REDO,
  XLOG_NOOP,
  XLOG_SWITCH,
} from '../../postgres/rmgr/xlog.ts';
import {
  LONG_HEADER_BYTES,
  SHORT_HEADER_BYTES,
  WAL_PAGE_BYTES,
  walPageHeaderBytes,
} from '../../postgres/wal/page-header.ts';
import { RECORD_HEADER_BYTES } from '../../postgres/wal/record-header.ts';
import type { RecordToWrite } from '../../postgres/wal/record-writer.ts';
import type { WalWriter } from '../../postgres/wal/wal-writer.ts';
import type { CheckpointCounters } from '../../redo/effects/checkpoint-counters.ts';
import { makeShutdownCheckPoint } from '../../redo/effects/counters.ts';
import { toSegmentFiles, WAL_TIMELINE_ID, type WalIdentity, writerAt } from './local-wal.ts';
import { encodedCheckPoint, type MadeUpWal } from './shutdown-wal.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** A NOOP takes the last record's place, and has to be in memory. */
const LAST_RECORD_BYTES_MAX: number = 64 * 1024 * 1024;
/** Between the made-up records and the place of the last record lies at least this much, which a NOOP fills. */
const FILLER_BYTES_MIN: number = 2 * WAL_PAGE_BYTES;
/** xl_standby_lock: xid, database, relation. */
const LOCK_BYTES = 12;
/** Offsets in xl_running_xacts (standbydefs.h). */
const RUNNING_COUNT = 0;
const RUNNING_NEXT_XID = 12;
const RUNNING_OLDEST_XID = 16;
const RUNNING_LATEST_COMPLETED_XID = 20;
/** The main data of a record begins behind an id and a length of one byte, or of four. */
const SHORT_DATA_HEADER_BYTES = 2;
const LONG_DATA_HEADER_BYTES = 5;
const SHORT_DATA_BYTES_MAX = 255;

/** What a standby has to know of the transactions that run. */
export interface RunningTransactions {
  /** Of all that run, subtransactions among them, without epochs, in order of their age. */
  readonly xids: readonly number[];
  /** Access exclusive locks. */
  readonly locks: readonly { readonly xid: number; readonly database: number; readonly relation: number }[];
}

/**
 * WAL from which a standby becomes hot at once, and goes on with the real record that begins behind `recordEndLsn`: an
 * online checkpoint with what runs, and a record that does nothing in the place of the last real one, so that the link
 * back to that fits.
 *
 * @throws VarveError ‘precondition’ / RECORD_TOO_LONG_FOR_STANDBY, NO_ROOM_FOR_STANDBY
 */
export function makeStandbyWal(
  identity: WalIdentity,
  recordEndLsn: Lsn,
  previousRecordLsn: Lsn,
  counters: CheckpointCounters,
  running: RunningTransactions,
  timeSeconds: bigint,
): MadeUpWal {
  const { walSegmentBytes } = identity;
  const nextXid = counters.nextXid % TWO_POW_32;
  const oldestXid = running.xids[0] ?? nextXid;
  const records: RecordToWrite[] = [
    { resourceManager: RM_XLOG, info: XLOG_CHECKPOINT_REDO, mainData: i32Bytes(counters.settings.walLevel) },
  ];
  if (running.locks.length > 0) {
    records.push({ resourceManager: RM_STANDBY, info: XLOG_STANDBY_LOCK, mainData: lockData(running) });
  }
  records.push({
    resourceManager: RM_STANDBY,
    info: XLOG_RUNNING_XACTS,
    mainData: runningData(running, nextXid, oldestXid),
  });
  const writer = writerAt(identity, startOf(records, previousRecordLsn, walSegmentBytes), 0);
  const redo = writer.nextLsn;
  for (const record of records) writer.append(record);
  const checkPointLsn = writer.nextLsn;
  const checkPoint = {
    ...makeShutdownCheckPoint(counters, redo, WAL_TIMELINE_ID, timeSeconds),
    oldestActiveXid: oldestXid,
  };
  writer.append({
    resourceManager: RM_XLOG,
    info: XLOG_CHECKPOINT_ONLINE,
    mainData: encodedCheckPoint(identity, checkPoint),
  });
  fillUpTo(writer, endBefore(previousRecordLsn, walSegmentBytes), walSegmentBytes);
  standIn(writer, recordEndLsn, walSegmentBytes);
  return { checkPointLsn, checkPoint, files: toSegmentFiles(identity, writer, 0) };
}

/** Where to begin, so that all fits before the last record. */
function startOf(records: readonly RecordToWrite[], previousRecordLsn: number, segmentBytes: number): number {
  let lengthBytes = FILLER_BYTES_MIN;
  for (const { mainData } of records) {
    lengthBytes += RECORD_HEADER_BYTES + LONG_DATA_HEADER_BYTES + (mainData?.length ?? 0) + 8;
  }
  const pages = Math.ceil(lengthBytes / (WAL_PAGE_BYTES - LONG_HEADER_BYTES)) + 1;
  const lastPage = previousRecordLsn - (previousRecordLsn % WAL_PAGE_BYTES);
  const start = lastPage - pages * WAL_PAGE_BYTES;
  // The first segment of all is never used.
  if (start >= segmentBytes) return start;
  throw new VarveError('precondition', 'NO_ROOM_FOR_STANDBY', 'there is not yet WAL enough for a standby', {
    lsn: previousRecordLsn,
  });
}

/** Where a record ends that is followed by one that begins at `startLsn`: page headers lie between them. */
function endBefore(startLsn: number, segmentBytes: number): number {
  const inPage = startLsn % WAL_PAGE_BYTES;
  return inPage === walPageHeaderBytes(startLsn - inPage, segmentBytes) ? startLsn - inPage : startLsn;
}

function fillUpTo(writer: WalWriter, endLsn: number, segmentBytes: number): void {
  writer.append(
    noop(recordBytesBefore(endLsn, segmentBytes) - recordBytesBefore(writer.nextLsn, segmentBytes)),
  );
}

/** Puts a record in the place of the last one. */
function standIn(writer: WalWriter, recordEndLsn: number, segmentBytes: number): void {
  const startLsn = writer.nextLsn;
  if (recordEndLsn % segmentBytes === 0 && recordEndLsn - startLsn <= segmentBytes) {
    // A segment switch reaches up to the end of its segment, whatever is there.
    writer.append({ resourceManager: RM_XLOG, info: XLOG_SWITCH });
    return;
  }
  const lengthBytes =
    recordBytesBefore(recordEndLsn, segmentBytes) - recordBytesBefore(startLsn, segmentBytes);
  if (lengthBytes > LAST_RECORD_BYTES_MAX) {
    throw new VarveError(
      'precondition',
      'RECORD_TOO_LONG_FOR_STANDBY',
      `the last record has ${lengthBytes} bytes: a standby can be started at a later one`,
      { lsn: startLsn },
    );
  }
  writer.append(noop(lengthBytes));
}

/** A record of exactly this length, a multiple of 8 that is at least a record's header. It does nothing. */
function noop(lengthBytes: number): RecordToWrite {
  const rest = lengthBytes - RECORD_HEADER_BYTES;
  const isShort = rest <= SHORT_DATA_HEADER_BYTES + SHORT_DATA_BYTES_MAX;
  const dataBytes = rest - (isShort ? SHORT_DATA_HEADER_BYTES : LONG_DATA_HEADER_BYTES);
  return {
    resourceManager: RM_XLOG,
    info: XLOG_NOOP,
    ...(rest > 0 ? { mainData: new Uint8Array(dataBytes) } : {}),
  };
}

/** XLogRecPtrToBytePos (xlog.c): how many bytes before an LSN are of records, and not of page headers. */
function recordBytesBefore(lsn: number, segmentBytes: number): number {
  const segment = Math.floor(lsn / segmentBytes);
  const bytesPerPage = WAL_PAGE_BYTES - SHORT_HEADER_BYTES;
  const longer = LONG_HEADER_BYTES - SHORT_HEADER_BYTES;
  const bytesPerSegment = (segmentBytes / WAL_PAGE_BYTES) * bytesPerPage - longer;
  const inSegment = lsn % segmentBytes;
  const page = Math.floor(inSegment / WAL_PAGE_BYTES);
  const inPage = Math.max(0, (inSegment % WAL_PAGE_BYTES) - SHORT_HEADER_BYTES);
  return segment * bytesPerSegment + Math.max(0, page * bytesPerPage + inPage - longer);
}

function i32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** xl_standby_locks. */
function lockData({ locks }: RunningTransactions): Uint8Array {
  const bytes = new Uint8Array(4 + locks.length * LOCK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, locks.length, true);
  for (const [index, { xid, database, relation }] of locks.entries()) {
    view.setUint32(4 + index * LOCK_BYTES, xid, true);
    view.setUint32(4 + index * LOCK_BYTES + 4, database, true);
    view.setUint32(4 + index * LOCK_BYTES + 8, relation, true);
  }
  return bytes;
}

/** xl_running_xacts. All are given as transactions of their own, so none overflows. */
function runningData({ xids }: RunningTransactions, nextXid: number, oldestXid: number): Uint8Array {
  const bytes = new Uint8Array(RUNNING_XACTS_BYTES + xids.length * 4);
  const view = new DataView(bytes.buffer);
  view.setInt32(RUNNING_COUNT, xids.length, true);
  view.setUint32(RUNNING_NEXT_XID, nextXid, true);
  view.setUint32(RUNNING_OLDEST_XID, oldestXid, true);
  const latest = nextXid === FIRST_NORMAL_XID ? 0xffff_ffff : nextXid - 1;
  view.setUint32(RUNNING_LATEST_COMPLETED_XID, latest, true);
  for (const [index, xid] of xids.entries()) view.setUint32(RUNNING_XACTS_BYTES + index * 4, xid, true);
  return bytes;
}
