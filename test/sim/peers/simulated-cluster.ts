/** Safekeepers of the production code on simulated doors, which know each other, and a compute that does as told. */
import { parseTenantId, parseTimelineId } from '../../../src/base/ids.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../../src/base/lsn.ts';
import {
  type AcceptorMessage,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
  type VoteResponse,
} from '../../../src/contracts/acceptor-messages.ts';
import type { MembershipConfiguration } from '../../../src/contracts/membership.ts';
import type { TermHistory } from '../../../src/contracts/term-history.ts';
import type { ClientConnection } from '../../../src/libpq/client/client-connection.ts';
import { connect } from '../../../src/libpq/client/connect.ts';
import type { CopyEnd, CopyStream } from '../../../src/libpq/copy-stream.ts';
import { CollectingLogger } from '../../../src/observe/log.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import type { Acceptor } from '../../../src/safekeeper/consensus/acceptor.ts';
import { SafekeeperMetrics } from '../../../src/safekeeper/metrics.ts';
import { Safekeeper, type SafekeeperConfiguration } from '../../../src/safekeeper/safekeeper.ts';
import { type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';

const PORT = 5454;
export const KEY = { tenantId: parseTenantId('1'.repeat(32)), timelineId: parseTimelineId('2'.repeat(32)) };
export const START_LSN: Lsn = toLsn(TEST_SEGMENT_BYTES + 40);
const SERVER = { pgVersion: 170_010, systemIdentifier: TEST_SYSTEM, segmentBytes: TEST_SEGMENT_BYTES };

/** The configuration whose members are these nodes. */
export function membershipOf(generation: number, ids: readonly number[]): MembershipConfiguration {
  return {
    generation,
    members: ids.map((id) => ({ id, host: `sk${id}`, pgPort: PORT })),
    newMembers: undefined,
  };
}

export class SimulatedMember {
  readonly id: number;
  readonly node: SimNode;
  readonly logger = new CollectingLogger();
  metrics!: SafekeeperMetrics;
  safekeeper!: Safekeeper;
  /** Of its present life. */
  doors!: SimDoors;
  readonly #configuration: Partial<SafekeeperConfiguration>;

  constructor(id: number, node: SimNode, configuration: Partial<SafekeeperConfiguration>) {
    this.id = id;
    this.node = node;
    this.#configuration = configuration;
  }

  /** Begins a life. */
  async boot(): Promise<void> {
    let isUp = false;
    this.node.start(async (doors) => {
      this.doors = doors;
      this.metrics = new SafekeeperMetrics(new Metrics(doors.clock), () => []);
      this.safekeeper = await Safekeeper.start(
        {
          nodeId: this.id,
          directory: '/data',
          listenPg: { host: '0.0.0.0', port: PORT },
          ...this.#configuration,
        },
        { ...doors, logger: this.logger, metrics: this.metrics },
      );
      isUp = true;
    });
    await this.node.kernel.run({ until: () => isUp });
  }

  /** Of the timeline, if it is open. */
  get acceptor(): Acceptor | undefined {
    return this.safekeeper.timelines.find(KEY.tenantId, KEY.timelineId)?.acceptor?.acceptor;
  }
}

export class SimulatedCluster {
  readonly kernel: Kernel;
  readonly members: SimulatedMember[] = [];
  compute!: SimNode;
  doors!: SimDoors;

  private constructor(seed: number) {
    this.kernel = new Kernel(seed);
  }

  static async start(
    ids: readonly number[] = [1, 2, 3],
    seed = 1,
    configuration: Partial<SafekeeperConfiguration> = {},
  ): Promise<SimulatedCluster> {
    const cluster = new SimulatedCluster(seed);
    for (const id of ids) {
      const member = new SimulatedMember(id, cluster.kernel.addNode(`sk${id}`), configuration);
      cluster.members.push(member);
      await member.boot();
    }
    cluster.compute = cluster.kernel.addNode('compute');
    let isUp = false;
    cluster.compute.start((doors) => {
      cluster.doors = doors;
      isUp = true;
    });
    await cluster.kernel.run({ until: () => isUp });
    return cluster;
  }

  member(id: number): SimulatedMember {
    return this.members.find((member) => member.id === id) as SimulatedMember;
  }

  async createTimeline(
    membership: MembershipConfiguration,
    ids = membership.members.map(({ id }) => id),
  ): Promise<void> {
    for (const id of ids) {
      const { timelines } = this.member(id).safekeeper;
      await this.kernel.perform(() =>
        timelines.create({ ...KEY, membership, server: SERVER, startLsn: START_LSN, commitLsn: START_LSN }),
      );
    }
  }

  async wait(ms: number): Promise<void> {
    await this.kernel.run({ untilMs: this.kernel.nowUs / 1000 + ms });
  }

  /** Lets time go on until it is so. Fails after `limitMs`. */
  async until(isSo: () => boolean, limitMs = 60_000): Promise<void> {
    const untilMs = this.kernel.nowUs / 1000 + limitMs;
    const reason = await this.kernel.run({ until: isSo, untilMs });
    if (reason !== 'until') throw new Error(`it did not become so within ${limitMs} ms`);
  }

  async connect(id: number, parameters: Record<string, string> = {}): Promise<ClientConnection> {
    const { clock, random, sockets } = this.doors;
    return this.kernel.perform(() =>
      connect(
        sockets,
        { host: `sk${id}`, port: PORT },
        {
          user: 'test',
          clock,
          random,
          connectTimeoutMs: 10_000,
          signal: new AbortController().signal,
          parameters,
        },
      ),
    );
  }

  /** A compute's connection to one safekeeper, greeted and voted for. */
  async push(id: number, generation: number, term: number): Promise<Push> {
    const client = await this.connect(id, {
      options: `-c tenant_id=${KEY.tenantId} timeline_id=${KEY.timelineId}`,
    });
    const push = new Push(this, client, generation, term);
    push.stream = await this.kernel.perform(() =>
      client.copyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'false')", push),
    );
    await push.vote();
    return push;
  }

  /** The state of the timeline, which is opened for it. */
  async state(id: number): Promise<Acceptor> {
    return this.kernel.perform(async () => {
      using timeline = await this.member(id)
        .safekeeper.timelines.get(KEY.tenantId, KEY.timelineId)
        .stay('state');
      return timeline.acceptor.acceptor;
    });
  }
}

