import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { hasQuorum, type MembershipConfiguration } from '../../../src/contracts/membership.ts';
import { SafetyViolation } from './safety-violation.ts';

/**
 * What is called committed in a term has been durable on a quorum, each of which followed that term then. A set of the
 * configuration may be counted by a proposer as often as it likes, but not here.
 */
export class CommitQuorum {
  /** The furthest that each safekeeper has had durable in each term that it followed. */
  readonly #flushed = new Map<number, Map<number, Lsn>>();

  /** @param followedTerm last term of its whole history */
  flushed(nodeId: number, followedTerm: number, flushLsn: Lsn): void {
    let terms = this.#flushed.get(nodeId);
    if (terms === undefined) {
      terms = new Map();
      this.#flushed.set(nodeId, terms);
    }
    if (flushLsn > (terms.get(followedTerm) ?? 0)) terms.set(followedTerm, flushLsn);
  }

  /** It has said so in an answer of this term. */
  reported(nodeId: number, term: number, flushLsn: Lsn): void {
    const known = this.#flushed.get(nodeId)?.get(term) ?? 0;
    if (flushLsn <= known) return;
    throw new SafetyViolation(
      'ack-truth',
      `safekeeper ${nodeId} reports ${formatLsn(flushLsn)} of term ${term}, and never had more than ${formatLsn(known)}`,
    );
  }

  committed(term: number, commitLsn: Lsn, membership: MembershipConfiguration): void {
    if (hasQuorum(membership, (id) => (this.#flushed.get(id)?.get(term) ?? 0) >= commitLsn)) return;
    const positions = [...this.#flushed].map(([id, terms]) => `${id} at ${formatLsn(terms.get(term) ?? 0)}`);
    throw new SafetyViolation(
      'commit-quorum',
      `term ${term} calls ${formatLsn(commitLsn)} committed, with safekeepers ${positions.join(', ')}`,
    );
  }
}
