import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import type { PostgresVersion } from '../versions/version.ts';
import { FIRST_NORMAL_XID } from './slru.ts';

/** TWOPHASE_DIR. */
export const TWO_PHASE_DIRECTORY = 'pg_twophase';
/** TWOPHASE_MAGIC (twophase.c). */
export const TWOPHASE_MAGIC = 0x57f9_4534;
/** The CRC that ends the file, but is not in the PREPARE record. */
export const TWOPHASE_CRC_BYTES = 4;

const TWO_POW_32 = 0x1_0000_0000;

/**
 * FullTransactionIdFromAllowableAt (transam.h): the full id of a 32-bit xid that had been given out when `nextXid`
 * (a full id) was the next: it belongs to the same epoch or to the one before.
 */
export function fullXidAt(nextXid: number, xid: number): number {
  if (xid < FIRST_NORMAL_XID) return xid;
  const epoch = Math.floor(nextXid / TWO_POW_32);
  return (xid > nextXid % TWO_POW_32 ? epoch - 1 : epoch) * TWO_POW_32 + xid;
}

/**
 * TwoPhaseFilePath: the file's name in pg_twophase. `nextXid` is the full id that was next when the transaction
 * was prepared, or later.
 */
export function twoPhaseFileName(version: PostgresVersion, nextXid: number, xid: number): string {
  const fullXid = fullXidAt(nextXid, xid);
  if (fullXid < 0) {
    throw new CorruptionError(
      'BAD_PREPARED_XID',
      `transaction ${xid} is prepared, but ${nextXid} is the next one`,
    );
  }
  const name = version.twoPhaseNameDigits === 16 ? fullXid : fullXid % TWO_POW_32;
  return name.toString(16).toUpperCase().padStart(version.twoPhaseNameDigits, '0');
}

/** RecreateTwoPhaseFile: the file's content from a PREPARE record's main data. */
export function encodeTwoPhaseFile(content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(content.length + TWOPHASE_CRC_BYTES);
  bytes.set(content);
  new DataView(bytes.buffer).setUint32(content.length, crc32c(content), true);
  return bytes;
}

/**
 * ReadTwoPhaseFile: the content without its CRC.
 * @throws CorruptionError for a wrong magic number, length or CRC.
 */
export function decodeTwoPhaseFile(bytes: Uint8Array, file: string): Uint8Array {
  const end = bytes.length - TWOPHASE_CRC_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (
    end < 8 ||
    view.getUint32(0, true) !== TWOPHASE_MAGIC ||
    view.getUint32(4, true) !== bytes.length ||
    view.getUint32(end, true) !== crc32c(bytes, 0, end)
  ) {
    throw new CorruptionError(
      'BAD_TWO_PHASE_FILE',
      'wrong magic number, length or CRC in a prepared transaction',
      {
        file,
      },
    );
  }
  return bytes.slice(0, end);
}
