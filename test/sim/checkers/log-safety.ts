import { formatLsn } from '../../../src/base/lsn.ts';
import { historyUpTo, type TermStart } from '../../../src/contracts/term-history.ts';
import { SafetyViolation } from './safety-violation.ts';
import { type AcceptorSnapshot, expectSameTerms, expectSameWal } from './snapshots.ts';

/**
 * Log safety: what two acceptors both call committed is the same, in its bytes and in the terms that wrote it
 * (ProposerAcceptorStatic.tla, LogSafety).
 */
export function checkLogSafety(snapshots: readonly AcceptorSnapshot[]): void {
  forEachPair(snapshots, (left, right) => {
    const endLsn = left.commitLsn < right.commitLsn ? left.commitLsn : right.commitLsn;
    const what = `what safekeepers ${left.nodeId} and ${right.nodeId} call committed`;
    expectSameWal('log-safety', left.wal, right.wal, endLsn, `the bytes of ${what}`);
    expectSameTerms('log-safety', left.termHistory, right.termHistory, endLsn, `the bytes of ${what}`);
  });
}

/** Log matching: logs that both have WAL of a term are the same up to the end of what both have of it. */
export function checkLogMatching(snapshots: readonly AcceptorSnapshot[]): void {
  forEachPair(snapshots, (left, right) => {
    const what = `logs of safekeepers ${left.nodeId} and ${right.nodeId}`;
    const ours = historyUpTo(left.termHistory, left.flushLsn);
    const theirs = historyUpTo(right.termHistory, right.flushLsn);
    for (let index = ours.length - 1; index >= 0; index--) {
      const { term, lsn } = ours[index] as TermStart;
      const other = theirs.findIndex((entry) => entry.term === term);
      if (other < 0) continue;
      if (theirs[other]?.lsn !== lsn) {
        throw new SafetyViolation('log-matching', `the ${what} begin term ${term} at different positions`);
      }
      const ourEnd = ours[index + 1]?.lsn ?? left.flushLsn;
      const theirEnd = theirs[other + 1]?.lsn ?? right.flushLsn;
      const endLsn = ourEnd < theirEnd ? ourEnd : theirEnd;
      expectSameWal('log-matching', left.wal, right.wal, endLsn, `the ${what} share term ${term}, and`);
      expectSameTerms('log-matching', ours, theirs, endLsn, `the ${what} share term ${term}, and`);
      return;
    }
  });
}

/** Log monotony and the order of positions, of one acceptor. */
export function checkLogOrder(snapshot: AcceptorSnapshot): void {
  const { nodeId, term, termHistory, flushLsn, commitLsn, persistedCommitLsn } = snapshot;
  for (let index = 1; index < termHistory.length; index++) {
    const [before, after] = [termHistory[index - 1] as TermStart, termHistory[index] as TermStart];
    if (after.term <= before.term || after.lsn < before.lsn) {
      throw new SafetyViolation(
        'log-order',
        `safekeeper ${nodeId} has term ${after.term} after ${before.term}`,
      );
    }
  }
  if ((termHistory.at(-1)?.term ?? 0) > term) {
    throw new SafetyViolation('log-order', `safekeeper ${nodeId} of term ${term} has WAL of a later one`);
  }
  if (persistedCommitLsn > commitLsn || commitLsn > flushLsn) {
    const positions = [persistedCommitLsn, commitLsn, flushLsn].map(formatLsn).join(', ');
    throw new SafetyViolation('log-order', `safekeeper ${nodeId} has commit, commit, flush at ${positions}`);
  }
}

function forEachPair(
  snapshots: readonly AcceptorSnapshot[],
  check: (left: AcceptorSnapshot, right: AcceptorSnapshot) => void,
): void {
  for (let left = 0; left < snapshots.length; left++) {
    for (let right = left + 1; right < snapshots.length; right++) {
      check(snapshots[left] as AcceptorSnapshot, snapshots[right] as AcceptorSnapshot);
    }
  }
}
