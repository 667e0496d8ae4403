import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import type { AcceptorMessage } from '../../../src/contracts/acceptor-messages.ts';
import { type MembershipConfiguration, NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import type { ProposerEffect } from '../../../src/proposer/consensus/proposer-effects.ts';
import type { ProposerMachine } from '../../../src/proposer/consensus/proposer-machine.ts';
import { TEST_SEGMENT_BYTES } from '../../support/safekeeper-wal.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { Kernel } from '../kernel.ts';
import { ComputeNode } from './compute-node.ts';
import { MembershipChanges } from './membership-changes.ts';
import { Observer } from './observer.ts';
import { SafekeeperNode } from './safekeeper-node.ts';
import { addressOf } from './timeline-identity.ts';

export interface ClusterOptions {
  readonly seed: number;
  /** Members of the timeline's configuration. */
  readonly safekeepers: number;
  readonly traceCapacity?: number;
}

/** What kind of world a seed gives. */
interface Character {
  /** 0: the first proposer makes the timeline, and members never change. */
  readonly generation: number;
  readonly computes: number;
  readonly startLsn: Lsn;
  readonly bitFlipChance: number;
}

function drawCharacter(random: SeededRandom): Character {
  const segment = 1 + random.below(3);
  // Mostly shortly before a segment's end: crossing it is what is of interest.
  const nearEnd = TEST_SEGMENT_BYTES - 8192 * (1 + random.below(8)) + random.pick([40, 1024, 8000]);
  const inSegment = random.chance(0.7) ? nearEnd : 40;
  return {
    generation: random.chance(0.65) ? 1 : 0,
    computes: 1 + random.below(3),
    startLsn: toLsn(segment * TEST_SEGMENT_BYTES + inSegment),
    bitFlipChance: random.chance(0.4) ? 0.1 : 0,
  };
}

/** Safekeepers and computes of the production code on simulated machines, and the checkers that watch them. */
export class Cluster {
  readonly kernel: Kernel;
  readonly random: SeededRandom;
  readonly character: Character;
  readonly safekeepers: readonly SafekeeperNode[];
  readonly computes: readonly ComputeNode[];
  readonly membership: MembershipChanges;
  readonly observer: Observer;
  readonly memberCount: number;
  #servers = 0;
  /** What each machine goes by, as it told the safekeepers. */
  readonly #memberships = new WeakMap<ProposerMachine, MembershipConfiguration>();
  /** Nothing is broken any more, and computes are started by hand. */
  isHealing = false;

  constructor({ seed, safekeepers, traceCapacity }: ClusterOptions) {
    this.kernel = new Kernel(seed, traceCapacity === undefined ? {} : { traceCapacity });
    this.random = new SeededRandom(seed ^ 0x5eed_c1a5);
    this.character = drawCharacter(this.random);
    this.memberCount = safekeepers;
    const { generation, computes, startLsn, bitFlipChance } = this.character;
    this.#setNetwork();
    const nodeCount = safekeepers + (generation > 0 ? 1 : 0);
    this.safekeepers = Array.from(
      { length: nodeCount },
      (_, index) => new SafekeeperNode(this.kernel, index + 1),
    );
    this.computes = Array.from(
      { length: computes },
      (_, index) => new ComputeNode(this.kernel, `compute${index + 1}`, this.random.fork()),
    );
    const members = Array.from({ length: safekeepers }, (_, index) => addressOf(index + 1));
    const initial: MembershipConfiguration = { generation, members, newMembers: undefined };
    this.membership = new MembershipChanges(
      this.kernel,
      this.random.fork(),
      this.safekeepers,
      initial,
      startLsn,
    );
    this.observer = new Observer(startLsn, this.safekeepers, (error) => this.kernel.fail(error));
    for (const safekeeper of this.safekeepers) {
      safekeeper.node.disk.faults.bitFlipChance = bitFlipChance;
      safekeeper.onCrash = () => {
        // What it has become in the event of its crash may be on its way to others.
        this.#guard(() => this.observer.observe());
        this.#restartLater(safekeeper);
      };
    }
    for (const compute of this.computes) compute.onEnd = () => this.#replaceLater(compute);
  }

  /** Everybody is started, and has the timeline if the configuration names its members. */
  start(): void {
    for (const safekeeper of this.safekeepers) safekeeper.boot();
    if (this.character.generation > 0)
      this.kernel.after(undefined, 20_000, () => this.membership.createTimelines());
    const [first, ...others] = this.computes;
    this.kernel.after(undefined, this.random.below(60_000), () => this.startCompute(first as ComputeNode));
    for (const compute of others) {
      this.kernel.after(undefined, this.random.below(1_500_000), () => this.startCompute(compute));
    }
  }

  /** A new compute takes over from the one that is there, on its own machine or another. */
  startCompute(compute: ComputeNode): void {
    if (compute.isRunning) return;
    const { current } = this.membership;
    compute.boot({
      server: ++this.#servers,
      membership: this.character.generation === 0 ? { ...NO_MEMBERSHIP, members: current.members } : current,
      allowTimelineCreation: this.character.generation === 0,
      initialLsn: this.character.startLsn,
      finishAfterMs: !this.isHealing && this.random.chance(0.15) ? this.random.below(1500) : undefined,
    });
  }

  /** A proposer's machine is about to take a message. */
  heard(machine: ProposerMachine, safekeeperId: number, message: AcceptorMessage): void {
    this.#guard(() => this.observer.heard(machine, safekeeperId, message));
  }

  decided(machine: ProposerMachine, effects: readonly ProposerEffect[]): void {
    this.#guard(() => {
      for (const effect of effects) this.#decided(machine, effect);
    });
  }

  #decided(machine: ProposerMachine, effect: ProposerEffect): void {
    if (effect.kind === 'elected') {
      this.observer.elected(machine, this.#runningCompute());
    } else if (effect.kind === 'committed') {
      const membership = this.#memberships.get(machine) as MembershipConfiguration;
      this.observer.committed(machine, effect.commitLsn, membership);
    } else if (effect.kind === 'send' && effect.message.kind === 'greeting') {
      this.#noteMembership(machine, effect.message.membership);
    }
  }

  /** What a checker throws is the end of the run, and not for the code that is being watched to handle. */
  #guard(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.kernel.fail(error);
    }
  }

  #noteMembership(machine: ProposerMachine, told: MembershipConfiguration): void {
    // Without generations the greeting names nobody: its members are all that there are.
    const { members } = this.membership.current;
    this.#memberships.set(machine, told.generation === 0 ? { ...NO_MEMBERSHIP, members } : told);
  }

  /** Whose code runs at present. */
  #runningCompute(): ComputeNode {
    const owner = this.kernel.runningOwner;
    const compute = this.computes.find(({ node }) => node.incarnation === owner);
    if (compute === undefined) throw new Error('a machine decides something that belongs to no compute');
    return compute;
  }

  #restartLater(safekeeper: SafekeeperNode): void {
    // One that was told to stop in order may be gone only now.
    const downMaxUs = this.isHealing || this.random.chance(0.5) ? 50_000 : 1_000_000;
    const downUs = this.random.below(downMaxUs);
    this.kernel.after(undefined, downUs, () => safekeeper.boot());
  }

  #replaceLater(compute: ComputeNode): void {
    if (this.isHealing) return;
    this.kernel.after(undefined, 1000 + this.random.below(900_000), () => {
      if (!this.isHealing) this.startCompute(compute);
    });
  }

  #setNetwork(): void {
    const { settings } = this.kernel.network;
    settings.breakAfterMs = this.random.pick([200, 1000, 3000]);
    settings.connectTimeoutMs = 500;
    settings.keepaliveMs = this.random.pick([100, 1000]);
    settings.cutChance = this.random.pick([0, 0.02, 0.2]);
    settings.joinChance = this.random.pick([0, 0.02, 0.2]);
  }
}
