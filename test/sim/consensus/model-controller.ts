import {
  hasQuorum,
  isMember,
  type MembershipConfiguration,
  majorityOf,
} from '../../../src/contracts/membership.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { ModelAcceptor } from './model-acceptor.ts';
import { address } from './model-timeline.ts';

/** What a safekeeper answered when it was asked, or told to switch. */
interface Status {
  readonly generation: number;
  readonly term: number;
  readonly logTerm: number;
  readonly flushLsn: number;
}

const NONE: Status = { generation: 0, term: 0, logTerm: 0, flushLsn: 0 };

/**
 * Changes the members, one change after the other: old set, both sets, new set. Both sets may only be left when a
 * majority of the old set is in the joint configuration, and a majority of the new one is too and has at least the
 * term and the log of that old majority (ProposerAcceptorReconfig.tla).
 */
export class ModelController {
  current: MembershipConfiguration;
  readonly #random: SeededRandom;
  readonly #nodeCount: number;
  /** Of the old set the first answer after the switch, of the new set the last. */
  readonly #first = new Map<number, Status>();
  readonly #last = new Map<number, Status>();

  constructor(current: MembershipConfiguration, nodeCount: number, random: SeededRandom) {
    this.current = current;
    this.#nodeCount = nodeCount;
    this.#random = random;
  }

  /** Does one thing that can be done now. */
  step(acceptors: readonly ModelAcceptor[]): void {
    if (this.current.newMembers === undefined) {
      if (this.#random.chance(0.1)) this.#begin();
      else this.#tell(this.#random.pick(acceptors));
    } else if (this.#canLeave()) {
      const { generation, newMembers } = this.current;
      this.current = { generation: generation + 1, members: newMembers as never, newMembers: undefined };
    } else {
      this.#tell(this.#random.pick(acceptors));
    }
  }

  #begin(): void {
    const { generation, members } = this.current;
    const ids = Array.from({ length: this.#nodeCount }, (_, index) => index + 1);
    const newMembers = this.#random.shuffle(ids).slice(0, 3).map(address);
    this.current = { generation: generation + 1, members, newMembers };
    this.#first.clear();
    this.#last.clear();
  }

  #tell(model: ModelAcceptor): void {
    const { acceptor, id } = model;
    const wanted = this.current;
    if (acceptor === undefined || model.isBusy || !isMember(wanted, id)) return;
    const answered = (): void => this.#answered(id, model);
    if (acceptor.membership.generation < wanted.generation) {
      model.run(acceptor.switchMembership(wanted), answered, answered);
      return;
    }
    answered();
    const termNeeded = this.#oldMajority()?.term ?? 0;
    if (acceptor.term < termNeeded) model.run(acceptor.bumpTerm(termNeeded), answered, answered);
  }

  #answered(id: number, { acceptor }: ModelAcceptor): void {
    if (acceptor === undefined || acceptor.membership.generation !== this.current.generation) return;
    const status = {
      generation: acceptor.membership.generation,
      term: acceptor.term,
      logTerm: acceptor.lastLogTerm,
      flushLsn: acceptor.flushLsn,
    };
    if (!this.#first.has(id)) this.#first.set(id, status);
    this.#last.set(id, status);
  }

  /** The most that a majority of the old set said, of the one that answered first. */
  #oldMajority(): Status | undefined {
    const { members } = this.current;
    let missing = majorityOf(members.length);
    let most = NONE;
    for (const [id, status] of this.#first) {
      if (missing === 0 || !members.some((member) => member.id === id)) continue;
      missing--;
      const log = isAtLeast(status, most) ? status : most;
      most = { ...log, term: Math.max(status.term, most.term) };
    }
    return missing === 0 ? most : undefined;
  }

  #canLeave(): boolean {
    const most = this.#oldMajority();
    if (most === undefined) return false;
    const { generation, newMembers } = this.current;
    return hasQuorum({ generation, members: newMembers ?? [], newMembers: undefined }, (id) => {
      const status = this.#last.get(id);
      return status !== undefined && status.term >= most.term && isAtLeast(status, most);
    });
  }
}

function isAtLeast(left: Status, right: Status): boolean {
  return left.logTerm > right.logTerm || (left.logTerm === right.logTerm && left.flushLsn >= right.flushLsn);
}
