/** Safekeepers and proposers of the production code on simulated doors, and servers that write what they are told. */
import { VarveError } from '../../../src/base/errors.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../../src/base/lsn.ts';
import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import { cancelledError } from '../../../src/io/cancelled.ts';
import { CollectingLogger } from '../../../src/observe/log.ts';
import type { ProposerOptions, ProposerSettings } from '../../../src/proposer/options.ts';
import { Proposer } from '../../../src/proposer/proposer.ts';
import type { WalSink, WalSource } from '../../../src/proposer/wal-source.ts';
import { TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import { SafekeeperNode } from '../cluster/safekeeper-node.ts';
import { ServerWal } from '../cluster/server-wal.ts';
import { addressOf, TENANT, TIMELINE } from '../cluster/timeline-identity.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors } from '../kernel-node.ts';

export const INITIAL_LSN: Lsn = toLsn(TEST_SEGMENT_BYTES + 40);
const CHUNK_BYTES = 128 * 1024;

/** A server that writes when it is told to, and gives its WAL as a walsender does. */
export class SyntheticSource implements WalSource {
  wal!: ServerWal;
  /** Tells where the last record before begins. */
  previousLsn: (startLsn: Lsn) => number = () => 0;
  commitLsn: Lsn = INVALID_LSN;
  isPaused = false;
  #sentLsn: number = INVALID_LSN;
  #sink: WalSink | undefined;
  #end: PromiseWithResolvers<void> = Promise.withResolvers();

  get writtenLsn(): Lsn {
    return this.wal.endLsn as Lsn;
  }

  run(startLsn: Lsn, sink: WalSink, signal: AbortSignal): Promise<void> {
    this.wal = new ServerWal(1, startLsn, this.previousLsn(startLsn));
    this.#sentLsn = startLsn;
    this.#sink = sink;
    signal.addEventListener('abort', () => {
      this.#sink = undefined;
      this.#end.reject(cancelledError(signal));
    });
    return this.#end.promise;
  }

  /** Writes records with so many bytes each, and gives what the sink takes. */
  write(lengths: readonly number[]): void {
    this.wal.write(lengths);
    this.#give();
  }

  /** Gives bytes as they are, whatever they are. */
  giveRaw(bytes: Uint8Array): void {
    this.#push(bytes);
  }

  /** The server has been shut down. */
  end(): void {
    this.#end.resolve();
  }

  resume(): void {
    this.isPaused = false;
    this.#give();
  }

  committed(commitLsn: Lsn): void {
    this.commitLsn = commitLsn;
  }

  applied(): void {
    // No standby follows here.
  }

  hotStandbyFeedback(): void {
    // Nobody asks for it here.
  }

  #give(): void {
    while (!this.isPaused && this.#sink !== undefined && this.#sentLsn < this.wal.endLsn) {
      const endLsn = Math.min(this.wal.endLsn, this.#sentLsn + CHUNK_BYTES);
      const chunk = this.wal.bytes(this.#sentLsn, endLsn).slice();
      this.#sentLsn = endLsn;
      this.#push(chunk);
    }
  }

  #push(chunk: Uint8Array): void {
    try {
      if (this.#sink?.write(chunk) === false) this.isPaused = true;
    } catch (error) {
      this.#sink = undefined;
      this.#end.reject(error);
    }
  }
}

/** Somebody on a machine of his own who is, or becomes, proposer. */
export class Candidate {
  readonly logger = new CollectingLogger();
  readonly electing = new AbortController();
  proposer: Proposer | undefined;
  failure: unknown;
  readonly source = new SyntheticSource();

  get end(): Lsn {
    return this.source.wal.endLsn;
  }
}

export class ProposerWorld {
  readonly kernel: Kernel;
  readonly safekeepers: SafekeeperNode[];
  readonly #candidates: Candidate[] = [];

  constructor(seed: number, count = 3) {
    this.kernel = new Kernel(seed);
    this.safekeepers = Array.from(
      { length: count },
      (_, index) => new SafekeeperNode(this.kernel, index + 1),
    );
    for (const safekeeper of this.safekeepers) safekeeper.boot();
  }

  membership(generation = 0, ids?: readonly number[]): MembershipConfiguration {
    const members = (ids ?? this.safekeepers.map(({ id }) => id)).map(addressOf);
    return { generation, members, newMembers: undefined };
  }

  /** Begins an election; with `attach`, the winner's server runs. */
  candidate(settings: Partial<ProposerSettings> = {}, changes: Partial<ProposerOptions> = {}): Candidate {
    const candidate = new Candidate();
    const options: ProposerOptions = {
      tenantId: TENANT,
      timelineId: TIMELINE,
      pgVersion: 170_011,
      systemIdentifier: TEST_SYSTEM,
      segmentBytes: TEST_SEGMENT_BYTES,
      membership: this.membership(),
      initialLsn: INITIAL_LSN,
      allowTimelineCreation: true,
      settings,
      ...changes,
    };
    candidate.source.previousLsn = (startLsn) => this.#recordBefore(startLsn);
    const node = this.kernel.addNode(`compute${this.#candidates.push(candidate)}`);
    node.start(async (doors: SimDoors) => {
      try {
        const proposer = await Proposer.elect(
          options,
          { ...doors, logger: candidate.logger },
          candidate.electing.signal,
        );
        proposer.attach(candidate.source);
        candidate.proposer = proposer;
      } catch (error) {
        candidate.failure = error;
      }
    });
    return candidate;
  }

  /** A candidate that has won. */
  async elected(settings?: Partial<ProposerSettings>, changes?: Partial<ProposerOptions>): Promise<Winner> {
    const candidate = this.candidate(settings, changes);
    await this.until(() => candidate.proposer !== undefined || candidate.failure !== undefined);
    if (candidate.failure !== undefined) throw candidate.failure;
    return candidate as Winner;
  }

  /** Lets time go on until something is so, or fails after a simulated minute. */
  async until(condition: () => boolean): Promise<void> {
    const untilMs = this.kernel.nowUs / 1000 + 60_000;
    if ((await this.kernel.run({ until: condition, untilMs })) === 'until') return;
    throw new VarveError('unavailable', 'NOT_REACHED', 'a simulated minute was not enough');
  }

  async wait(ms: number): Promise<void> {
    await this.kernel.run({ untilMs: this.kernel.nowUs / 1000 + ms });
  }

  async committed(winner: Winner): Promise<void> {
    await this.until(() => winner.proposer.commitLsn >= winner.end);
  }

  #recordBefore(lsn: Lsn): number {
    const starts = this.#candidates.map(({ source }) => source.wal?.recordStart(lsn));
    return starts.find((start) => start !== undefined) ?? 0;
  }

  safekeeper(id: number): SafekeeperNode {
    return this.safekeepers[id - 1] as SafekeeperNode;
  }

  flushLsn(id: number): number {
    return this.safekeeper(id).acceptor?.flushLsn ?? INVALID_LSN;
  }

  /** Everything from the source's beginning to `endLsn` is in this safekeeper's files. */
  holds(id: number, { wal }: SyntheticSource, endLsn: Lsn = wal.endLsn): boolean {
    const { bytes } = this.safekeeper(id).wal(wal.startLsn, endLsn);
    return Buffer.from(bytes).equals(wal.bytes(wal.startLsn, endLsn));
  }
}

/** A candidate whose proposer is there. */
export type Winner = Candidate & { readonly proposer: Proposer };
