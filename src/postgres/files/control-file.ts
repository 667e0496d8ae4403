import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, readLsn, writeLsn } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { CHECKPOINT_BYTES, type CheckPoint, decodeCheckPoint, encodeCheckPoint } from './checkpoint.ts';
import { RELATION_SEGMENT_BLOCKS } from './relation-file-name.ts';

/** PG_CONTROL_FILE_SIZE: the file's length, most of it zeros. */
export const CONTROL_FILE_BYTES = 8192;
/** Path relative to the data directory. */
export const CONTROL_FILE_PATH = 'global/pg_control';

/** Offsets in ControlFileData (pg_control.h). Those up to float8ByVal are the same in 14 to 18. */
const SYSTEM_IDENTIFIER = 0;
const PG_CONTROL_VERSION = 8;
const CATALOG_VERSION_NO = 12;
const STATE = 16;
const TIME = 24;
const CHECK_POINT = 32;
const CHECK_POINT_COPY = 40;
const UNLOGGED_LSN: number = CHECK_POINT_COPY + CHECKPOINT_BYTES;
const MIN_RECOVERY_POINT = 136;
const MIN_RECOVERY_POINT_TLI = 144;
const BACKUP_START_POINT = 152;
const BACKUP_END_POINT = 160;
const BACKUP_END_REQUIRED = 168;
const WAL_LEVEL = 172;
const WAL_LOG_HINTS = 176;
const MAX_CONNECTIONS = 180;
const MAX_WORKER_PROCESSES = 184;
const MAX_WAL_SENDERS = 188;
const MAX_PREPARED_XACTS = 192;
const MAX_LOCKS_PER_XACT = 196;
const TRACK_COMMIT_TIMESTAMP = 200;
const MAX_ALIGN = 204;
const FLOAT_FORMAT = 208;
const BLCKSZ = 216;
const RELSEG_SIZE = 220;
const XLOG_BLCKSZ = 224;
const XLOG_SEG_SIZE = 228;
const NAME_DATA_LEN = 232;
const INDEX_MAX_KEYS = 236;
const TOAST_MAX_CHUNK_SIZE = 240;
const LOBLKSIZE = 244;
const FLOAT8_BY_VAL = 248;
const DATA_CHECKSUM_VERSION = 252;
const NONCE_BYTES = 32;

/** FLOATFORMAT_VALUE. */
const FLOAT_FORMAT_VALUE = 1234567;

/** DBState, in the order of its values. */
export const DATABASE_STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const;
export type DatabaseState = (typeof DATABASE_STATES)[number];

/** The settings that a server needs to know of the one that wrote the WAL: PARAMETER_CHANGE tells of their changes. */
export interface ParameterSettings {
  /** 0 minimal, 1 replica, 2 logical. */
  readonly walLevel: number;
  readonly walLogHints: boolean;
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly trackCommitTimestamp: boolean;
}

/** ControlFileData, all of it but what is the same in every cluster that Varve serves. */
export interface ControlFile extends ParameterSettings {
  readonly systemIdentifier: bigint;
  readonly state: DatabaseState;
  /** Of the last change, in seconds since 1970. */
  readonly time: bigint;
  /** Where the last checkpoint's record begins. */
  readonly checkPoint: Lsn;
  readonly checkPointCopy: CheckPoint;
  readonly unloggedLsn: Lsn;
  readonly minRecoveryPoint: Lsn;
  readonly minRecoveryPointTimelineId: number;
  readonly backupStartPoint: Lsn;
  readonly backupEndPoint: Lsn;
  readonly backupEndRequired: boolean;
  readonly maxAlign: number;
  /** Blocks in a full segment file of a relation. */
  readonly relationSegmentBlocks: number;
  readonly walSegmentBytes: number;
  readonly nameDataLength: number;
  readonly indexMaxKeys: number;
  readonly toastMaxChunkBytes: number;
  readonly largeObjectBlockBytes: number;
  readonly float8ByValue: boolean;
  /** 0 without data checksums. */
  readonly dataChecksumVersion: number;
  /** default_char_signedness; undefined before 18. */
  readonly defaultCharSignedness: boolean | undefined;
  readonly mockAuthenticationNonce: Uint8Array;
}

function fail(code: string, reason: string): never {
  throw new CorruptionError(code, reason, { file: CONTROL_FILE_PATH });
}

