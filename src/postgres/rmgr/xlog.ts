import type { Lsn } from '../../base/lsn.ts';
import { CHECKPOINT_BYTES, type CheckPoint, decodeCheckPoint } from '../files/checkpoint.ts';
import type { ParameterSettings } from '../files/control-file.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_XLOG } from './resource-manager.ts';

/** Record kinds (catalog/pg_control.h). */
export const XLOG_CHECKPOINT_SHUTDOWN = 0x00;
export const XLOG_CHECKPOINT_ONLINE = 0x10;
export const XLOG_NOOP = 0x20;
export const XLOG_NEXTOID = 0x30;
export const XLOG_SWITCH = 0x40;
export const XLOG_BACKUP_END = 0x50;
export const XLOG_PARAMETER_CHANGE = 0x60;
export const XLOG_RESTORE_POINT = 0x70;
export const XLOG_FPW_CHANGE = 0x80;
export const XLOG_END_OF_RECOVERY = 0x90;
export const XLOG_FPI_FOR_HINT = 0xa0;
export const XLOG_FPI = 0xb0;
export const XLOG_OVERWRITE_CONTRECORD = 0xd0;
export const XLOG_CHECKPOINT_REDO = 0xe0;

/** MAXFNAMELEN: room of a restore point's name (xlog_internal.h). */
const RESTORE_POINT_NAME_BYTES = 64;

export interface XlogCheckpointBody {
  readonly kind: 'CHECKPOINT_SHUTDOWN' | 'CHECKPOINT_ONLINE';
  readonly checkPoint: CheckPoint;
}

/** Records that say all by their kind; those with images say it by their block references. */
export interface XlogBareBody {
  readonly kind: 'NOOP' | 'SWITCH' | 'FPI' | 'FPI_FOR_HINT';
}

export interface XlogNextOidBody {
  readonly kind: 'NEXTOID';
  readonly nextOid: number;
}

export interface XlogBackupEndBody {
  readonly kind: 'BACKUP_END';
  readonly startLsn: Lsn;
}

/** xl_parameter_change. */
export interface XlogParameterChangeBody extends ParameterSettings {
  readonly kind: 'PARAMETER_CHANGE';
}

export interface XlogRestorePointBody {
  readonly kind: 'RESTORE_POINT';
  /** Microseconds since 2000-01-01 UTC. */
  readonly time: bigint;
  readonly name: string;
}

export interface XlogFullPageWritesBody {
  readonly kind: 'FPW_CHANGE';
  readonly fullPageWrites: boolean;
}

export interface XlogEndOfRecoveryBody {
  readonly kind: 'END_OF_RECOVERY';
  readonly time: bigint;
  readonly timeline: number;
  readonly previousTimeline: number;
  /** Undefined before 17. */
  readonly walLevel: number | undefined;
}

export interface XlogOverwriteContrecordBody {
  readonly kind: 'OVERWRITE_CONTRECORD';
  readonly overwrittenLsn: Lsn;
  readonly time: bigint;
}

/** Marks where an online checkpoint's replay begins (17 and later). */
export interface XlogCheckpointRedoBody {
  readonly kind: 'CHECKPOINT_REDO';
  readonly walLevel: number;
}

export type XlogBody =
  | XlogCheckpointBody
  | XlogBareBody
  | XlogNextOidBody
  | XlogBackupEndBody
  | XlogParameterChangeBody
  | XlogRestorePointBody
  | XlogFullPageWritesBody
  | XlogEndOfRecoveryBody
  | XlogOverwriteContrecordBody
  | XlogCheckpointRedoBody;

function readCheckpoint(
  record: DecodedRecord,
  reader: BodyReader,
  kind: XlogCheckpointBody['kind'],
): XlogCheckpointBody {
  const bytes = reader.bytes(CHECKPOINT_BYTES);
  return { kind, checkPoint: decodeCheckPoint(record.version, new DataView(bytes.buffer), 0) };
}

function readParameterChange(reader: BodyReader): XlogParameterChangeBody {
  const body: XlogParameterChangeBody = {
    kind: 'PARAMETER_CHANGE',
    maxConnections: reader.i32(),
    maxWorkerProcesses: reader.i32(),
    maxWalSenders: reader.i32(),
    maxPreparedTransactions: reader.i32(),
    maxLocksPerTransaction: reader.i32(),
    walLevel: reader.i32(),
    walLogHints: reader.bool(),
    trackCommitTimestamp: reader.bool(),
  };
  reader.skip(2);
  return body;
}

