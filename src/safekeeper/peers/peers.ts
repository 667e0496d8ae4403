import { AssertionError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import { TaskSet } from '../../base/task-set.ts';
import {
  isMember,
  type MembershipConfiguration,
  type SafekeeperAddress,
} from '../../contracts/membership.ts';
import { STATUS_SILENCE_MAX_MS, type TimelineState } from '../../contracts/status-stream.ts';
import type { ClientConnection } from '../../libpq/client/client-connection.ts';
import { connect } from '../../libpq/client/connect.ts';
import { XLOG_DATA_BYTES_MAX, XLOG_DATA_HEADER_BYTES } from '../../postgres/wire/replication-messages.ts';
import { readControlFile } from '../control-file/control-file-store.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { PeerInfo, PeerTable } from '../timeline/peer-info.ts';
import type { ResidentTimeline, Timeline } from '../timeline/timeline.ts';
import type { Timelines } from '../timeline/timelines.ts';
import type { ToldState } from './choose-donor.ts';
import { PeerLinks } from './peer-links.ts';
import type { PeersOptions } from './peers-options.ts';
import { Recovery } from './recovery.ts';
import { nameOf, StatusBoard } from './status-board.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** What an answer to ACCEPTOR_STATE may have. */
const DONOR_MESSAGE_BYTES_MAX: number = Math.max(
  16 * 1024 * 1024,
  XLOG_DATA_HEADER_BYTES + XLOG_DATA_BYTES_MAX,
);

/** What a peer has told of a timeline. */
interface Told extends ToldState {
  readonly toldMs: number;
  /** In which of the peer's streams; undefined: by hand. */
  readonly streamNumber: number | undefined;
}

export interface PeerState extends ToldState {
  /** By the clock's monotonic time. */
  readonly heardMs: number;
  /** As `host:port`; undefined for one that no configuration has named. */
  readonly address: string | undefined;
}

/**
 * The other safekeepers: hears from those that the timelines' configurations name, lets the acceptors learn from their
 * news, and has WAL taken from them that no compute brings.
 *
 * News are kept of open timelines only. News of one that is not open open it; one that is opened asks for them anew.
 */
export class Peers implements PeerTable {
  readonly board = new StatusBoard();
  readonly #options: PeersOptions;
  readonly #life = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #links: PeerLinks;
  readonly #recovery: Recovery | undefined;
  /** By timeline, of those that are open, and node. */
  readonly #tables = new Map<string, Map<number, Told>>();
  /** Not worked on yet: the latest of each node and timeline. */
  readonly #news = new Map<string, Told>();
  #isWorking = false;
  #timelines: Timelines | undefined;

  constructor(options: PeersOptions) {
    this.#options = options;
    const { clock, random, metrics } = options;
    const { signal } = this.#life;
    this.#links = new PeerLinks({ ...options, signal, onStates: (...news) => this.#onStates(...news) });
    if (options.settings.isRecoveryOff === true) return;
    this.#recovery = new Recovery({
      ...options,
      clock,
      random,
      gauges: { messages: metrics.walReceiverQueueDepthTotal, bytes: metrics.walReceiverQueueSizeTotal },
      signal,
      heardOf: (timeline) => this.#heardOf(timeline),
      connect: (timeline, nodeId, ending) => this.#connectForWal(timeline, nodeId, ending),
    });
  }

  /** Begins to look for peers. What is opened before is known too. */
  begin(timelines: Timelines): void {
    this.#timelines = timelines;
    this.#tasks.run(() => this.#findPeers(timelines));
  }

  /** Ends all streams. Comes before the timelines are closed. */
  async close(): Promise<void> {
    this.#life.abort(new VarveError('cancelled', 'CLOSING', 'the safekeeper is closing'));
    await this.#links.settled();
    await this.#recovery?.settled();
    await this.#tasks.settled();
  }

  /** See TimelineDoors.onOpen. */
  open(timeline: Timeline, acceptor: DurableAcceptor): Disposable {
    const table = new Map<number, Told>();
    this.#tables.set(nameOf(timeline), table);
    const stack = new DisposableStack();
    stack.defer(() => {
      if (this.#tables.get(nameOf(timeline)) === table) this.#tables.delete(nameOf(timeline));
    });
    stack.use(this.board.open(timeline, acceptor));
    let met: MembershipConfiguration | undefined;
    const meet = (): void => {
      const { membership } = acceptor.acceptor;
      if (membership === met) return;
      met = membership;
      for (const nodeId of table.keys()) if (!isMember(membership, nodeId)) table.delete(nodeId);
      this.#meet(membership);
      for (const nodeId of peersIn(membership, this.#options.nodeId)) {
        this.#links.find(nodeId)?.ask([timeline]);
      }
    };
    meet();
    stack.use(acceptor.listen(meet));
    // Told of every receiver that leaves, a recovery too.
    stack.use(
      timeline.receivers.watchComputes((computes) => {
        if (computes > 0) return;
        this.#learnAgain(timeline);
        this.#recovery?.consider(timeline);
      }),
    );
    return stack;
  }

  peersOf(tenantId: TenantId, timelineId: TimelineId): readonly PeerInfo[] {
    return this.toldOf(tenantId, timelineId).map(({ nodeId, state, heardMs }) => {
      return { nodeId, commitLsn: state.commitLsn, localStartLsn: state.localStartLsn, heardMs };
    });
  }

  /** All that has been told of an open timeline, by whom, and when each was heard last. */
  toldOf(tenantId: TenantId, timelineId: TimelineId): PeerState[] {
    const table = this.#tables.get(nameOf({ tenantId, timelineId }));
    return [...(table?.values() ?? [])].map((told) => {
      const { nodeId, state } = told;
      return { nodeId, state, heardMs: this.#heardMs(told), address: this.#links.addressOf(nodeId) };
    });
  }

  /** Takes news that came by another way than the stream, and resolves when all has been done that they ask for. */
  async record(nodeId: number, state: TimelineState): Promise<void> {
    const { clock } = this.#options;
    await this.#apply({ nodeId, state, toldMs: clock.monotonicMs(), streamNumber: undefined });
  }

  /** A quiet timeline of a peer that is heard counts as heard, if the peer has told of it in this stream. */
  #heardMs({ nodeId, toldMs, streamNumber }: Told): number {
    const client = this.#links.find(nodeId);
    if (client === undefined || client.streamNumber !== streamNumber) return toldMs;
    return Math.max(client.heardMs ?? toldMs, toldMs);
  }

  #heardOf(timeline: Timeline): readonly ToldState[] {
    const nowMs = this.#options.clock.monotonicMs();
    return this.toldOf(timeline.tenantId, timeline.timelineId).filter(
      ({ heardMs }) => nowMs - heardMs <= STATUS_SILENCE_MAX_MS,
    );
  }

  #meet(membership: MembershipConfiguration): void {
    const { nodeId } = this.#options;
    if (!isMember(membership, nodeId)) return;
    for (const peer of membersOf(membership)) if (peer.id !== nodeId) this.#links.meet(peer);
  }

  /** Timelines are not open after a start. Their control files say who else has them, and may have news of them. */
  async #findPeers(timelines: Timelines): Promise<void> {
    const { files, clock, logger } = this.#options;
    for (const timeline of [...timelines.all()]) {
      if (this.#life.signal.aborted) return;
      if (timeline.acceptor !== undefined) continue;
      try {
        const state = await readControlFile(files, timeline.directory);
        if (state !== undefined) this.#meet(state.membership);
      } catch (error) {
        if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
        const { tenantId, timelineId } = timeline;
        logger.warn('a control file cannot be read', { tenantId, timelineId, error: error.message });
      }
      await clock.yieldToOthers();
    }
  }

  #onStates(nodeId: number, streamNumber: number, states: readonly TimelineState[]): void {
    const toldMs = this.#options.clock.monotonicMs();
    this.#options.metrics.brokerPulledUpdates.add(states.length);
    for (const state of states) {
      this.#news.set(`${nodeId} ${nameOf(state)}`, { nodeId, state, toldMs, streamNumber });
    }
    this.#beginWork();
  }

  #beginWork(): void {
    if (this.#isWorking || this.#timelines === undefined || this.#life.signal.aborted) return;
    this.#isWorking = true;
    this.#tasks.run(() => this.#workOnNews());
  }

  async #workOnNews(): Promise<void> {
    try {
      while (!this.#life.signal.aborted) {
        const [name, told] = this.#news.entries().next().value ?? [];
        if (name === undefined || told === undefined) return;
        this.#news.delete(name);
        await this.#tryApply(told);
      }
    } finally {
      this.#isWorking = false;
    }
  }

  async #tryApply(told: Told): Promise<void> {
    const { tenantId, timelineId } = told.state;
    if (this.#timelines?.find(tenantId, timelineId) === undefined) return;
    try {
      await this.#apply(told);
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      if (error.kind === 'cancelled') return;
      const fields = { tenantId, timelineId, peerId: told.nodeId, error: error.message };
      this.#options.logger.warn("a peer's news cannot be taken", fields);
    }
  }

  async #apply(told: Told): Promise<void> {
    const { tenantId, timelineId } = told.state;
    const timelines = this.#timelines as Timelines;
    const timeline = timelines.get(tenantId, timelineId);
    using resident = await timeline.stay('state');
    const { acceptor } = resident;
    const isByHand = told.streamNumber === undefined;
    if (!isByHand && !isMember(acceptor.acceptor.membership, told.nodeId)) return;
    this.#tables.get(nameOf(timeline))?.set(told.nodeId, told);
    await acceptor.run((it) => it.learn(told.state));
    this.#recovery?.consider(timeline);
  }

  /** What peers told may have been of WAL that has come here since. */
  #learnAgain(timeline: Timeline): void {
    const table = this.#tables.get(nameOf(timeline));
    if (table === undefined || table.size === 0 || this.#life.signal.aborted) return;
    for (const told of table.values()) {
      const name = `${told.nodeId} ${nameOf(timeline)}`;
      if (!this.#news.has(name)) this.#news.set(name, told);
    }
    this.#beginWork();
  }

  #connectForWal(timeline: ResidentTimeline, nodeId: number, signal: AbortSignal): Promise<ClientConnection> {
    const { sockets, clock, random, settings } = this.#options;
    const peer = membersOf(timeline.acceptor.acceptor.membership).find(({ id }) => id === nodeId);
    if (peer === undefined)
      throw new VarveError('unavailable', 'NO_DONOR', 'the donor is no member any more');
    const { tenantId, timelineId } = timeline;
    const name = `safekeeper_${this.#options.nodeId}`;
    return connect(
      sockets,
      { host: peer.host, port: peer.pgPort },
      {
        user: name,
        parameters: {
          application_name: name,
          options: `-c tenant_id=${tenantId} timeline_id=${timelineId}`,
        },
        clock,
        random,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        bodyBytesMax: DONOR_MESSAGE_BYTES_MAX,
        signal,
        ...(settings.token === undefined ? {} : { password: settings.token }),
        ...(settings.tls === undefined ? {} : { tls: { ...settings.tls, serverName: peer.host } }),
      },
    );
  }
}

function membersOf({ members, newMembers }: MembershipConfiguration): readonly SafekeeperAddress[] {
  return newMembers === undefined ? members : [...members, ...newMembers];
}

function peersIn(membership: MembershipConfiguration, nodeId: number): Set<number> {
  const ids = new Set(membersOf(membership).map(({ id }) => id));
  ids.delete(nodeId);
  return ids;
}
