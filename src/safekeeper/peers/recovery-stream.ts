import { AssertionError, CorruptionError, VarveError } from '../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import type { AcceptorMessage, VoteResponse } from '../../contracts/acceptor-messages.ts';
import { highestCommonPoint } from '../../contracts/term-history.ts';
import type { Clock } from '../../io/clock.ts';
import type { ClientConnection } from '../../libpq/client/client-connection.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../../libpq/copy-stream.ts';
import { formatReplicationCommand } from '../../postgres/wire/replication-commands.ts';
import {
  KEEPALIVE_TAG,
  Keepalive,
  readReplicationTag,
  refuseReplicationTag,
  STANDBY_STATUS_BYTES,
  writeStandbyStatus,
  XLOG_DATA_TAG,
  XLogData,
} from '../../postgres/wire/replication-messages.ts';
import { AcceptorLoop, type QueueGauges } from '../receive/acceptor-loop.ts';
import type { ReceiverPlace } from '../receive/receiver-registry.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import { type AcceptorState, readAcceptorState } from './acceptor-state.ts';

/** The donor hears this often that somebody reads. */
const STATUS_INTERVAL_MS = 10_000;

export interface RecoveryStreamOptions {
  readonly timeline: ResidentTimeline;
  /** Ends the recovery, at any time. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly gauges: QueueGauges;
  /** Connects to the donor, for this timeline. */
  readonly connect: (signal: AbortSignal) => Promise<ClientConnection>;
}

/**
 * Takes WAL from another safekeeper, through the acceptor, as if the proposer that wrote it had sent it: its vote, its
 * election, its appends. So all that an acceptor checks is checked, nothing committed can be cut, and the term never
 * rises above the donor's, whose proposer was elected in it.
 *
 * It ends when it has all that the donor has, when the donor ends, and at once when a compute connects, the members
 * change, or a higher term is heard of.
 */
export class RecoveryStream implements CopyReceiver {
  readonly #options: RecoveryStreamOptions;
  readonly #stop = new AbortController();
  readonly #vote = Promise.withResolvers<VoteResponse | undefined>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #xlogData = new XLogData();
  readonly #keepalive = new Keepalive();
  #generation = 0;
  #term = 0;
  #loop: AcceptorLoop | undefined;
  #stream: CopyStream | undefined;
  #position: Lsn = INVALID_LSN;
  #isHeldBack = false;
  #lastStatusMs: number;
  #networkError: Error | undefined;
  /** By what goes on around it, not by a failure. */
  #isStopped = false;
  /** What still comes is not wanted. */
  #isDone = false;

  constructor(options: RecoveryStreamOptions) {
    this.#options = options;
    this.#lastStatusMs = options.clock.monotonicMs();
  }

