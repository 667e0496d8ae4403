import type { Lsn } from '../../../src/base/lsn.ts';
import {
  hasQuorum,
  isMember,
  type MembershipConfiguration,
  majorityOf,
} from '../../../src/contracts/membership.ts';
import type { Acceptor } from '../../../src/safekeeper/consensus/acceptor.ts';
import type { Safekeeper } from '../../../src/safekeeper/safekeeper.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { Kernel } from '../kernel.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import { addressOf, SERVER, TENANT, TIMELINE } from './timeline-identity.ts';

/** What a safekeeper answered when it was asked, or told to switch. */
interface Status {
  readonly term: number;
  readonly logTerm: number;
  readonly flushLsn: number;
}

const NONE: Status = { term: 0, logTerm: 0, flushLsn: 0 };
const ASK_INTERVAL_US = 15_000;

/**
 * Whoever changes the members, one change after the other: old set, both sets, new set. Both sets may only be left when
 * a majority of the old set is in the joint configuration, and a majority of the new one is too and has at least the
 * term and the log of that old majority (ProposerAcceptorReconfig.tla).
 */
export class MembershipChanges {
  current: MembershipConfiguration;
  readonly #kernel: Kernel;
  readonly #random: SeededRandom;
  readonly #safekeepers: readonly SafekeeperNode[];
  readonly #startLsn: Lsn;
  /** Of the old set the first answer after the switch, of the new set the last. */
  readonly #first = new Map<number, Status>();
  readonly #last = new Map<number, Status>();
  #isRunning = false;

  constructor(
    kernel: Kernel,
    random: SeededRandom,
    safekeepers: readonly SafekeeperNode[],
    initial: MembershipConfiguration,
    startLsn: Lsn,
  ) {
    this.#kernel = kernel;
    this.#random = random;
    this.#safekeepers = safekeepers;
    this.current = initial;
    this.#startLsn = startLsn;
  }

  /** No change is under way. */
  get isSettled(): boolean {
    return this.current.newMembers === undefined;
  }

  /** Makes the timeline, as its first members are to have it. */
  createTimelines(): void {
    for (const { id } of this.current.members) this.#tell(this.#safekeepers[id - 1] as SafekeeperNode);
    this.#run();
  }

  /** Begins to change one member, unless a change is under way. */
  begin(): void {
    if (!this.isSettled) return;
    const { generation, members } = this.current;
    const inside = members.map(({ id }) => id);
    const outside = this.#safekeepers.map(({ id }) => id).filter((id) => !inside.includes(id));
    if (outside.length === 0) return;
    const leaving = this.#random.pick(inside);
    const coming = this.#random.pick(outside);
    const newMembers = inside.map((id) => addressOf(id === leaving ? coming : id));
    this.current = { generation: generation + 1, members, newMembers };
    this.#first.clear();
    this.#last.clear();
  }

  /** Asks and tells somebody, for as long as the run lasts. */
  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    const step = (): void => {
      if (this.#canLeave()) {
        const { generation, newMembers } = this.current;
        this.current = { generation: generation + 1, members: newMembers ?? [], newMembers: undefined };
      }
      this.#tell(this.#random.pick(this.#safekeepers));
      this.#kernel.after(undefined, 1 + this.#random.below(2 * ASK_INTERVAL_US), step);
    };
    this.#kernel.after(undefined, ASK_INTERVAL_US, step);
  }

  #tell(node: SafekeeperNode): void {
    const wanted = this.current;
    if (isMember(wanted, node.id)) node.request((safekeeper) => this.#switch(safekeeper, node.id, wanted));
  }

  /** As PUT …/membership and PUT …/term_bump do; a safekeeper that lacks the timeline is told to make it. */
  async #switch(safekeeper: Safekeeper, id: number, wanted: MembershipConfiguration): Promise<void> {
    const startLsn = this.#startLsn;
    const timeline = await safekeeper.timelines.create({
      tenantId: TENANT,
      timelineId: TIMELINE,
      membership: wanted,
      server: SERVER,
      startLsn,
      commitLsn: startLsn,
    });
    using resident = await timeline.stay('state');
    const { acceptor } = resident;
    await acceptor.run((it) => it.switchMembership(wanted));
    this.#answered(id, acceptor.acceptor, wanted);
    const termNeeded = this.#oldMajority()?.term ?? 0;
    if (wanted !== this.current || acceptor.acceptor.term >= termNeeded) return;
    await acceptor.run((it) => it.bumpTerm(termNeeded));
    this.#answered(id, acceptor.acceptor, wanted);
  }

  #answered(id: number, acceptor: Acceptor, asked: MembershipConfiguration): void {
    if (asked !== this.current || acceptor.membership.generation !== this.current.generation) return;
    const status = { term: acceptor.term, logTerm: acceptor.lastLogTerm, flushLsn: acceptor.flushLsn };
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
    const { generation, newMembers } = this.current;
    const most = this.#oldMajority();
    if (newMembers === undefined || most === undefined) return false;
    return hasQuorum({ generation, members: newMembers, newMembers: undefined }, (id) => {
      const status = this.#last.get(id);
      return status !== undefined && status.term >= most.term && isAtLeast(status, most);
    });
  }
}

function isAtLeast(left: Status, right: Status): boolean {
  return left.logTerm > right.logTerm || (left.logTerm === right.logTerm && left.flushLsn >= right.flushLsn);
}
