import { formatLsn } from '../../../src/base/lsn.ts';
import { SafetyViolation } from './safety-violation.ts';
import type { AcceptorSnapshot } from './snapshots.ts';

type Watched = Pick<AcceptorSnapshot, 'nodeId' | 'term' | 'generation' | 'commitLsn' | 'persistedCommitLsn'>;

/**
 * What never goes back: term, generation and persisted commit LSN, also not over a restart, and the commit LSN in
 * memory as long as the process runs.
 */
export class Monotony {
  readonly #last = new Map<number, Watched>();

  /** The acceptor runs on. */
  observed(now: Watched): void {
    const before = this.#last.get(now.nodeId);
    if (before !== undefined && now.commitLsn < before.commitLsn) {
      throw new SafetyViolation(
        'commit-monotony',
        `safekeeper ${now.nodeId} went from ${formatLsn(before.commitLsn)} to ${formatLsn(now.commitLsn)}`,
      );
    }
    this.restarted(now);
  }

  /** The acceptor has come up from its disk. */
  restarted(now: Watched): void {
    const before = this.#last.get(now.nodeId);
    if (before !== undefined) {
      for (const field of ['term', 'generation', 'persistedCommitLsn'] as const) {
        if (now[field] >= before[field]) continue;
        const change = `${field} of safekeeper ${now.nodeId} went from ${before[field]} to ${now[field]}`;
        throw new SafetyViolation('monotony', change);
      }
    }
    const { nodeId, term, generation, commitLsn, persistedCommitLsn } = now;
    this.#last.set(nodeId, { nodeId, term, generation, commitLsn, persistedCommitLsn });
  }
}
