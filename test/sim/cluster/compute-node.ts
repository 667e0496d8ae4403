import { VarveError } from '../../../src/base/errors.ts';
import type { Lsn } from '../../../src/base/lsn.ts';
import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import { silentLogger } from '../../../src/observe/log.ts';
import { Proposer } from '../../../src/proposer/proposer.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { Kernel } from '../kernel.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';
import type { ServerWal } from './server-wal.ts';
import { drawHabits, SyntheticSource } from './synthetic-source.ts';
import { SERVER, TENANT, TIMELINE } from './timeline-identity.ts';

/** What a compute is told when it is started. */
export interface ComputeStart {
  /** A number that no other compute has. */
  readonly server: number;
  readonly membership: MembershipConfiguration;
  readonly allowTimelineCreation: boolean;
  readonly initialLsn: Lsn;
  /** After so long it stops in order. */
  readonly finishAfterMs: number | undefined;
}

/** Tight, so that much happens in little simulated time. */
const SETTINGS = {
  heartbeatIntervalMs: 100,
  idleTimeoutMs: 1500,
  connectTimeoutMs: 500,
  reconnect: { minMs: 5, maxMs: 200 },
  electionRetry: { minMs: 10, maxMs: 300 },
};
const WINDOW_BYTES = 64 * 1024;
const NEVER = new AbortController().signal;

/** A machine on which one compute after the other runs: a proposer, and a server that writes WAL. */
export class ComputeNode {
  readonly node: SimNode;
  /** Of the compute that runs: what its server has written; undefined until it is elected first. */
  wal: ServerWal | undefined;
  start: ComputeStart | undefined;
  proposer: Proposer | undefined;
  /** Called when a compute has ended, however that came. */
  onEnd: () => void = () => undefined;
  readonly #kernel: Kernel;
  readonly #random: SeededRandom;

  constructor(kernel: Kernel, name: string, random: SeededRandom) {
    this.#kernel = kernel;
    this.node = kernel.addNode(name);
    this.#random = random;
    this.node.onCrash = () => {
      this.wal = undefined;
      this.start = undefined;
      this.proposer = undefined;
      this.onEnd();
    };
  }

  get isRunning(): boolean {
    return this.node.isAlive;
  }

  /** Starts a new compute. There must be none. */
  boot(start: ComputeStart): void {
    this.start = start;
    this.node.start((doors) => this.#main(doors, start));
  }

  /** Begins a clean stop. */
  finish(): void {
    // What it fails with is what the proposer ends with.
    this.proposer?.finish(NEVER).catch(() => undefined);
  }

  async #main(doors: SimDoors, start: ComputeStart): Promise<void> {
    const random = this.#random.fork();
    const windowBytes = random.chance(0.3) ? WINDOW_BYTES : undefined;
    const { membership, allowTimelineCreation, initialLsn } = start;
    const options = {
      tenantId: TENANT,
      timelineId: TIMELINE,
      ...SERVER,
      membership,
      initialLsn,
      allowTimelineCreation,
      settings: { ...SETTINGS, ...(windowBytes === undefined ? {} : { windowBytes }) },
    };
    try {
      const proposer = await Proposer.elect(options, { ...doors, logger: silentLogger }, NEVER);
      this.proposer = proposer;
      proposer.attach(new SyntheticSource(this.wal as ServerWal, doors.clock, random, drawHabits(random)));
      if (start.finishAfterMs !== undefined) {
        doors.clock.setTimer(start.finishAfterMs, () => this.finish());
      }
      const error = await proposer.ended;
      if (error !== undefined) throw error;
    } catch (error) {
      // Another compute has taken over. Nothing else may end one.
      if (!(error instanceof VarveError) || error.kind !== 'fenced') throw error;
    }
    this.#kernel.after(undefined, 0, () => this.node.crash({ kind: 'kill' }));
  }
}
