/**
 * The value under CLUSTER_COUNTERS: what a checkpoint made at that position would say, and the rest of what ingest has
 * to know to go on. docs/formats/cluster-state.md describes it.
 */
import { AssertionError, CorruptionError } from '../../base/errors.ts';
import { readFullXid, writeFullXid } from '../../postgres/files/checkpoint.ts';
import type { ParameterSettings } from '../../postgres/files/control-file.ts';

/** Offsets of the fields, all little-endian. */
const VERSION = 0;
const FLAGS = 2;
const NEXT_XID = 4;
const OLDEST_RUNNING_XID = 12;
const NEXT_OID = 20;
const NEXT_MULTI = 24;
const NEXT_MULTI_OFFSET = 28;
const OLDEST_XID = 32;
const OLDEST_XID_DB = 36;
const OLDEST_MULTI = 40;
const OLDEST_MULTI_DB = 44;
const OLDEST_COMMIT_TS_XID = 48;
const NEWEST_COMMIT_TS_XID = 52;
const WAL_LEVEL = 56;
const MAX_CONNECTIONS = 60;
const MAX_WORKER_PROCESSES = 64;
const MAX_WAL_SENDERS = 68;
const MAX_PREPARED_TRANSACTIONS = 72;
const MAX_LOCKS_PER_TRANSACTION = 76;
const LAST_OFFSETS_PAGE = 80;
const PREPARED_OFFSETS_PAGE = 84;
export const CLUSTER_STATE_BYTES = 88;

const CURRENT_VERSION = 1;

const FLAG_FULL_PAGE_WRITES = 0x0001;
const FLAG_WAL_LOG_HINTS = 0x0002;
const FLAG_TRACK_COMMIT_TIMESTAMP = 0x0004;
const FLAGS_KNOWN: number = FLAG_FULL_PAGE_WRITES | FLAG_WAL_LOG_HINTS | FLAG_TRACK_COMMIT_TIMESTAMP;

/** Transaction ids are stored rounded up to a multiple of this, so that not each of them writes a value. */
const STORED_XID_STEP = 1024;

/** What of replay's counters and of ingest's own state is stored. The fields of CheckpointCounters are among them. */
export interface ClusterState {
  /** Full transaction id: epoch * 2^32 + xid. Stored values are rounded up (`roundUpXid`): it is never too small. */
  readonly nextXid: number;
  /** Full transaction id: all before it have ended, but for those that are prepared. */
  readonly oldestRunningXid: number;
  readonly nextOid: number;
  readonly nextMulti: number;
  readonly nextMultiOffset: number;
  readonly oldestXid: number;
  readonly oldestXidDb: number;
  readonly oldestMulti: number;
  readonly oldestMultiDb: number;
  /** Both 0 while commit timestamps are off. */
  readonly oldestCommitTsXid: number;
  readonly newestCommitTsXid: number;
  readonly fullPageWrites: boolean;
  readonly settings: ParameterSettings;
  /** MultixactOffsetPages: the page that was zeroed last, -1 before any was. */
  readonly lastOffsetsPage: number;
  /** MultixactOffsetPages: the page whose zeroing is still to come in WAL, and has been done, or -1. */
  readonly preparedOffsetsPage: number;
}

/** The next multiple of STORED_XID_STEP that is not below `nextXid`. */
export const roundUpXid = (nextXid: number): number => Math.ceil(nextXid / STORED_XID_STEP) * STORED_XID_STEP;