function checkEnvelope(version: PostgresVersion, bytes: Uint8Array, view: DataView): void {
  const end = version.controlFileCrcOffset + 4;
  if (bytes.length < end)
    fail('BAD_CONTROL_FILE', `the control file has ${bytes.length} bytes, not at least ${end}`);
  const controlVersion = view.getUint32(PG_CONTROL_VERSION, true);
  if (controlVersion !== version.pgControlVersion) {
    fail(
      'UNKNOWN_CONTROL_FILE_VERSION',
      `the control file has version ${controlVersion}; PostgreSQL ${version.major} has ${version.pgControlVersion}`,
    );
  }
  const crc = view.getUint32(version.controlFileCrcOffset, true);
  const actual = crc32c(bytes, 0, version.controlFileCrcOffset);
  if (crc !== actual) {
    fail(
      'BAD_CONTROL_FILE_CRC',
      `the control file's CRC is ${crc.toString(16)}, its content gives ${actual.toString(16)}`,
    );
  }
  const catalogVersion = view.getUint32(CATALOG_VERSION_NO, true);
  if (catalogVersion !== version.catalogVersion) {
    fail(
      'UNKNOWN_CATALOG_VERSION',
      `the catalog has version ${catalogVersion}; PostgreSQL ${version.major} has ${version.catalogVersion}`,
    );
  }
}

/** What a server compiled in the ordinary way insists on (xlog.c, ReadControlFile). */
function checkCompatibility(view: DataView): void {
  if (view.getFloat64(FLOAT_FORMAT, true) !== FLOAT_FORMAT_VALUE) {
    fail('INCOMPATIBLE_CONTROL_FILE', 'the cluster has another format of floating-point numbers');
  }
  for (const [name, offset] of [
    ['blocks', BLCKSZ],
    ['WAL blocks', XLOG_BLCKSZ],
  ] as const) {
    const size = view.getUint32(offset, true);
    if (size !== BLOCK_BYTES)
      fail('INCOMPATIBLE_CONTROL_FILE', `the cluster has ${name} of ${size} bytes, not 8192`);
  }
  const segmentBytes = view.getUint32(XLOG_SEG_SIZE, true);
  const isPowerOfTwo = (segmentBytes & (segmentBytes - 1)) === 0;
  if (!isPowerOfTwo || segmentBytes < 2 ** 20 || segmentBytes > 2 ** 30) {
    fail(
      'INCOMPATIBLE_CONTROL_FILE',
      `WAL segments of ${segmentBytes} bytes: powers of two from 1 MiB to 1 GiB are`,
    );
  }
  const maxAlign = view.getUint32(MAX_ALIGN, true);
  if (maxAlign !== 8) fail('INCOMPATIBLE_CONTROL_FILE', `the cluster aligns to ${maxAlign} bytes, not to 8`);
  const relationSegmentBlocks = view.getUint32(RELSEG_SIZE, true);
  if (relationSegmentBlocks !== RELATION_SEGMENT_BLOCKS) {
    fail(
      'INCOMPATIBLE_CONTROL_FILE',
      `the cluster has relation segments of ${relationSegmentBlocks} blocks, not ${RELATION_SEGMENT_BLOCKS}`,
    );
  }
}

/**
 * Decodes pg_control.
 * @throws CorruptionError where it is too short, has the wrong CRC, is of another version, or of a server with other
 * block sizes.
 */
export function decodeControlFile(version: PostgresVersion, bytes: Uint8Array): ControlFile {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  checkEnvelope(version, bytes, view);
  checkCompatibility(view);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const i32 = (offset: number): number => view.getInt32(offset, true);
  const bool = (offset: number): boolean => view.getUint8(offset) !== 0;
  const state = DATABASE_STATES[u32(STATE)];
  if (state === undefined) fail('BAD_CONTROL_FILE', `the control file has the unknown state ${u32(STATE)}`);
  const nonce = version.controlFileNonceOffset;
  return {
    systemIdentifier: view.getBigUint64(SYSTEM_IDENTIFIER, true),
    state,
    time: view.getBigInt64(TIME, true),
    checkPoint: readLsn(view, CHECK_POINT),
    checkPointCopy: decodeCheckPoint(version, view, CHECK_POINT_COPY),
    unloggedLsn: readLsn(view, UNLOGGED_LSN),
    minRecoveryPoint: readLsn(view, MIN_RECOVERY_POINT),
    minRecoveryPointTimelineId: u32(MIN_RECOVERY_POINT_TLI),
    backupStartPoint: readLsn(view, BACKUP_START_POINT),
    backupEndPoint: readLsn(view, BACKUP_END_POINT),
    backupEndRequired: bool(BACKUP_END_REQUIRED),
    walLevel: i32(WAL_LEVEL),
    walLogHints: bool(WAL_LOG_HINTS),
    maxConnections: i32(MAX_CONNECTIONS),
    maxWorkerProcesses: i32(MAX_WORKER_PROCESSES),
    maxWalSenders: i32(MAX_WAL_SENDERS),
    maxPreparedTransactions: i32(MAX_PREPARED_XACTS),
    maxLocksPerTransaction: i32(MAX_LOCKS_PER_XACT),
    trackCommitTimestamp: bool(TRACK_COMMIT_TIMESTAMP),
    maxAlign: u32(MAX_ALIGN),
    relationSegmentBlocks: u32(RELSEG_SIZE),
    walSegmentBytes: u32(XLOG_SEG_SIZE),
    nameDataLength: u32(NAME_DATA_LEN),
    indexMaxKeys: u32(INDEX_MAX_KEYS),
    toastMaxChunkBytes: u32(TOAST_MAX_CHUNK_SIZE),
    largeObjectBlockBytes: u32(LOBLKSIZE),
    float8ByValue: bool(FLOAT8_BY_VAL),
    dataChecksumVersion: u32(DATA_CHECKSUM_VERSION),
    defaultCharSignedness: version.controlFileHasCharSignedness ? bool(nonce - 1) : undefined,
    mockAuthenticationNonce: bytes.slice(nonce, nonce + NONCE_BYTES),
  };
}

