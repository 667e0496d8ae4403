import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import type { TermHistory } from '../../../src/contracts/term-history.ts';
import { SafetyViolation } from './safety-violation.ts';

/** A piece of WAL: `bytes[0]` is at `beginLsn`. */
export interface WalPiece {
  readonly beginLsn: Lsn;
  readonly bytes: Uint8Array;
}

/** What an acceptor is at one moment, in memory and on its disk. */
export interface AcceptorSnapshot {
  readonly nodeId: number;
  readonly generation: number;
  readonly term: number;
  readonly termHistory: TermHistory;
  readonly flushLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly persistedCommitLsn: Lsn;
  /** What is on the disk up to `flushLsn`, as far as it is at hand. */
  readonly wal: WalPiece;
}

/**
 * Refuses two pieces of WAL that differ below `endLsn`, in the part that both have.
 * @throws SafetyViolation of `rule`
 */
export function expectSameWal(
  rule: string,
  left: WalPiece,
  right: WalPiece,
  endLsn: Lsn,
  what: string,
): void {
  const from = Math.max(left.beginLsn, right.beginLsn);
  const to = Math.min(endLsn, left.beginLsn + left.bytes.length, right.beginLsn + right.bytes.length);
  for (let lsn = from; lsn < to; lsn++) {
    if (left.bytes[lsn - left.beginLsn] !== right.bytes[lsn - right.beginLsn]) {
      throw new SafetyViolation(rule, `${what} differ at ${formatLsn(lsn)}`);
    }
  }
}

/**
 * Refuses two histories by which a position below `endLsn` was written in different terms.
 * @throws SafetyViolation of `rule`
 */
export function expectSameTerms(
  rule: string,
  left: TermHistory,
  right: TermHistory,
  endLsn: Lsn,
  what: string,
): void {
  const ours = partsBelow(left, endLsn);
  const theirs = partsBelow(right, endLsn);
  if (ours !== theirs)
    throw new SafetyViolation(rule, `${what} were written in other terms: ${ours} and ${theirs}`);
}

/** Terms that wrote anything below `endLsn`, and where each began. */
function partsBelow(history: TermHistory, endLsn: Lsn): string {
  let parts = '';
  for (let index = 0; index < history.length; index++) {
    const { term, lsn } = history[index] as { term: number; lsn: Lsn };
    const partEnd = Math.min(endLsn, history[index + 1]?.lsn ?? endLsn);
    if (partEnd > lsn) parts += ` ${term}@${formatLsn(lsn)}`;
  }
  return parts;
}
