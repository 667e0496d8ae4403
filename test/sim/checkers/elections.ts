import { SafetyViolation } from './safety-violation.ts';

/** Election safety: in one term one proposer is elected at most, and it starts at one place. */
export class ElectionSafety {
  readonly #winners = new Map<number, string>();

  /** How many terms were won. */
  get count(): number {
    return this.#winners.size;
  }

  /** @param proposer a name that is its own for each attempt at an election */
  elected(term: number, proposer: string): void {
    const winner = this.#winners.get(term);
    if (winner !== undefined && winner !== proposer) {
      throw new SafetyViolation('election-safety', `term ${term} was won by ${winner} and by ${proposer}`);
    }
    this.#winners.set(term, proposer);
  }
}

/** Vote once: an acceptor gives its vote for a term once, and never for a term below one that it has voted in. */
export class VoteOnce {
  readonly #voted = new Map<number, number>();

  granted(nodeId: number, term: number): void {
    const last = this.#voted.get(nodeId) ?? 0;
    if (term <= last) {
      throw new SafetyViolation('vote-once', `safekeeper ${nodeId} votes in term ${term} after ${last}`);
    }
    this.#voted.set(nodeId, term);
  }
}