/** What a compute says to one safekeeper. */
export class Push {
  stream!: CopyStream;
  granted!: VoteResponse;
  end: CopyEnd | undefined;
  position: Lsn = INVALID_LSN;
  readonly term: number;
  readonly received: AcceptorMessage[] = [];
  readonly #cluster: SimulatedCluster;
  readonly #client: ClientConnection;
  readonly #generation: number;

  constructor(cluster: SimulatedCluster, client: ClientConnection, generation: number, term: number) {
    this.#cluster = cluster;
    this.#client = client;
    this.#generation = generation;
    this.term = term;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    this.received.push(decodeAcceptorMessage(bytes.slice(offset, offset + length)));
  }

  onCopyEnd(end: CopyEnd): void {
    this.end = end;
  }

  send(message: ProposerMessage): void {
    this.stream.sendCopyData(encodeProposerMessage(message));
  }

  async vote(): Promise<void> {
    const membership = { generation: 0, members: [], newMembers: undefined };
    this.send({ kind: 'greeting', ...KEY, membership, ...SERVER });
    this.send({ kind: 'vote-request', generation: this.#generation, term: this.term });
    const find = (): VoteResponse | undefined =>
      this.received.find((message) => message.kind === 'vote-response');
    await this.#cluster.until(() => find() !== undefined || this.end !== undefined);
    const granted = find();
    if (granted === undefined) throw new Error(`no vote: ${JSON.stringify(this.end)}`);
    this.granted = granted;
  }

  elect(termHistory: TermHistory, startStreamingAt: Lsn): void {
    const { term } = this;
    this.send({ kind: 'elected', generation: this.#generation, term, startStreamingAt, termHistory });
    this.position = startStreamingAt;
  }

  append(wal: Uint8Array, commitLsn: Lsn = INVALID_LSN): void {
    const beginLsn = this.position;
    const endLsn = toLsn(beginLsn + wal.length);
    this.send({
      kind: 'append-request',
      generation: this.#generation,
      term: this.term,
      beginLsn,
      endLsn,
      commitLsn,
      truncateLsn: INVALID_LSN,
      wal,
    });
    this.position = endLsn;
  }

  /** Sends WAL record by record, up to the end of record number `count`, and waits until it is durable. */
  async appendRecords(wal: MadeWal, from = 0, count: number = wal.ends.length): Promise<Lsn> {
    for (let index = from; index < count; index++) {
      const begin = index === 0 ? wal.startLsn : (wal.ends[index - 1] as Lsn);
      this.append(wal.bytes.subarray(begin - wal.startLsn, (wal.ends[index] as Lsn) - wal.startLsn));
    }
    await this.flushed(this.position);
    return this.position;
  }

  async flushed(lsn: Lsn): Promise<void> {
    const flushLsn = (): Lsn =>
      this.received.reduce<Lsn>(
        (last, message) => (message.kind === 'append-response' ? message.flushLsn : last),
        INVALID_LSN,
      );
    await this.#cluster.until(() => flushLsn() >= lsn || this.end !== undefined);
    if (this.end !== undefined) throw new Error(`the connection ended: ${JSON.stringify(this.end)}`);
  }

  /** Is gone. */
  async leave(): Promise<void> {
    await this.#cluster.kernel.perform(() => this.#client.close());
  }
}

/** Records of about this many bytes each, after those of `before`. */
export function records(count: number, bytesEach: number, before?: MadeWal, seed = 1): MadeWal {
  const recordBytes = Array.from({ length: count }, () => bytesEach);
  if (before === undefined) return makeWal({ startLsn: START_LSN, recordBytes, seed });
  const { previousLsn } = before;
  return makeWal({ startLsn: before.ends.at(-1) as Lsn, previousLsn, recordBytes, seed });
}