  /**
   * Runs to the end. All that was taken is durable then.
   * @returns how many bytes of WAL were taken
   * @throws what the donor, the connection or the acceptor failed with
   */
  async run(): Promise<number> {
    const { timeline, connect } = this.#options;
    this.#generation = timeline.acceptor.acceptor.membership.generation;
    using _watch = this.#watch();
    using place = timeline.receivers.register(null);
    const { signal } = this.#stop;
    try {
      const connection = await connect(signal);
      try {
        const donor = readAcceptorState(
          await connection.query(formatReplicationCommand({ kind: 'AcceptorState' })),
        );
        return await this.#take(connection, donor, place);
      } finally {
        await connection.close();
      }
    } catch (error) {
      // That it was stopped is how it is to end.
      if (this.#isStopped && error instanceof VarveError && !(error instanceof AssertionError)) return 0;
      throw error;
    }
  }

  onCopyData(_bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    const tag = readReplicationTag(view, offset, length);
    if (tag === XLOG_DATA_TAG) {
      this.#takeWal(view, offset, length);
    } else if (tag === KEEPALIVE_TAG) {
      this.#keepalive.read(view, offset, length);
      if (this.#keepalive.serverEndLsn <= this.#position) this.#ended.resolve();
      if (this.#keepalive.isReplyRequested) this.#sendStatus();
    } else {
      refuseReplicationTag(tag);
    }
    if (this.#options.clock.monotonicMs() - this.#lastStatusMs >= STATUS_INTERVAL_MS) this.#sendStatus();
  }

  onCopyEnd(end: CopyEnd): void {
    if (end.kind === 'failed' && !this.#isDone) this.#networkError = end.error;
    this.#ended.resolve();
  }

  /** Stops at the first sign that somebody else feeds this acceptor, or is to. */
  #watch(): Disposable {
    const { timeline, signal } = this.#options;
    const stop = (): void => {
      if (this.#stop.signal.aborted) return;
      this.#isStopped = true;
      this.#end();
    };
    const check = (): void => {
      const { membership, term } = timeline.acceptor.acceptor;
      if (membership.generation !== this.#generation || (this.#term > 0 && term > this.#term)) stop();
    };
    const stack = new DisposableStack();
    for (const ending of [signal, timeline.signal]) {
      ending.addEventListener('abort', stop);
      stack.defer(() => ending.removeEventListener('abort', stop));
      if (ending.aborted) stop();
    }
    stack.use(timeline.acceptor.listen(check));
    stack.use(
      timeline.receivers.watchComputes((computes) => {
        if (computes > 0) stop();
      }),
    );
    return stack;
  }

  #end(): void {
    this.#isDone = true;
    this.#stop.abort(new VarveError('cancelled', 'RECOVERY_STOPPED', 'the recovery is stopped'));
    this.#vote.resolve(undefined);
    this.#ended.resolve();
  }

  async #take(connection: ClientConnection, donor: AcceptorState, place: ReceiverPlace): Promise<number> {
    const { timeline, clock, gauges } = this.#options;
    if (donor.generation !== this.#generation || donor.termHistory.at(-1)?.term !== donor.term) {
      throw new VarveError('unavailable', 'NO_DONOR', 'the donor has another term or configuration by now');
    }
    this.#term = donor.term;
    const loop = new AcceptorLoop({
      acceptor: timeline.acceptor,
      clock,
      gauges,
      signal: this.#stop.signal,
      reply: (message) => this.#onReply(message),
      onWritten: (wal) => this.#stream?.giveBackBody(wal),
      onRoom: () => this.#letGo(),
      onElected: () => place.setStatus('Streaming'),
    });
    this.#loop = loop;
    const running = loop.run();
    // If the acceptor refuses, nothing more is to come.
    const over = running.then(
      () => this.#end(),
      () => this.#end(),
    );
    let startLsn: Lsn | undefined;
    try {
      startLsn = await this.#elect(loop, donor);
      if (startLsn !== undefined) await this.#streamFrom(connection, startLsn);
    } finally {
      this.#isDone = true;
      loop.end();
      await over;
      // What the acceptor failed of comes before what became of the connection then.
      await running;
    }
    if (this.#networkError !== undefined && !this.#isStopped) throw this.#networkError;
    return startLsn === undefined ? 0 : this.#position - startLsn;
  }

  /** Where the two logs part; undefined if it was stopped. */
  async #elect(loop: AcceptorLoop, donor: AcceptorState): Promise<Lsn | undefined> {
    const { tenantId, timelineId, acceptor } = this.#options.timeline;
    const { term, termHistory } = donor;
    const generation = this.#generation;
    const { membership } = acceptor.acceptor;
    loop.put({ kind: 'greeting', tenantId, timelineId, membership, ...donor.server }, 0);
    loop.put({ kind: 'vote-request', generation, term }, 0);
    const vote = await this.#vote.promise;
    if (vote === undefined) return undefined;
    if (vote.term > term) {
      throw new VarveError('conflict', 'TERM_CHANGED', `term ${vote.term} is above the donor's ${term}`);
    }
    const common = highestCommonPoint(termHistory, vote.termHistory, vote.flushLsn);
    const startStreamingAt = common?.lsn ?? (termHistory[0] as { lsn: Lsn }).lsn;
    if (startStreamingAt < donor.localStartLsn) {
      throw new VarveError(
        'unavailable',
        'NO_DONOR',
        `the donor's WAL begins at ${formatLsn(donor.localStartLsn)} only`,
        { lsn: startStreamingAt },
      );
    }
    loop.put({ kind: 'elected', generation, term, startStreamingAt, termHistory }, 0);
    return startStreamingAt;
  }

  async #streamFrom(connection: ClientConnection, startLsn: Lsn): Promise<void> {
    this.#position = startLsn;
    const sql = formatReplicationCommand({ kind: 'StartReplication', startLsn, term: this.#term });
    this.#stream = await connection.copyBoth(sql, this);
    await this.#ended.promise;
  }

  #onReply(message: AcceptorMessage): undefined {
    if (message.kind === 'vote-response') this.#vote.resolve(message);
    return undefined;
  }

  #takeWal(view: DataView, offset: number, length: number): void {
    const loop = this.#loop as AcceptorLoop;
    const stream = this.#stream as CopyStream;
    const { startLsn, dataOffset, dataLength } = this.#readWal(view, offset, length);
    if (dataLength === 0 || this.#isDone) return;
    const wal = stream.takeBody().subarray(dataOffset - offset);
    const endLsn = toLsn(startLsn + dataLength);
    loop.put(
      {
        kind: 'append-request',
        generation: this.#generation,
        term: this.#term,
        beginLsn: startLsn,
        endLsn,
        // How far WAL is committed is learnt from the peers' news, which say of what term it is.
        commitLsn: INVALID_LSN,
        truncateLsn: INVALID_LSN,
        wal,
      },
      length,
    );
    this.#position = endLsn;
    if (!loop.isFull) return;
    this.#isHeldBack = true;
    stream.pause();
  }

  #readWal(view: DataView, offset: number, length: number): XLogData {
    this.#xlogData.read(view, offset, length);
    const { startLsn } = this.#xlogData;
    if (startLsn === this.#position) return this.#xlogData;
    throw new CorruptionError('WAL_GAP', `the donor sends WAL from ${formatLsn(startLsn)}`, {
      lsn: this.#position,
    });
  }

  #letGo(): void {
    if (!this.#isHeldBack || this.#loop?.isFull === true) return;
    this.#isHeldBack = false;
    this.#stream?.resume();
  }

  #sendStatus(): void {
    this.#lastStatusMs = this.#options.clock.monotonicMs();
    const { flushLsn } = this.#options.timeline.acceptor.acceptor;
    const message = new Uint8Array(STANDBY_STATUS_BYTES);
    writeStandbyStatus(new DataView(message.buffer), 0, this.#position, flushLsn, INVALID_LSN, 0, false);
    this.#stream?.sendMessages(message);
  }
}
