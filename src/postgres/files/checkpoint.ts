import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, readLsn, writeLsn } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';

/** Offsets in CheckPoint (pg_control.h), the same in 14 to 18; wal_level is padding before 17. */
export const CHECKPOINT_REDO = 0;
export const CHECKPOINT_THIS_TIMELINE_ID = 8;
export const CHECKPOINT_PREV_TIMELINE_ID = 12;
export const CHECKPOINT_FULL_PAGE_WRITES = 16;
export const CHECKPOINT_WAL_LEVEL = 20;
export const CHECKPOINT_NEXT_XID = 24;
export const CHECKPOINT_NEXT_OID = 32;
export const CHECKPOINT_NEXT_MULTI = 36;
export const CHECKPOINT_NEXT_MULTI_OFFSET = 40;
export const CHECKPOINT_OLDEST_XID = 44;
export const CHECKPOINT_OLDEST_XID_DB = 48;
export const CHECKPOINT_OLDEST_MULTI = 52;
export const CHECKPOINT_OLDEST_MULTI_DB = 56;
export const CHECKPOINT_TIME = 64;
export const CHECKPOINT_OLDEST_COMMIT_TS_XID = 72;
export const CHECKPOINT_NEWEST_COMMIT_TS_XID = 76;
export const CHECKPOINT_OLDEST_ACTIVE_XID = 80;
/** sizeof(CheckPoint): oldestActiveXid ends at 84, 4 bytes of padding follow. */
export const CHECKPOINT_BYTES: number = 84 + 4;

/** First full transaction id that a number no longer holds exactly, as its high half. */
const FULL_XID_HIGH_LIMIT = 0x20_0000;
const TWO_POW_32 = 0x1_0000_0000;

/** Body of the checkpoint records, of which pg_control keeps a copy. */
export interface CheckPoint {
  readonly redo: Lsn;
  readonly thisTimelineId: number;
  readonly prevTimelineId: number;
  readonly fullPageWrites: boolean;
  /** 0 minimal, 1 replica, 2 logical; undefined before 17. */
  readonly walLevel: number | undefined;
  /** Full transaction id: epoch * 2^32 + xid. */
  readonly nextXid: number;
  readonly nextOid: number;
  readonly nextMulti: number;
  readonly nextMultiOffset: number;
  readonly oldestXid: number;
  readonly oldestXidDb: number;
  readonly oldestMulti: number;
  readonly oldestMultiDb: number;
  /** Seconds since 1970. */
  readonly time: bigint;
  /** 0 while commit timestamps are off. */
  readonly oldestCommitTsXid: number;
  readonly newestCommitTsXid: number;
  /** 0 but in online checkpoints with wal_level replica and above. */
  readonly oldestActiveXid: number;
}

/** Reads a little-endian full transaction id; refuses one at or above 2^53. */
export function readFullXid(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  if (high >= FULL_XID_HIGH_LIMIT) {
    throw new CorruptionError('XID_TOO_LARGE', `the transaction id's epoch ${high} is at or above 2^21`, {
      offset,
    });
  }
  return high * TWO_POW_32 + view.getUint32(offset, true);
}

export function writeFullXid(view: DataView, offset: number, fullXid: number): void {
  view.setUint32(offset, fullXid % TWO_POW_32, true);
  view.setUint32(offset + 4, Math.floor(fullXid / TWO_POW_32), true);
}

/**
 * Decodes the CheckPoint at `offset`.
 * @throws CorruptionError where the view ends within it, or an LSN or a transaction id is at or above 2^53.
 */