/** The whole file of 8192 bytes, with its CRC. */
export function encodeControlFile(version: PostgresVersion, control: ControlFile): Uint8Array {
  const bytes = new Uint8Array(CONTROL_FILE_BYTES);
  const view = new DataView(bytes.buffer);
  const u32 = (offset: number, value: number): void => view.setUint32(offset, value, true);
  const bool = (offset: number, value: boolean): void => view.setUint8(offset, value ? 1 : 0);
  view.setBigUint64(SYSTEM_IDENTIFIER, control.systemIdentifier, true);
  u32(PG_CONTROL_VERSION, version.pgControlVersion);
  u32(CATALOG_VERSION_NO, version.catalogVersion);
  u32(STATE, DATABASE_STATES.indexOf(control.state));
  view.setBigInt64(TIME, control.time, true);
  writeLsn(view, CHECK_POINT, control.checkPoint);
  encodeCheckPoint(version, control.checkPointCopy, view, CHECK_POINT_COPY);
  writeLsn(view, UNLOGGED_LSN, control.unloggedLsn);
  writeLsn(view, MIN_RECOVERY_POINT, control.minRecoveryPoint);
  u32(MIN_RECOVERY_POINT_TLI, control.minRecoveryPointTimelineId);
  writeLsn(view, BACKUP_START_POINT, control.backupStartPoint);
  writeLsn(view, BACKUP_END_POINT, control.backupEndPoint);
  bool(BACKUP_END_REQUIRED, control.backupEndRequired);
  u32(WAL_LEVEL, control.walLevel);
  bool(WAL_LOG_HINTS, control.walLogHints);
  u32(MAX_CONNECTIONS, control.maxConnections);
  u32(MAX_WORKER_PROCESSES, control.maxWorkerProcesses);
  u32(MAX_WAL_SENDERS, control.maxWalSenders);
  u32(MAX_PREPARED_XACTS, control.maxPreparedTransactions);
  u32(MAX_LOCKS_PER_XACT, control.maxLocksPerTransaction);
  bool(TRACK_COMMIT_TIMESTAMP, control.trackCommitTimestamp);
  u32(MAX_ALIGN, control.maxAlign);
  view.setFloat64(FLOAT_FORMAT, FLOAT_FORMAT_VALUE, true);
  u32(BLCKSZ, BLOCK_BYTES);
  u32(RELSEG_SIZE, control.relationSegmentBlocks);
  u32(XLOG_BLCKSZ, BLOCK_BYTES);
  u32(XLOG_SEG_SIZE, control.walSegmentBytes);
  u32(NAME_DATA_LEN, control.nameDataLength);
  u32(INDEX_MAX_KEYS, control.indexMaxKeys);
  u32(TOAST_MAX_CHUNK_SIZE, control.toastMaxChunkBytes);
  u32(LOBLKSIZE, control.largeObjectBlockBytes);
  bool(FLOAT8_BY_VAL, control.float8ByValue);
  u32(DATA_CHECKSUM_VERSION, control.dataChecksumVersion);
  if (version.controlFileHasCharSignedness) {
    bool(version.controlFileNonceOffset - 1, control.defaultCharSignedness ?? true);
  }
  bytes.set(control.mockAuthenticationNonce.subarray(0, NONCE_BYTES), version.controlFileNonceOffset);
  u32(version.controlFileCrcOffset, crc32c(bytes, 0, version.controlFileCrcOffset));
  return bytes;
}
