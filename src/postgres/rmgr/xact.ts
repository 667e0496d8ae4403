import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { RELATION_LOCATOR_BYTES, type RelationLocator } from '../files/relation-locator.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import {
  INVALIDATION_MESSAGE_BYTES,
  type InvalidationMessage,
  readInvalidationMessage,
} from './invalidation-message.ts';
import { refuseKind } from './kind-names.ts';
import { decodePreparedState, type PreparedState } from './prepared-state.ts';
import { BodyReader, type ResourceManager, RM_XACT, refuseBody } from './resource-manager.ts';
import { readRelationLocator } from './smgr.ts';
import { readTransactionStatsItem, type TransactionStatsItem } from './transaction-stats-item.ts';

/** Record kinds (access/xact.h). The high bit of the info byte says something else. */
export const XLOG_XACT_COMMIT = 0x00;
export const XLOG_XACT_PREPARE = 0x10;
export const XLOG_XACT_ABORT = 0x20;
export const XLOG_XACT_COMMIT_PREPARED = 0x30;
export const XLOG_XACT_ABORT_PREPARED = 0x40;
export const XLOG_XACT_ASSIGNMENT = 0x50;
export const XLOG_XACT_INVALIDATIONS = 0x60;
export const XLOG_XACT_OPMASK = 0x70;
/** The commit or abort record has an xinfo field. */
export const XLOG_XACT_HAS_INFO = 0x80;

/** xinfo: which parts follow, in this order but for AE_LOCKS, which has none, and GID, which follows TWOPHASE. */
export const XACT_XINFO_HAS_DBINFO = 0x001;
export const XACT_XINFO_HAS_SUBXACTS = 0x002;
export const XACT_XINFO_HAS_RELFILELOCATORS = 0x004;
export const XACT_XINFO_HAS_INVALS = 0x008;
export const XACT_XINFO_HAS_TWOPHASE = 0x010;
export const XACT_XINFO_HAS_ORIGIN = 0x020;
export const XACT_XINFO_HAS_AE_LOCKS = 0x040;
export const XACT_XINFO_HAS_GID = 0x080;
export const XACT_XINFO_HAS_DROPPED_STATS = 0x100;
export const XACT_COMPLETION_APPLY_FEEDBACK: number = 2 ** 29;
export const XACT_COMPLETION_UPDATE_RELCACHE_FILE: number = 2 ** 30;
export const XACT_COMPLETION_FORCE_SYNC_COMMIT: number = 2 ** 31;
const XINFO_PARTS_ALL = 0x1ff;
const XINFO_ALL: number =
  XINFO_PARTS_ALL +
  XACT_COMPLETION_APPLY_FEEDBACK +
  XACT_COMPLETION_UPDATE_RELCACHE_FILE +
  XACT_COMPLETION_FORCE_SYNC_COMMIT;

/** xl_xact_commit, xl_xact_abort: the time, then xinfo if there is one, then the parts. */
export const XACT_END_TIME_BYTES = 8;
export const XACT_XINFO_BYTES = 4;
export const XACT_DBINFO_BYTES = 8;
/** xl_xact_assignment, up to its subtransactions: xtop 4 + nsubxacts 4. */
export const XACT_ASSIGNMENT_BYTES = 8;
/** xl_xact_prepare: fields up to the counts are the same in all versions. */
export const XACT_PREPARE_XID = 8;
export const XACT_PREPARE_NSUBXACTS = 28;

/** Whether the record says that its own transaction has ended, and nothing else. Then it has no body but the time. */
export function isPlainTransactionEnd(record: DecodedRecord): boolean {
  if (record.resourceManager !== RM_XACT || (record.info & XLOG_XACT_HAS_INFO) !== 0) return false;
  const kind = record.info & XLOG_XACT_OPMASK;
  return (
    (kind === XLOG_XACT_COMMIT || kind === XLOG_XACT_ABORT) &&
    record.mainDataLength === XACT_END_TIME_BYTES &&
    record.blockCount === 0 &&
    record.xid !== 0
  );
}

