import { VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import type { VoteResponse } from '../../contracts/acceptor-messages.ts';
import type { TermHistory } from '../../contracts/term-history.ts';

export interface ElectionOutcome {
  readonly term: number;
  /** Where the WAL of the new term begins: what the best voter has goes on, what others have beyond is cut. */
  readonly startLsn: Lsn;
  /** All safekeepers have all below. */
  readonly truncateLsn: Lsn;
  readonly termHistory: TermHistory;
  /** Term of the last WAL before ours; 0 where there is none. */
  readonly donorTerm: number;
}

/** The elections that a proposer was in before, and what its server stands on. */
export interface PreviousElections {
  /** Terms of those that were won, ascending. As long as there is none, no server runs. */
  readonly terms: readonly number[];
  /** Where the log ended when the first was won, which is what the server started from; 0 before that. */
  readonly startLsn: Lsn;
  /** Term of the last WAL before that; 0 where there was none. */
  readonly donorTerm: number;
  /** The highest term that this proposer has asked for. A safekeeper in it need not have heard of anybody else. */
  readonly askedTerm: number;
}

const lastTerm = ({ termHistory }: VoteResponse): number => termHistory.at(-1)?.term ?? 0;

/**
 * What follows from the votes of a quorum. The donor is the voter with the newest term in its log, and of those the one
 * with most: any committed WAL is on one voter at least, and the donor's log holds it (protocol §3.7, rule 3).
 * @param initialLsn where the log begins if nothing was ever written to it
 * @throws VarveError ‘precondition’ / EMPTY_LOG where that is so and it is not given
 */
export function electionOutcome(
  term: number,
  votes: readonly VoteResponse[],
  initialLsn: Lsn,
): ElectionOutcome {
  const donor = votes.reduce((best, vote) => {
    const newer = lastTerm(vote) - lastTerm(best) || vote.flushLsn - best.flushLsn;
    return newer > 0 ? vote : best;
  });
  const startLsn = donor.flushLsn === 0 ? initialLsn : donor.flushLsn;
  if (startLsn === 0) {
    throw new VarveError(
      'precondition',
      'EMPTY_LOG',
      'nothing was ever written, and nobody knows where the log begins',
    );
  }
  const highestTruncateLsn = Math.max(...votes.map(({ truncateLsn }) => truncateLsn)) as Lsn;
  return {
    term,
    startLsn,
    truncateLsn: highestTruncateLsn,
    termHistory: [...donor.termHistory, { term, lsn: startLsn }],
    donorTerm: lastTerm(donor),
  };
}

/**
 * A proposer that goes on after an election of its own has a server that runs: the log must end with what this
 * proposer wrote, or be what it started from.
 * @throws VarveError ‘fenced’ where somebody else has written since.
 */
export function checkVoteFits(outcome: ElectionOutcome, previous: PreviousElections | undefined): void {
  if (previous === undefined || previous.terms.length === 0) return;
  if (previous.terms.includes(outcome.donorTerm)) return;
  // The same position is not enough: another term may have written other WAL up to there.
  if (outcome.donorTerm === previous.donorTerm && outcome.startLsn === previous.startLsn) return;
  throw new VarveError(
    'fenced',
    'LOG_OF_ANOTHER',
    `the log ends at ${formatLsn(outcome.startLsn)} in term ${outcome.donorTerm}, which is not what this proposer wrote in term ${previous.terms.at(-1)}`,
    { lsn: outcome.startLsn },
  );
}