function readRestorePoint(reader: BodyReader): XlogRestorePointBody {
  const time = reader.i64();
  const bytes = reader.bytes(RESTORE_POINT_NAME_BYTES);
  const end = bytes.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  return { kind: 'RESTORE_POINT', time, name };
}

/** xl_end_of_recovery: since 17 wal_level takes the first half of what before was padding at the end. */
function readEndOfRecovery(record: DecodedRecord, reader: BodyReader): XlogEndOfRecoveryBody {
  const time = reader.i64();
  const timeline = reader.u32();
  const previousTimeline = reader.u32();
  let walLevel: number | undefined;
  if (record.version.checkPointHasWalLevel) {
    walLevel = reader.i32();
    reader.skip(4);
  }
  return { kind: 'END_OF_RECOVERY', time, timeline, previousTimeline, walLevel };
}

function readBody(record: DecodedRecord, reader: BodyReader): XlogBody {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_CHECKPOINT_SHUTDOWN:
      return readCheckpoint(record, reader, 'CHECKPOINT_SHUTDOWN');
    case XLOG_CHECKPOINT_ONLINE:
      return readCheckpoint(record, reader, 'CHECKPOINT_ONLINE');
    case XLOG_NOOP:
      // What it carries means nothing.
      reader.skip(reader.remaining);
      return { kind: 'NOOP' };
    case XLOG_NEXTOID:
      return { kind: 'NEXTOID', nextOid: reader.u32() };
    case XLOG_SWITCH:
      return { kind: 'SWITCH' };
    case XLOG_BACKUP_END:
      return { kind: 'BACKUP_END', startLsn: reader.lsn() };
    case XLOG_PARAMETER_CHANGE:
      return readParameterChange(reader);
    case XLOG_RESTORE_POINT:
      return readRestorePoint(reader);
    case XLOG_FPW_CHANGE:
      return { kind: 'FPW_CHANGE', fullPageWrites: reader.bool() };
    case XLOG_END_OF_RECOVERY:
      return readEndOfRecovery(record, reader);
    case XLOG_FPI_FOR_HINT:
      return { kind: 'FPI_FOR_HINT' };
    case XLOG_FPI:
      return { kind: 'FPI' };
    case XLOG_OVERWRITE_CONTRECORD:
      return { kind: 'OVERWRITE_CONTRECORD', overwrittenLsn: reader.lsn(), time: reader.i64() };
    case XLOG_CHECKPOINT_REDO:
      return { kind: 'CHECKPOINT_REDO', walLevel: reader.i32() };
    default:
      return refuseKind('XLOG', record);
  }
}

const KINDS = new Map([
  [XLOG_CHECKPOINT_SHUTDOWN, 'CHECKPOINT_SHUTDOWN'],
  [XLOG_CHECKPOINT_ONLINE, 'CHECKPOINT_ONLINE'],
  [XLOG_NOOP, 'NOOP'],
  [XLOG_NEXTOID, 'NEXTOID'],
  [XLOG_SWITCH, 'SWITCH'],
  [XLOG_BACKUP_END, 'BACKUP_END'],
  [XLOG_PARAMETER_CHANGE, 'PARAMETER_CHANGE'],
  [XLOG_RESTORE_POINT, 'RESTORE_POINT'],
  [XLOG_FPW_CHANGE, 'FPW_CHANGE'],
  [XLOG_END_OF_RECOVERY, 'END_OF_RECOVERY'],
  [XLOG_FPI_FOR_HINT, 'FPI_FOR_HINT'],
  [XLOG_FPI, 'FPI'],
  [XLOG_OVERWRITE_CONTRECORD, 'OVERWRITE_CONTRECORD'],
  [XLOG_CHECKPOINT_REDO, 'CHECKPOINT_REDO'],
]);

/** Checkpoints, settings, and pages logged whole. */
export const xlogResourceManager: ResourceManager<XlogBody> = {
  id: RM_XLOG,
  name: 'XLOG',
  kindName: (info) => findKindName(KINDS, info),
  kinds: [...KINDS.values()],
  decodeBody(record) {
    const reader = BodyReader.mainData(record);
    const body = readBody(record, reader);
    reader.expectEnd();
    return body;
  },
};
