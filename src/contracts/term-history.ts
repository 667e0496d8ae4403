import { CorruptionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';

/** No term is higher: after it there must be room for more elections than there will ever be. */
export const TERM_MAX: number = 2 ** 48;

/** A term, and where the WAL begins that its proposer wrote. */
export interface TermStart {
  readonly term: number;
  readonly lsn: Lsn;
}

/**
 * Which term wrote which part of a log: ascending terms, and never descending LSNs. The WAL of an entry ends where
 * the next entry begins; that of the last goes on.
 */
export type TermHistory = readonly TermStart[];

/**
 * Refuses a history whose terms do not rise or whose LSNs fall.
 * @throws CorruptionError naming the first entry that is out of order.
 */
export function checkTermHistory(history: TermHistory): void {
  for (let index = 1; index < history.length; index++) {
    const previous = history[index - 1] as TermStart;
    const entry = history[index] as TermStart;
    if (entry.term <= previous.term || entry.lsn < previous.lsn) {
      throw new CorruptionError('BAD_TERM_HISTORY', `term ${entry.term} stands after term ${previous.term}`, {
        lsn: entry.lsn,
      });
    }
  }
}

/** The part of a history that a log flushed up to `flushLsn` can vouch for: entries that begin at or before it. */
export function historyUpTo(history: TermHistory, flushLsn: Lsn): TermHistory {
  const first = history.findIndex((entry) => entry.lsn > flushLsn);
  return first < 0 ? history : history.slice(0, first);
}

/** Term of the last WAL that a log flushed up to `flushLsn` has; 0 where it has none. */
export function lastLogTerm(history: TermHistory, flushLsn: Lsn): number {
  return historyUpTo(history, flushLsn).at(-1)?.term ?? 0;
}

/**
 * How far a proposer's log and an acceptor's are the same: the last common term and where its common part ends.
 * `acceptorHistory` must have been cut with `historyUpTo(…, acceptorFlushLsn)`. Undefined where they have nothing in
 * common, not even the first entry.
 *
 * Equal terms have the same first position in all logs, since a term has one proposer and that starts once.
 * @throws CorruptionError where they do not: one of the logs is not what was ever written.
 */
export function highestCommonPoint(
  proposerHistory: TermHistory,
  acceptorHistory: TermHistory,
  acceptorFlushLsn: Lsn,
): TermStart | undefined {
  let common = -1;
  for (let index = 0; index < Math.min(proposerHistory.length, acceptorHistory.length); index++) {
    const ours = proposerHistory[index] as TermStart;
    const theirs = acceptorHistory[index] as TermStart;
    if (ours.term !== theirs.term) break;
    if (ours.lsn !== theirs.lsn) {
      throw new CorruptionError(
        'BAD_TERM_HISTORY',
        `two logs begin term ${ours.term} at different positions`,
        {
          lsn: theirs.lsn,
        },
      );
    }
    common = index;
  }
  if (common < 0) return undefined;
  const { term } = proposerHistory[common] as TermStart;
  const acceptorEnd = acceptorHistory[common + 1]?.lsn ?? acceptorFlushLsn;
  const proposerEnd = proposerHistory[common + 1]?.lsn;
  // The proposer's last term goes on: all that the acceptor has of it is the proposer's.
  if (proposerEnd === undefined) return { term, lsn: acceptorFlushLsn };
  return { term, lsn: proposerEnd < acceptorEnd ? proposerEnd : acceptorEnd };
}
