import { BadRequestError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT, type Lsn } from '../../base/lsn.ts';
import { ProtocolError } from './wire-error.ts';

const TWO_POW_32 = 0x1_0000_0000;
/** Highest and lowest high half of a signed 64-bit number whose value a `number` holds exactly. */
const EXACT_HIGH_MAX = 0x1f_ffff;
const EXACT_HIGH_MIN = -0x20_0000;

/** Reads an LSN in network byte order. Throws a ProtocolError at or above 2^53. */
export function readWireLsn(view: DataView, offset: number): Lsn {
  const high = view.getUint32(offset);
  if (high >= LSN_HIGH_LIMIT) {
    throw new ProtocolError(
      'LSN_TOO_LARGE',
      `the LSN's high half ${high.toString(16)} is at or above 2^53 bytes`,
      { offset },
    );
  }
  return (high * TWO_POW_32 + view.getUint32(offset + 4)) as Lsn;
}

/** Writes an LSN in network byte order. */
export function writeWireLsn(view: DataView, offset: number, lsn: number): void {
  view.setUint32(offset, Math.floor(lsn / TWO_POW_32));
  view.setUint32(offset + 4, lsn % TWO_POW_32);
}

/**
 * Reads a TimestampTz: microseconds since 2000-01-01 00:00 UTC, below zero before that. A `number` is exact for the
 * 285 years around it; what lies outside of them is refused with a ProtocolError.
 */
export function readTimestamp(view: DataView, offset: number): number {
  const high = view.getInt32(offset);
  if (high > EXACT_HIGH_MAX || high < EXACT_HIGH_MIN) {
    throw new ProtocolError('BAD_TIMESTAMP', 'the time is further than 285 years from the year 2000', {
      offset,
    });
  }
  return high * TWO_POW_32 + view.getUint32(offset + 4);
}

/** Writes a TimestampTz, given in microseconds since 2000-01-01 00:00 UTC. */
export function writeTimestamp(view: DataView, offset: number, timeMicroseconds: number): void {
  if (!Number.isSafeInteger(timeMicroseconds)) {
    throw new BadRequestError('BAD_TIMESTAMP', `${timeMicroseconds} is not a whole number of microseconds`);
  }
  const high = Math.floor(timeMicroseconds / TWO_POW_32);
  view.setInt32(offset, high);
  view.setUint32(offset + 4, timeMicroseconds - high * TWO_POW_32);
}
