import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import {
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  decodeAcceptorMessage,
  encodeProposerMessage,
  type ProposerMessage,
} from '../../src/contracts/acceptor-messages.ts';
import { type MembershipConfiguration, NO_MEMBERSHIP } from '../../src/contracts/membership.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ServerTrust, SocketAddress } from '../../src/io/sockets.ts';
import type { ClientConnection } from '../../src/libpq/client/client-connection.ts';
import { connect } from '../../src/libpq/client/connect.ts';
import type { CopyStream } from '../../src/libpq/copy-stream.ts';
import { type MadeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from './safekeeper-wal.ts';

interface PusherOptions extends TestConnectOptions {
  readonly membership?: MembershipConfiguration;
  /** Of the cluster whose WAL it is, if not that of made-up WAL. */
  readonly systemIdentifier?: bigint;
}

export interface TestConnectOptions {
  readonly address: SocketAddress;
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly token?: string;
  readonly trust?: ServerTrust;
}

/** Connects to a safekeeper's libpq door, for one timeline. */
export function connectToSafekeeper(options: TestConnectOptions): Promise<ClientConnection> {
  const { address, tenantId, timelineId, token, trust } = options;
  const sockets = nodeSockets((error) => {
    throw error;
  });
  return connect(sockets, address, {
    user: 'varve',
    parameters: { options: `-c tenant_id=${tenantId} timeline_id=${timelineId}`, replication: 'true' },
    ...(token === undefined ? {} : { password: token }),
    ...(trust === undefined ? {} : { tls: trust }),
    clock: nodeClock,
    random: nodeRandom,
    connectTimeoutMs: 10_000,
    signal: new AbortController().signal,
  });
}

/** A proposer of one safekeeper, over real sockets, which does what a test tells it. */
export class WalPusher {
  readonly client: ClientConnection;
  readonly #options: PusherOptions;
  #stream: CopyStream | undefined;
  readonly #replies: AcceptorMessage[] = [];
  #isOver = false;
  #wake: () => void = () => undefined;
  #term = 0;

  private constructor(client: ClientConnection, options: PusherOptions) {
    this.client = client;
    this.#options = options;
  }

  static async start(options: PusherOptions): Promise<WalPusher> {
    const pusher = new WalPusher(await connectToSafekeeper(options), options);
    const stream = await pusher.client.copyBoth(
      "START_WAL_PUSH (proto_version '3', allow_timeline_creation 'true')",
      {
        onCopyData: () => {
          pusher.#replies.push(decodeAcceptorMessage((pusher.#stream as CopyStream).takeBody()));
          pusher.#wake();
        },
        onCopyEnd: () => {
          pusher.#isOver = true;
          pusher.#wake();
        },
      },
    );
    pusher.#stream = stream;
    const { tenantId, timelineId, membership = NO_MEMBERSHIP, systemIdentifier = TEST_SYSTEM } = options;
    await pusher.#ask({
      kind: 'greeting',
      tenantId,
      timelineId,
      membership,
      pgVersion: 170_011,
      systemIdentifier,
      segmentBytes: TEST_SEGMENT_BYTES,
    });
    return pusher;
  }

  /** Is elected in a term, to write WAL that begins (or goes on) at `lsn`. */
  async elect(term: number, lsn: Lsn): Promise<void> {
    const generation = this.#options.membership?.generation ?? 0;
    const vote = await this.#ask({ kind: 'vote-request', generation, term });
    if (vote.kind !== 'vote-response' || !vote.voteGiven) throw new Error('no vote was given');
    this.#term = term;
    const termHistory = [...vote.termHistory, { term, lsn }];
    this.#send({ kind: 'elected', generation, term, startStreamingAt: lsn, termHistory });
  }

  /** Sends WAL as committed, and waits until it is durable. */
  async push(wal: MadeWal): Promise<Lsn> {
    const generation = this.#options.membership?.generation ?? 0;
    const endLsn = wal.ends.at(-1) as Lsn;
    for (let at = 0; at < wal.bytes.length; at += APPEND_BYTES_MAX) {
      const piece = wal.bytes.subarray(at, at + APPEND_BYTES_MAX);
      this.#send({
        kind: 'append-request',
        generation,
        term: this.#term,
        beginLsn: (wal.startLsn + at) as Lsn,
        endLsn: (wal.startLsn + at + piece.length) as Lsn,
        commitLsn: endLsn,
        truncateLsn: wal.startLsn,
        wal: piece,
      });
    }
    for (;;) {
      const reply = await this.next();
      if (reply.kind === 'append-response' && reply.flushLsn >= endLsn) return endLsn;
    }
  }

  /** The next reply. */
  async next(): Promise<AcceptorMessage> {
    for (;;) {
      const reply = this.#replies.shift();
      if (reply !== undefined) return reply;
      if (this.#isOver) throw new Error('the safekeeper has ended the stream');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Resolves when the safekeeper has ended the stream. */
  async ended(): Promise<void> {
    while (!this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  #send(message: ProposerMessage): void {
    (this.#stream as CopyStream).sendCopyData(encodeProposerMessage(message));
  }

  #ask(message: ProposerMessage): Promise<AcceptorMessage> {
    this.#send(message);
    return this.next();
  }
}