/** Writes the value into `view`, which has CLUSTER_STATE_BYTES. `nextXid` is written as it is given. */
export function writeClusterState(view: DataView, state: ClusterState, nextXid: number): void {
  if (view.byteLength !== CLUSTER_STATE_BYTES)
    throw new AssertionError('the cluster state has another length');
  const { settings } = state;
  view.setUint16(VERSION, CURRENT_VERSION, true);
  view.setUint16(
    FLAGS,
    (state.fullPageWrites ? FLAG_FULL_PAGE_WRITES : 0) |
      (settings.walLogHints ? FLAG_WAL_LOG_HINTS : 0) |
      (settings.trackCommitTimestamp ? FLAG_TRACK_COMMIT_TIMESTAMP : 0),
    true,
  );
  writeFullXid(view, NEXT_XID, nextXid);
  writeFullXid(view, OLDEST_RUNNING_XID, state.oldestRunningXid);
  view.setUint32(NEXT_OID, state.nextOid, true);
  view.setUint32(NEXT_MULTI, state.nextMulti, true);
  view.setUint32(NEXT_MULTI_OFFSET, state.nextMultiOffset, true);
  view.setUint32(OLDEST_XID, state.oldestXid, true);
  view.setUint32(OLDEST_XID_DB, state.oldestXidDb, true);
  view.setUint32(OLDEST_MULTI, state.oldestMulti, true);
  view.setUint32(OLDEST_MULTI_DB, state.oldestMultiDb, true);
  view.setUint32(OLDEST_COMMIT_TS_XID, state.oldestCommitTsXid, true);
  view.setUint32(NEWEST_COMMIT_TS_XID, state.newestCommitTsXid, true);
  view.setInt32(WAL_LEVEL, settings.walLevel, true);
  view.setInt32(MAX_CONNECTIONS, settings.maxConnections, true);
  view.setInt32(MAX_WORKER_PROCESSES, settings.maxWorkerProcesses, true);
  view.setInt32(MAX_WAL_SENDERS, settings.maxWalSenders, true);
  view.setInt32(MAX_PREPARED_TRANSACTIONS, settings.maxPreparedTransactions, true);
  view.setInt32(MAX_LOCKS_PER_TRANSACTION, settings.maxLocksPerTransaction, true);
  view.setInt32(LAST_OFFSETS_PAGE, state.lastOffsetsPage, true);
  view.setInt32(PREPARED_OFFSETS_PAGE, state.preparedOffsetsPage, true);
}

/** @throws CorruptionError for another length, an unknown version or flag, or a transaction id at or above 2^53 */
export function decodeClusterState(bytes: Uint8Array): ClusterState {
  if (bytes.length !== CLUSTER_STATE_BYTES)
    refuse(`it has ${bytes.length} bytes, not ${CLUSTER_STATE_BYTES}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint16(VERSION, true);
  if (version !== CURRENT_VERSION) refuse(`its version is ${version}, not ${CURRENT_VERSION}`);
  const flags = view.getUint16(FLAGS, true);
  if ((flags & ~FLAGS_KNOWN) !== 0) refuse(`it has unknown flags ${flags}`);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const i32 = (offset: number): number => view.getInt32(offset, true);
  return {
    nextXid: readFullXid(view, NEXT_XID),
    oldestRunningXid: readFullXid(view, OLDEST_RUNNING_XID),
    nextOid: u32(NEXT_OID),
    nextMulti: u32(NEXT_MULTI),
    nextMultiOffset: u32(NEXT_MULTI_OFFSET),
    oldestXid: u32(OLDEST_XID),
    oldestXidDb: u32(OLDEST_XID_DB),
    oldestMulti: u32(OLDEST_MULTI),
    oldestMultiDb: u32(OLDEST_MULTI_DB),
    oldestCommitTsXid: u32(OLDEST_COMMIT_TS_XID),
    newestCommitTsXid: u32(NEWEST_COMMIT_TS_XID),
    fullPageWrites: (flags & FLAG_FULL_PAGE_WRITES) !== 0,
    settings: {
      walLevel: i32(WAL_LEVEL),
      walLogHints: (flags & FLAG_WAL_LOG_HINTS) !== 0,
      maxConnections: i32(MAX_CONNECTIONS),
      maxWorkerProcesses: i32(MAX_WORKER_PROCESSES),
      maxWalSenders: i32(MAX_WAL_SENDERS),
      maxPreparedTransactions: i32(MAX_PREPARED_TRANSACTIONS),
      maxLocksPerTransaction: i32(MAX_LOCKS_PER_TRANSACTION),
      trackCommitTimestamp: (flags & FLAG_TRACK_COMMIT_TIMESTAMP) !== 0,
    },
    lastOffsetsPage: i32(LAST_OFFSETS_PAGE),
    preparedOffsetsPage: i32(PREPARED_OFFSETS_PAGE),
  };
}

function refuse(reason: string): never {
  throw new CorruptionError('BAD_CLUSTER_STATE', `the cluster's counters cannot be read: ${reason}`);
}
