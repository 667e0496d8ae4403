import { CorruptionError } from '../../base/errors.ts';
import { xidPrecedes } from '../../postgres/files/slru.ts';
import {
  XACT_DBINFO_BYTES,
  XACT_END_TIME_BYTES,
  XACT_XINFO_BYTES,
  XACT_XINFO_HAS_DBINFO,
  XACT_XINFO_HAS_SUBXACTS,
  XLOG_XACT_ABORT,
  XLOG_XACT_COMMIT,
  XLOG_XACT_HAS_INFO,
  XLOG_XACT_INVALIDATIONS,
  XLOG_XACT_OPMASK,
  xactResourceManager,
} from '../../postgres/rmgr/xact.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import type { CheckpointCounters } from './checkpoint-counters.ts';
import { advanceNextXidPast } from './next-ids.ts';

/**
 * xact_redo's part of `advanceCounters`: transaction ids that a record names beside its own. Ordinary commits and
 * aborts are read by offset, without an allocation; the rest is rare.
 */
export function advanceByTransactionRecord(counters: CheckpointCounters, record: DecodedRecord): void {
  switch (record.info & XLOG_XACT_OPMASK) {
    case XLOG_XACT_COMMIT: {
      const newest = advanceBySubtransactions(counters, record);
      advanceNewestCommitTs(counters, newest === 0 ? record.xid : newest);
      break;
    }
    case XLOG_XACT_ABORT:
      advanceBySubtransactions(counters, record);
      break;
    case XLOG_XACT_INVALIDATIONS:
      break;
    default:
      advanceByRareRecord(counters, record);
  }
}

/** TransactionTreeSetCommitTsData: the end point moves to the last of the tree. */
function advanceNewestCommitTs(counters: CheckpointCounters, newestXid: number): void {
  if (!counters.settings.trackCommitTimestamp) return;
  if (xidPrecedes(counters.newestCommitTsXid, newestXid)) counters.newestCommitTsXid = newestXid;
}

/** Returns the last subtransaction of a commit or abort, or 0. */
function advanceBySubtransactions(counters: CheckpointCounters, record: DecodedRecord): number {
  if ((record.info & XLOG_XACT_HAS_INFO) === 0) return 0;
  const { view, mainDataOffset: start, mainDataLength: length } = record;
  let position = XACT_END_TIME_BYTES + XACT_XINFO_BYTES;
  if (length < position) fail(record);
  const xinfo = view.getUint32(start + XACT_END_TIME_BYTES, true);
  if ((xinfo & XACT_XINFO_HAS_SUBXACTS) === 0) return 0;
  if ((xinfo & XACT_XINFO_HAS_DBINFO) !== 0) position += XACT_DBINFO_BYTES;
  if (length < position + 4) fail(record);
  const count = view.getInt32(start + position, true);
  position += 4;
  if (count < 0 || count * 4 > length - position) fail(record);
  let last = 0;
  for (let index = 0; index < count; index++) {
    last = view.getUint32(start + position + index * 4, true);
    advanceNextXidPast(counters, last);
  }
  return last;
}

function advanceByRareRecord(counters: CheckpointCounters, record: DecodedRecord): void {
  const body = xactResourceManager.decodeBody(record);
  switch (body.kind) {
    case 'COMMIT_PREPARED':
    case 'ABORT_PREPARED':
      advanceNextXidPast(counters, body.preparedXid);
      for (const xid of body.subtransactions) advanceNextXidPast(counters, xid);
      if (body.kind === 'COMMIT_PREPARED') {
        advanceNewestCommitTs(counters, body.subtransactions.at(-1) ?? body.preparedXid);
      }
      break;
    case 'PREPARE':
      // ProcessTwoPhaseBuffer, when recovery looks through what is prepared.
      for (const xid of body.subtransactions) advanceNextXidPast(counters, xid);
      break;
    case 'ASSIGNMENT':
      advanceNextXidPast(counters, body.topXid);
      for (const xid of body.subtransactions) advanceNextXidPast(counters, xid);
      break;
    default:
      break;
  }
}

function fail(record: DecodedRecord): never {
  throw new CorruptionError('BAD_WAL_RECORD', 'the end of a transaction is cut off', {
    lsn: record.startLsn,
    resourceManager: 'Transaction',
    info: record.info,
  });
}
