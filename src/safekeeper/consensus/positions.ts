import { AssertionError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { LogPosition } from './effects.ts';

/** The positions of one timeline on one safekeeper. */
export interface Positions {
  readonly timelineStartLsn: Lsn;
  readonly localStartLsn: Lsn;
  readonly persistedCommitLsn: Lsn;
  readonly commitLsn: Lsn;
  /** The end of the log, or where the timeline begins while there is no log. */
  readonly log: LogPosition;
}

/**
 * The order of positions on a safekeeper:
 *
 *     timelineStart ≤ localStart ≤ flush,   persisted commit ≤ commit ≤ flush ≤ record ≤ write
 *
 * A log that is empty has no order to keep but that of its commit positions.
 * @throws AssertionError naming the two that are out of order.
 */
export function checkPositions(positions: Positions): void {
  const { timelineStartLsn, localStartLsn, persistedCommitLsn, commitLsn, log } = positions;
  inOrder('the persisted commit LSN', persistedCommitLsn, 'the commit LSN', commitLsn);
  if (log.writeLsn === 0) return;
  inOrder('the commit LSN', commitLsn, 'the flush LSN', log.flushLsn);
  inOrder('the flush LSN', log.flushLsn, 'the record LSN', log.recordLsn);
  inOrder('the record LSN', log.recordLsn, 'the write LSN', log.writeLsn);
  inOrder("the timeline's start", timelineStartLsn, 'the local start', localStartLsn);
  inOrder('the local start', localStartLsn, 'the flush LSN', log.flushLsn);
}

function inOrder(lowerName: string, lower: Lsn, higherName: string, higher: Lsn): void {
  if (lower <= higher) return;
  throw new AssertionError(`${lowerName} ${formatLsn(lower)} is above ${higherName} ${formatLsn(higher)}`, {
    lsn: lower,
  });
}
