import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { SafetyViolation } from './safety-violation.ts';

interface Vote {
  readonly term: number;
  readonly flushLsn: Lsn;
}

/**
 * A vote binds: who has given it takes no more WAL of the terms before, and has nothing more of them durable than it
 * said. A compute that starts from the highest vote would else start below what is there.
 */
export class VoteBinds {
  /** The vote in the highest term of each safekeeper. */
  readonly #votes = new Map<number, Vote>();

  voted(nodeId: number, term: number, flushLsn: Lsn): void {
    if (term > (this.#votes.get(nodeId)?.term ?? 0)) this.#votes.set(nodeId, { term, flushLsn });
  }

  /** @param followedTerm last term of its whole history */
  observed(nodeId: number, term: number, followedTerm: number, flushLsn: Lsn): void {
    const vote = this.#votes.get(nodeId);
    if (vote === undefined || vote.term !== term || followedTerm >= term || flushLsn <= vote.flushLsn) return;
    throw new SafetyViolation(
      'vote-binds',
      `safekeeper ${nodeId} voted with ${formatLsn(vote.flushLsn)} in term ${term}, and has ${formatLsn(flushLsn)} of term ${followedTerm}`,
    );
  }
}
