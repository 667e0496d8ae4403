import { BadRequestError, CorruptionError } from './errors.ts';

declare const lsnBrand: unique symbol;

/**
 * A position in the WAL, in bytes from its beginning. A plain number, exact below 2^53 (8 PiB of WAL);
 * larger ones are refused where they are decoded, so that no hot path needs a BigInt.
 */
export type Lsn = number & { readonly [lsnBrand]: true };

/** PostgreSQL's InvalidXLogRecPtr. */
export const INVALID_LSN = 0 as Lsn;

/** First value that is no longer exact: the high half of an LSN must be below this. */
export const LSN_HIGH_LIMIT = 0x20_0000;
const TWO_POW_32 = 0x1_0000_0000;

/** Brands a number that is known to be a whole one in [0, 2^53). */
export function toLsn(value: number): Lsn {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new BadRequestError('BAD_LSN', `${value} is not an LSN: whole numbers from 0 to 2^53-1 are`);
  }
  return value as Lsn;
}

/** `HI/LO` in upper-case hexadecimal without padding, as PostgreSQL prints it. */
export function formatLsn(lsn: number): string {
  const high = Math.floor(lsn / TWO_POW_32).toString(16);
  const low = (lsn % TWO_POW_32).toString(16);
  return `${high}/${low}`.toUpperCase();
}

/** Parses `HI/LO`: exactly one slash, one to eight hexadecimal digits on both sides. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  const high = match === null ? Number.NaN : Number.parseInt(match[1] as string, 16);
  if (match === null || high >= LSN_HIGH_LIMIT) {
    throw new BadRequestError(
      'BAD_LSN',
      `"${text}" is not an LSN: write two hexadecimal halves such as 0/16B5A50`,
    );
  }
  return (high * TWO_POW_32 + Number.parseInt(match[2] as string, 16)) as Lsn;
}

/** Reads a little-endian 64-bit LSN, PostgreSQL's form in WAL and files. Throws a RangeError outside of the view. */
export function readLsn(view: DataView, offset: number): Lsn {
  const high = view.getUint32(offset + 4, true);
  if (high >= LSN_HIGH_LIMIT) {
    throw new CorruptionError(
      'LSN_TOO_LARGE',
      `the LSN's high half ${high.toString(16)} is at or above 2^53 bytes`,
      {
        offset,
      },
    );
  }
  return (high * TWO_POW_32 + view.getUint32(offset, true)) as Lsn;
}

/** Writes a little-endian 64-bit LSN. */
export function writeLsn(view: DataView, offset: number, lsn: number): void {
  view.setUint32(offset, lsn % TWO_POW_32, true);
  view.setUint32(offset + 4, Math.floor(lsn / TWO_POW_32), true);
}

/** Rounds up to PostgreSQL's MAXALIGN (8 bytes), where the next record may begin. */
export function alignLsn(lsn: number): Lsn {
  const rest = lsn % 8;
  return (rest === 0 ? lsn : lsn + 8 - rest) as Lsn;
}
