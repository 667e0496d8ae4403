import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import type { TermHistory } from '../../../src/contracts/term-history.ts';
import { SafetyViolation } from './safety-violation.ts';
import { type AcceptorSnapshot, expectSameTerms, expectSameWal, type WalPiece } from './snapshots.ts';

/** A log as a proposer sees it. */
export interface ProposerLog {
  readonly term: number;
  readonly termHistory: TermHistory;
  readonly wal: WalPiece;
}

interface Election extends ProposerLog {
  readonly startLsn: Lsn;
}

interface Commit extends ProposerLog {
  readonly commitLsn: Lsn;
}

/**
 * All that was ever committed, as one log: it only grows, every later proposer starts with all of it, and no acceptor
 * calls more committed than a proposer did.
 */
export class CommittedLog {
  readonly #elections: Election[] = [];
  /** The furthest commit of each term, in the order in which the terms first committed. */
  readonly #commits = new Map<number, Commit>();
  #furthest: Commit;

  constructor(initialLsn: Lsn) {
    this.#furthest = {
      term: 0,
      termHistory: [],
      wal: { beginLsn: initialLsn, bytes: new Uint8Array(0) },
      commitLsn: initialLsn,
    };
  }

  get commitLsn(): Lsn {
    return this.#furthest.commitLsn;
  }

  /** A proposer has won its election, and would go on at `startLsn`. */
  elected(startLsn: Lsn, log: ProposerLog): void {
    const election = { ...log, startLsn };
    for (const commit of this.#commits.values()) expectHolds(election, commit);
    this.#elections.push(election);
  }

  /** A proposer says that a quorum has all below `commitLsn`. Its WAL must be at hand up to there. */
  committed(commitLsn: Lsn, log: ProposerLog): void {
    const commit = { ...log, commitLsn };
    const known = this.#commits.get(log.term);
    if (known !== undefined && commitLsn < known.commitLsn) {
      throw new SafetyViolation('commit-monotony', `term ${log.term} went back to ${formatLsn(commitLsn)}`);
    }
    for (const election of this.#elections) expectHolds(election, commit);
    const shared = commitLsn < this.commitLsn ? commitLsn : this.commitLsn;
    if (this.#furthest.term > 0) {
      const what = `the logs of terms ${log.term} and ${this.#furthest.term}, committed,`;
      expectSameWal('commit-durability', log.wal, this.#furthest.wal, shared, what);
      expectSameTerms('commit-durability', log.termHistory, this.#furthest.termHistory, shared, what);
    }
    this.#commits.set(log.term, commit);
    if (commitLsn > this.commitLsn) this.#furthest = commit;
  }

  /** What an acceptor calls committed is, and is what was committed. */
  acceptor({ nodeId, commitLsn, termHistory, wal }: AcceptorSnapshot): void {
    if (commitLsn > this.commitLsn) {
      throw new SafetyViolation(
        'commit-known',
        `safekeeper ${nodeId} is at ${formatLsn(commitLsn)}, proposers at ${formatLsn(this.commitLsn)}`,
      );
    }
    if (this.#furthest.term === 0) return;
    const what = `the log of safekeeper ${nodeId} and the committed one`;
    expectSameWal('log-safety', wal, this.#furthest.wal, commitLsn, what);
    expectSameTerms('log-safety', termHistory, this.#furthest.termHistory, commitLsn, what);
  }

  /** A proposer says that all safekeepers have all below `truncateLsn`, which must be committed. */
  truncatable(truncateLsn: Lsn): void {
    if (truncateLsn <= this.commitLsn) return;
    throw new SafetyViolation('truncate-bound', `${formatLsn(truncateLsn)} is not committed`);
  }
}

/** An election of a later term than the commit's has all that was committed. */
function expectHolds(election: Election, commit: Commit): void {
  if (election.term <= commit.term) return;
  const what = `the log that term ${election.term} starts with and that which term ${commit.term} committed`;
  if (election.startLsn < commit.commitLsn) {
    const positions = `${formatLsn(election.startLsn)}, before ${formatLsn(commit.commitLsn)}`;
    throw new SafetyViolation('commit-durability', `${what}: it starts at ${positions}`);
  }
  expectSameWal('commit-durability', election.wal, commit.wal, commit.commitLsn, what);
  expectSameTerms('commit-durability', election.termHistory, commit.termHistory, commit.commitLsn, what);
}