/** How a transaction ended, with all parts that its record may have. */
export interface TransactionEnd {
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  readonly xinfo: number;
  /** 0 where the record does not say. */
  readonly database: number;
  readonly tablespace: number;
  /** Committed subtransactions, ascending in the order of their assignment. */
  readonly subtransactions: readonly number[];
  readonly droppedRelations: readonly RelationLocator[];
  readonly droppedStats: readonly TransactionStatsItem[];
  /** Commits only. */
  readonly invalidations: readonly InvalidationMessage[];
  /** Of COMMIT PREPARED and ROLLBACK PREPARED, else 0. */
  readonly preparedXid: number;
  /** Undefined where the record does not say. */
  readonly preparedGid: string | undefined;
  /** 0 without an origin. */
  readonly originLsn: Lsn;
  readonly originTime: bigint;
}

export interface TransactionCommitBody extends TransactionEnd {
  readonly kind: 'COMMIT' | 'COMMIT_PREPARED';
}

export interface TransactionAbortBody extends TransactionEnd {
  readonly kind: 'ABORT' | 'ABORT_PREPARED';
}

export interface TransactionPrepareBody extends PreparedState {
  readonly kind: 'PREPARE';
}

export interface TransactionAssignmentBody {
  readonly kind: 'ASSIGNMENT';
  readonly topXid: number;
  readonly subtransactions: readonly number[];
}

/** Of one command within a transaction, for logical decoding. */
export interface TransactionInvalidationBody {
  readonly kind: 'INVALIDATION';
  readonly invalidations: readonly InvalidationMessage[];
}

export type TransactionBody =
  | TransactionCommitBody
  | TransactionAbortBody
  | TransactionPrepareBody
  | TransactionAssignmentBody
  | TransactionInvalidationBody;

function fail(record: DecodedRecord, reason: string): never {
  return refuseBody('Transaction', record, reason);
}

function checkXinfo(record: DecodedRecord, xinfo: number, isCommit: boolean, isPrepared: boolean): void {
  const has = (bit: number): boolean => (xinfo & bit) !== 0;
  if ((xinfo & ~XINFO_ALL) !== 0)
    fail(record, `unknown flags in the transaction's xinfo 0x${xinfo.toString(16)}`);
  if (has(XACT_XINFO_HAS_DROPPED_STATS) && record.version.transactionStatsItemBytes === 0) {
    fail(record, `PostgreSQL ${record.version.major} drops no statistics with a transaction`);
  }
  if (has(XACT_XINFO_HAS_INVALS) && !isCommit) fail(record, 'an abort has no invalidation messages');
  if (has(XACT_XINFO_HAS_GID) && !has(XACT_XINFO_HAS_TWOPHASE))
    fail(record, 'a GID without a prepared transaction');
  if (has(XACT_XINFO_HAS_TWOPHASE) !== isPrepared) {
    fail(record, 'the record contradicts itself on the transaction having been prepared');
  }
}

