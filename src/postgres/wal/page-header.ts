/** The header of a WAL page (xlog_internal.h: XLogPageHeaderData, XLogLongPageHeaderData). */
import { writeLsn } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';

/** XLOG_BLCKSZ. */
export const WAL_PAGE_BYTES = 8192;

/** magic 2 + info 2 + timeline 4 + page address 8 + remaining length 4, rounded up to 8. */
export const SHORT_HEADER_BYTES: number = 2 + 2 + 4 + 8 + 4 + 4;
/** The short header, then system identifier 8 + segment size 4 + block size 4. On the first page of a segment. */
export const LONG_HEADER_BYTES: number = SHORT_HEADER_BYTES + 8 + 4 + 4;

export const WAL_HEADER_MAGIC = 0;
export const WAL_HEADER_INFO = 2;
export const WAL_HEADER_TIMELINE = 4;
export const WAL_HEADER_PAGE_ADDRESS = 8;
export const WAL_HEADER_REMAINING_LENGTH = 16;
export const WAL_HEADER_SYSTEM_IDENTIFIER = 24;
export const WAL_HEADER_SEGMENT_SIZE = 32;
export const WAL_HEADER_BLOCK_SIZE = 36;

/** XLP_FIRST_IS_CONTRECORD: the page begins with the rest of a record from the page before. */
export const WAL_PAGE_FIRST_IS_CONTRECORD = 0x0001;
/** XLP_LONG_HEADER. */
export const WAL_PAGE_LONG_HEADER = 0x0002;
/** XLP_BKP_REMOVABLE. */
export const WAL_PAGE_BACKUP_REMOVABLE = 0x0004;
/** XLP_FIRST_IS_OVERWRITE_CONTRECORD: the record that should go on here was given up after a crash. */
export const WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD = 0x0008;
/** XLP_ALL_FLAGS. */
export const WAL_PAGE_ALL_FLAGS = 0x000f;

/** Least and greatest WAL segment size that PostgreSQL accepts (IsValidWalSegSize), powers of two in bytes. */
export const SEGMENT_BYTES_MIN: number = 1024 * 1024;
export const SEGMENT_BYTES_MAX: number = 1024 * 1024 * 1024;
export const SEGMENT_BYTES_DEFAULT: number = 16 * 1024 * 1024;

/** True for a power of two from 1 MiB to 1 GiB. */
export function isSegmentSize(bytes: number): boolean {
  return (
    Number.isInteger(bytes) &&
    bytes >= SEGMENT_BYTES_MIN &&
    bytes <= SEGMENT_BYTES_MAX &&
    Number.isInteger(Math.log2(bytes))
  );
}

/** Size in bytes of the header of the page that begins at `pageLsn`. */
export function walPageHeaderBytes(pageLsn: number, segmentBytes: number): number {
  return pageLsn % segmentBytes === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES;
}

/** Where the first byte of a record can be at or after `lsn`: aligned, and never in a page header. */
export function firstRecordPosition(lsn: number, segmentBytes: number): number {
  const aligned = lsn + ((8 - (lsn % 8)) % 8);
  const pageLsn = aligned - (aligned % WAL_PAGE_BYTES);
  return Math.max(aligned, pageLsn + walPageHeaderBytes(pageLsn, segmentBytes));
}

export interface WalPageHeader {
  readonly version: PostgresVersion;
  readonly timelineId: number;
  readonly pageLsn: number;
  /** Flags other than WAL_PAGE_LONG_HEADER, which follows from the LSN. */
  readonly flags: number;
  /** Bytes of a record from the page before that are still to come, from this page on. */
  readonly remainingLength: number;
  readonly segmentBytes: number;
  readonly systemIdentifier: bigint;
}

/** Writes a page header at `offset`: the long one on the first page of a segment. Returns its size in bytes. */
export function writeWalPageHeader(view: DataView, offset: number, header: WalPageHeader): number {
  const length = walPageHeaderBytes(header.pageLsn, header.segmentBytes);
  const isLong = length === LONG_HEADER_BYTES;
  view.setUint16(offset + WAL_HEADER_MAGIC, header.version.walPageMagic, true);
  view.setUint16(offset + WAL_HEADER_INFO, header.flags | (isLong ? WAL_PAGE_LONG_HEADER : 0), true);
  view.setUint32(offset + WAL_HEADER_TIMELINE, header.timelineId, true);
  writeLsn(view, offset + WAL_HEADER_PAGE_ADDRESS, header.pageLsn);
  view.setUint32(offset + WAL_HEADER_REMAINING_LENGTH, header.remainingLength, true);
  view.setUint32(offset + WAL_HEADER_REMAINING_LENGTH + 4, 0, true);
  if (!isLong) return length;
  view.setBigUint64(offset + WAL_HEADER_SYSTEM_IDENTIFIER, header.systemIdentifier, true);
  view.setUint32(offset + WAL_HEADER_SEGMENT_SIZE, header.segmentBytes, true);
  view.setUint32(offset + WAL_HEADER_BLOCK_SIZE, WAL_PAGE_BYTES, true);
  return length;
}