export function decodeCheckPoint(version: PostgresVersion, view: DataView, offset: number): CheckPoint {
  if (offset < 0 || offset + CHECKPOINT_BYTES > view.byteLength) {
    throw new CorruptionError(
      'BAD_CHECKPOINT',
      `a CheckPoint has ${CHECKPOINT_BYTES} bytes, these end before`,
      {
        offset,
      },
    );
  }
  const u32 = (field: number): number => view.getUint32(offset + field, true);
  return {
    redo: readLsn(view, offset + CHECKPOINT_REDO),
    thisTimelineId: u32(CHECKPOINT_THIS_TIMELINE_ID),
    prevTimelineId: u32(CHECKPOINT_PREV_TIMELINE_ID),
    fullPageWrites: view.getUint8(offset + CHECKPOINT_FULL_PAGE_WRITES) !== 0,
    walLevel: version.checkPointHasWalLevel ? view.getInt32(offset + CHECKPOINT_WAL_LEVEL, true) : undefined,
    nextXid: readFullXid(view, offset + CHECKPOINT_NEXT_XID),
    nextOid: u32(CHECKPOINT_NEXT_OID),
    nextMulti: u32(CHECKPOINT_NEXT_MULTI),
    nextMultiOffset: u32(CHECKPOINT_NEXT_MULTI_OFFSET),
    oldestXid: u32(CHECKPOINT_OLDEST_XID),
    oldestXidDb: u32(CHECKPOINT_OLDEST_XID_DB),
    oldestMulti: u32(CHECKPOINT_OLDEST_MULTI),
    oldestMultiDb: u32(CHECKPOINT_OLDEST_MULTI_DB),
    time: view.getBigInt64(offset + CHECKPOINT_TIME, true),
    oldestCommitTsXid: u32(CHECKPOINT_OLDEST_COMMIT_TS_XID),
    newestCommitTsXid: u32(CHECKPOINT_NEWEST_COMMIT_TS_XID),
    oldestActiveXid: u32(CHECKPOINT_OLDEST_ACTIVE_XID),
  };
}

/** Writes the CheckPoint at `offset`, where CHECKPOINT_BYTES must fit; padding becomes zero. */
export function encodeCheckPoint(
  version: PostgresVersion,
  checkPoint: CheckPoint,
  view: DataView,
  offset: number,
): void {
  for (let index = 0; index < CHECKPOINT_BYTES; index += 4) view.setUint32(offset + index, 0, true);
  writeLsn(view, offset + CHECKPOINT_REDO, checkPoint.redo);
  view.setUint32(offset + CHECKPOINT_THIS_TIMELINE_ID, checkPoint.thisTimelineId, true);
  view.setUint32(offset + CHECKPOINT_PREV_TIMELINE_ID, checkPoint.prevTimelineId, true);
  view.setUint8(offset + CHECKPOINT_FULL_PAGE_WRITES, checkPoint.fullPageWrites ? 1 : 0);
  if (version.checkPointHasWalLevel) {
    if (checkPoint.walLevel === undefined) {
      throw new CorruptionError(
        'BAD_CHECKPOINT',
        `a CheckPoint of PostgreSQL ${version.major} needs a wal_level`,
      );
    }
    view.setInt32(offset + CHECKPOINT_WAL_LEVEL, checkPoint.walLevel, true);
  }
  writeFullXid(view, offset + CHECKPOINT_NEXT_XID, checkPoint.nextXid);
  view.setUint32(offset + CHECKPOINT_NEXT_OID, checkPoint.nextOid, true);
  view.setUint32(offset + CHECKPOINT_NEXT_MULTI, checkPoint.nextMulti, true);
  view.setUint32(offset + CHECKPOINT_NEXT_MULTI_OFFSET, checkPoint.nextMultiOffset, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_XID, checkPoint.oldestXid, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_XID_DB, checkPoint.oldestXidDb, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_MULTI, checkPoint.oldestMulti, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_MULTI_DB, checkPoint.oldestMultiDb, true);
  view.setBigInt64(offset + CHECKPOINT_TIME, checkPoint.time, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_COMMIT_TS_XID, checkPoint.oldestCommitTsXid, true);
  view.setUint32(offset + CHECKPOINT_NEWEST_COMMIT_TS_XID, checkPoint.newestCommitTsXid, true);
  view.setUint32(offset + CHECKPOINT_OLDEST_ACTIVE_XID, checkPoint.oldestActiveXid, true);
}
