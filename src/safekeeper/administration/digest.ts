import { createHash } from 'node:crypto';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn, toLsn } from '../../base/lsn.ts';
import type { DigestRange } from '../../contracts/safekeeper-api.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';

/** Read and hashed at once: a tenth of a millisecond. */
const CHUNK_BYTES = 128 * 1024;

/** Reads WAL of a timeline, wherever it is; as WalStorage.read. */
export type ReadWal = (
  timeline: ResidentTimeline,
  target: Uint8Array,
  start: number,
  length: number,
  lsn: Lsn,
) => Promise<number>;

/**
 * SHA-256 of the WAL in a range, in hexadecimal.
 * @throws BadRequestError / BAD_RANGE for a range that is not within the WAL that is durable here
 */
export async function digestWal(
  timeline: ResidentTimeline,
  { from_lsn, until_lsn }: DigestRange,
  readWal: ReadWal,
  signal: AbortSignal,
): Promise<string> {
  const { acceptor } = timeline.acceptor;
  const { timelineStartLsn } = acceptor.persistent;
  if (from_lsn > until_lsn || from_lsn < timelineStartLsn || until_lsn > acceptor.flushLsn) {
    throw new BadRequestError(
      'BAD_RANGE',
      `the WAL goes from ${formatLsn(timelineStartLsn)} to ${formatLsn(acceptor.flushLsn)}`,
      { lsn: from_lsn > until_lsn || from_lsn < timelineStartLsn ? from_lsn : until_lsn },
    );
  }
  const hash = createHash('sha256');
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(1, until_lsn - from_lsn)));
  for (let lsn: number = from_lsn; lsn < until_lsn; ) {
    checkGoesOn(timeline, signal);
    const length = await readWal(timeline, buffer, 0, Math.min(buffer.length, until_lsn - lsn), toLsn(lsn));
    if (length === 0) {
      throw new VarveError('unavailable', 'WAL_TRUNCATED', 'WAL was cut while it was read', { lsn });
    }
    hash.update(buffer.subarray(0, length));
    lsn += length;
  }
  return hash.digest('hex');
}

/**
 * Stops what takes long.
 * @throws VarveError ‘cancelled’ where the timeline is closing or the signal is given
 */
export function checkGoesOn(timeline: ResidentTimeline, signal: AbortSignal): void {
  if (timeline.signal.aborted) throw new VarveError('cancelled', 'CLOSING', 'the timeline is closing');
  if (signal.aborted) throw new VarveError('cancelled', 'CANCELLED', 'whoever asked has gone, or we close');
}
