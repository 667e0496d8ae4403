/** One safekeeper of the production code on simulated doors, and a proposer that does as the test says. */
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../../src/base/lsn.ts';
import {
  type AcceptorMessage,
  type AppendResponse,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
  type VoteResponse,
} from '../../../src/contracts/acceptor-messages.ts';
import { NO_MEMBERSHIP } from '../../../src/contracts/membership.ts';
import type { ClientConnection } from '../../../src/libpq/client/client-connection.ts';
import { connect } from '../../../src/libpq/client/connect.ts';
import type { CopyEnd, CopyStream } from '../../../src/libpq/copy-stream.ts';
import { CollectingLogger } from '../../../src/observe/log.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import { SafekeeperMetrics } from '../../../src/safekeeper/metrics.ts';
import { Safekeeper } from '../../../src/safekeeper/safekeeper.ts';
import { type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../../support/safekeeper-wal.ts';
import { Kernel } from '../kernel.ts';
import type { SimDoors, SimNode } from '../kernel-node.ts';

const PORT = 5454;
export const TENANT: TenantId = parseTenantId('1'.repeat(32));
export const TIMELINE: TimelineId = parseTimelineId('2'.repeat(32));
export const START_LSN: Lsn = toLsn(TEST_SEGMENT_BYTES + 40);

export class SimulatedSafekeeper {
  readonly kernel: Kernel;
  readonly node: SimNode;
  readonly logger = new CollectingLogger();
  metrics!: SafekeeperMetrics;
  safekeeper!: Safekeeper;
  readonly #client: SimDoors[] = [];

  private constructor(seed: number) {
    this.kernel = new Kernel(seed);
    this.node = this.kernel.addNode('sk1');
  }

  static async start(seed = 1): Promise<SimulatedSafekeeper> {
    const world = new SimulatedSafekeeper(seed);
    await world.boot();
    const client = world.kernel.addNode('compute');
    client.start((doors) => void world.#client.push(doors));
    await world.kernel.run({ until: () => world.#client.length > 0 });
    return world;
  }

  /** Begins a life of the safekeeper. */
  async boot(): Promise<void> {
    let isUp = false;
    this.node.start(async (doors) => {
      this.metrics = new SafekeeperMetrics(new Metrics(doors.clock), () => []);
      this.safekeeper = await Safekeeper.start(
        { nodeId: 1, directory: '/data', listenPg: { host: '0.0.0.0', port: PORT } },
        { ...doors, logger: this.logger, metrics: this.metrics },
      );
      isUp = true;
    });
    await this.kernel.run({ until: () => isUp });
  }

  async createTimeline(startLsn: Lsn = START_LSN): Promise<void> {
    const server = { pgVersion: 170_010, systemIdentifier: TEST_SYSTEM, segmentBytes: TEST_SEGMENT_BYTES };
    await this.kernel.perform(() =>
      this.safekeeper.timelines.create({
        tenantId: TENANT,
        timelineId: TIMELINE,
        membership: NO_MEMBERSHIP,
        server,
        startLsn,
        commitLsn: startLsn,
      }),
    );
  }

  /** Lets simulated time go on. */
  async wait(ms: number): Promise<void> {
    await this.kernel.run({ untilMs: this.kernel.nowUs / 1000 + ms });
  }

  /** @param more startup options */
  async connect(more = ''): Promise<ClientConnection> {
    const { clock, random, sockets } = this.#client[0] as SimDoors;
    return this.kernel.perform(() =>
      connect(
        sockets,
        { host: 'sk1', port: PORT },
        {
          user: 'compute',
          clock,
          random,
          connectTimeoutMs: 10_000,
          signal: new AbortController().signal,
          parameters: { options: `-c tenant_id=${TENANT} timeline_id=${TIMELINE} ${more}` },
        },
      ),
    );
  }

  async push(more = ''): Promise<TestProposer> {
    const client = await this.connect(more);
    const proposer = new TestProposer(this, client);
    proposer.stream = await this.kernel.perform(() =>
      client.copyBoth("START_WAL_PUSH (proto_version '3', allow_timeline_creation 'true')", proposer),
    );
    return proposer;
  }

  /** How many syncs of WAL files there were. */
  get syncCount(): number {
    return this.metrics.flushWalSeconds.count;
  }
}

/** Sends what it is told, and keeps what comes. */
export class TestProposer {
  readonly received: { readonly message: AcceptorMessage; readonly atMs: number }[] = [];
  stream!: CopyStream;
  end: CopyEnd | undefined;
  term = 0;
  position: Lsn = START_LSN;
  readonly #world: SimulatedSafekeeper;
  readonly #client: ClientConnection;

  constructor(world: SimulatedSafekeeper, client: ClientConnection) {
    this.#world = world;
    this.#client = client;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number): void {
    const message = decodeAcceptorMessage(bytes.slice(offset, offset + length));
    this.received.push({ message, atMs: this.#world.kernel.nowUs / 1000 });
  }

  onCopyEnd(end: CopyEnd): void {
    this.end = end;
  }

  send(message: ProposerMessage): void {
    this.stream.sendCopyData(encodeProposerMessage(message));
  }

  greet(): void {
    this.send({
      kind: 'greeting',
      tenantId: TENANT,
      timelineId: TIMELINE,
      membership: NO_MEMBERSHIP,
      pgVersion: 170_010,
      systemIdentifier: TEST_SYSTEM,
      segmentBytes: TEST_SEGMENT_BYTES,
    });
  }

  /** Greets, gets the vote for this term and is followed. */
  async elect(term: number): Promise<VoteResponse> {
    this.greet();
    await this.next('greeting');
    this.send({ kind: 'vote-request', generation: 0, term });
    const vote = await this.next('vote-response');
    const history = [...vote.termHistory, { term, lsn: vote.flushLsn }];
    this.send({
      kind: 'elected',
      generation: 0,
      term,
      startStreamingAt: vote.flushLsn,
      termHistory: history,
    });
    this.term = term;
    this.position = vote.flushLsn;
    return vote;
  }

  append(wal: Uint8Array, commitLsn = 0): void {
    const beginLsn = this.position;
    const endLsn = (beginLsn + wal.length) as Lsn;
    this.send({
      kind: 'append-request',
      generation: 0,
      term: this.term,
      beginLsn,
      endLsn,
      commitLsn: toLsn(commitLsn),
      truncateLsn: toLsn(0),
      wal,
    });
    this.position = endLsn;
  }

  /** Sends WAL record by record. Returns where it ends. */
  appendRecords(wal: MadeWal): Lsn {
    let begin = wal.startLsn as number;
    for (const end of wal.ends) {
      this.append(wal.bytes.subarray(begin - wal.startLsn, end - wal.startLsn));
      begin = end;
    }
    return begin as Lsn;
  }

  responses(): AppendResponse[] {
    return this.received.flatMap(({ message }) => (message.kind === 'append-response' ? [message] : []));
  }

  /** The next message of this kind that has not been waited for yet. */
  async next<Kind extends AcceptorMessage['kind']>(
    kind: Kind,
  ): Promise<Extract<AcceptorMessage, { kind: Kind }>> {
    const before = this.#taken;
    const find = (): number =>
      this.received.findIndex(({ message }, index) => index >= before && message.kind === kind);
    await this.#world.kernel.run({ until: () => find() >= 0 || this.end !== undefined });
    const index = find();
    if (index < 0) throw new Error(`the connection ended before a ${kind} came: ${JSON.stringify(this.end)}`);
    this.#taken = index + 1;
    return (this.received[index] as { message: AcceptorMessage }).message as Extract<
      AcceptorMessage,
      { kind: Kind }
    >;
  }

  #taken = 0;

  /** Waits until an answer says that all up to here is durable. */
  async flushed(lsn: Lsn): Promise<void> {
    await this.#world.kernel.run({
      until: () => this.end !== undefined || (this.responses().at(-1)?.flushLsn ?? 0) >= lsn,
    });
    if (this.end !== undefined) throw new Error(`the connection ended: ${JSON.stringify(this.end)}`);
  }

  /** Is gone, without a word. */
  async leave(): Promise<void> {
    await this.#world.kernel.perform(() => this.#client.close());
  }
}

/** Records of about this many bytes each, from `startLsn` on. */
export function records(count: number, bytesEach: number, startLsn: Lsn = START_LSN): MadeWal {
  return makeWal({ startLsn, recordBytes: Array.from({ length: count }, () => bytesEach) });
}