/** ParseCommitRecord, ParseAbortRecord (xactdesc.c). */
function readTransactionEnd(
  record: DecodedRecord,
  reader: BodyReader,
  isCommit: boolean,
  isPrepared: boolean,
): TransactionEnd {
  const time = reader.i64();
  const xinfo = (record.info & XLOG_XACT_HAS_INFO) !== 0 ? reader.u32() : 0;
  checkXinfo(record, xinfo, isCommit, isPrepared);
  const has = (bit: number): boolean => (xinfo & bit) !== 0;
  const database = has(XACT_XINFO_HAS_DBINFO) ? reader.u32() : 0;
  const tablespace = has(XACT_XINFO_HAS_DBINFO) ? reader.u32() : 0;
  const subtransactions = has(XACT_XINFO_HAS_SUBXACTS) ? reader.countedItems(4, () => reader.u32()) : [];
  const droppedRelations = has(XACT_XINFO_HAS_RELFILELOCATORS)
    ? reader.countedItems(RELATION_LOCATOR_BYTES, () => readRelationLocator(reader))
    : [];
  const statsBytes = record.version.transactionStatsItemBytes;
  const droppedStats = has(XACT_XINFO_HAS_DROPPED_STATS)
    ? reader.countedItems(statsBytes, () => readTransactionStatsItem(reader, statsBytes))
    : [];
  const invalidations = has(XACT_XINFO_HAS_INVALS)
    ? reader.countedItems(INVALIDATION_MESSAGE_BYTES, () => readInvalidationMessage(reader))
    : [];
  const preparedXid = has(XACT_XINFO_HAS_TWOPHASE) ? reader.u32() : 0;
  const preparedGid = has(XACT_XINFO_HAS_GID) ? reader.cString() : undefined;
  const originLsn = has(XACT_XINFO_HAS_ORIGIN) ? reader.lsn() : INVALID_LSN;
  const originTime = has(XACT_XINFO_HAS_ORIGIN) ? reader.i64() : 0n;
  return {
    time,
    xinfo,
    database,
    tablespace,
    subtransactions,
    droppedRelations,
    droppedStats,
    invalidations,
    preparedXid,
    preparedGid,
    originLsn,
    originTime,
  };
}

function readBody(record: DecodedRecord, reader: BodyReader): TransactionBody {
  switch (record.info & XLOG_XACT_OPMASK) {
    case XLOG_XACT_COMMIT:
      return { kind: 'COMMIT', ...readTransactionEnd(record, reader, true, false) };
    case XLOG_XACT_PREPARE:
      return { kind: 'PREPARE', ...decodePreparedState(record, reader) };
    case XLOG_XACT_ABORT:
      return { kind: 'ABORT', ...readTransactionEnd(record, reader, false, false) };
    case XLOG_XACT_COMMIT_PREPARED:
      return { kind: 'COMMIT_PREPARED', ...readTransactionEnd(record, reader, true, true) };
    case XLOG_XACT_ABORT_PREPARED:
      return { kind: 'ABORT_PREPARED', ...readTransactionEnd(record, reader, false, true) };
    case XLOG_XACT_ASSIGNMENT:
      return {
        kind: 'ASSIGNMENT',
        topXid: reader.u32(),
        subtransactions: reader.countedItems(4, () => reader.u32()),
      };
    case XLOG_XACT_INVALIDATIONS:
      return {
        kind: 'INVALIDATION',
        invalidations: reader.countedItems(INVALIDATION_MESSAGE_BYTES, () => readInvalidationMessage(reader)),
      };
    default:
      return refuseKind('Transaction', record);
  }
}

const KINDS = new Map([
  [XLOG_XACT_COMMIT, 'COMMIT'],
  [XLOG_XACT_PREPARE, 'PREPARE'],
  [XLOG_XACT_ABORT, 'ABORT'],
  [XLOG_XACT_COMMIT_PREPARED, 'COMMIT_PREPARED'],
  [XLOG_XACT_ABORT_PREPARED, 'ABORT_PREPARED'],
  [XLOG_XACT_ASSIGNMENT, 'ASSIGNMENT'],
  [XLOG_XACT_INVALIDATIONS, 'INVALIDATION'],
]);

/** Transactions: how they end, are prepared, and relate to their subtransactions. */
export const xactResourceManager: ResourceManager<TransactionBody> = {
  id: RM_XACT,
  name: 'Transaction',
  kindName: (info) => KINDS.get(info & XLOG_XACT_OPMASK),
  kinds: [...KINDS.values()],
  decodeBody(record) {
    const reader = BodyReader.mainData(record);
    const body = readBody(record, reader);
    reader.expectEnd();
    return body;
  },
};
