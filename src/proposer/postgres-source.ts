import { CorruptionError, VarveError } from '../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../base/lsn.ts';
import type { HotStandbyFeedback } from '../contracts/acceptor-messages.ts';
import { cancelledError } from '../io/cancelled.ts';
import type { Timer } from '../io/clock.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ClientConnection } from '../libpq/client/client-connection.ts';
import { PostgresError } from '../libpq/client/postgres-error.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../libpq/copy-stream.ts';
import { formatReplicationCommand } from '../postgres/wire/replication-commands.ts';
import {
  HOT_STANDBY_FEEDBACK_BYTES,
  KEEPALIVE_TAG,
  Keepalive,
  readReplicationTag,
  refuseReplicationTag,
  STANDBY_STATUS_BYTES,
  HotStandbyFeedback as StandbyFeedback,
  writeHotStandbyFeedback,
  writeStandbyStatus,
  XLOG_DATA_TAG,
  XLogData,
} from '../postgres/wire/replication-messages.ts';
import type { PostgresAddress } from './connection-string.ts';
import { NO_HOT_STANDBY_FEEDBACK } from './feedback.ts';
import type { ProposerDoors } from './options.ts';
import { checkServer, connectToServer, type ServerExpectations } from './postgres-server.ts';
import type { WalSink, WalSource } from './wal-source.ts';

/** 2000-01-01 UTC in milliseconds since 1970. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
/** errcodes.txt */
const SQLSTATE_OBJECT_IN_USE = '55006';
const SQLSTATE_DUPLICATE_OBJECT = '42710';
const RETRY = { minMs: 20, maxMs: 1000 };

export interface PostgresSourceOptions extends PostgresAddress {
  /** The name in synchronous_standby_names. */
  readonly applicationName: string;
  /** A physical replication slot, which keeps WAL that was not confirmed. */
  readonly slot?: string;
  /** The server has no such slot yet: it is made over the first connection, with what WAL it keeps. */
  readonly makesSlot?: boolean;
  readonly expectations: ServerExpectations;
  readonly connectTimeoutMs?: number;
  /** A status is sent at least this often, so that the server does not give us up: a third of wal_sender_timeout or less. */
  readonly statusIntervalMs?: number;
  /** How long a lost connection is tried to be made again before the server counts as lost. */
  readonly reconnectForMs?: number;
}

/**
 * Follows a stock PostgreSQL by physical replication, and tells it what is committed as the position that its standby
 * has written, flushed and, unless hot standbys are to be waited for (`synchronous_commit = remote_apply`), applied.
 *
 * Where the log ends at the border of a page, the server is asked for the WAL from that border on, not from its first
 * record: it then sends the page's header as it lies on its disk. Whoever laid the directory out has made that header,
 * and the server's own reader has checked it; so there is no second place that makes it, and nothing to differ.
 */
export class PostgresSource implements WalSource {
  readonly #options: PostgresSourceOptions;
  readonly #doors: ProposerDoors;
  #sink: WalSink | undefined;
  #signal: AbortSignal | undefined;
  #stream: CopyStream | undefined;
  #receivedLsn: Lsn = INVALID_LSN;
  #writtenLsn: Lsn = INVALID_LSN;
  #commitLsn: Lsn = INVALID_LSN;
  /** Of hot standbys that there are. */
  #applyLsn: Lsn | undefined;
  #feedback = NO_HOT_STANDBY_FEEDBACK;
  #isPaused = false;
  #isStatusDue = false;
  #isReplyWanted = false;
  #isSlotMade = false;
  #statusTimer: Timer | undefined;
  readonly #retryDelay: RetryDelay;
  #lostSinceMs: number | undefined;
  readonly #xlogData = new XLogData();
  readonly #keepalive = new Keepalive();

  constructor(options: PostgresSourceOptions, doors: ProposerDoors) {
    this.#options = options;
    this.#doors = doors;
    this.#retryDelay = new RetryDelay(RETRY, doors.random);
  }

  /** LSN of the next byte that the server is to send. */
  get receivedLsn(): Lsn {
    return this.#receivedLsn;
  }

  get writtenLsn(): Lsn {
    return this.#writtenLsn;
  }

  /**
   * Resolves when the server has been shut down and has sent all its WAL, which it does when that is committed.
   * @throws VarveError ‘unavailable’ / SOURCE_LOST; ‘conflict’ where it is not the server that was expected; what the
   * sink throws
   */
  async run(startLsn: Lsn, sink: WalSink, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    this.#signal = signal;
    this.#receivedLsn = startLsn;
    for (;;) {
      try {
        await this.#follow(signal);
        return;
      } catch (error) {
        if (signal.aborted) throw cancelledError(signal);
        await this.#waitToReconnect(error as Error, signal);
      } finally {
        this.#statusTimer?.cancel();
        this.#stream = undefined;
      }
    }
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#stream?.resume();
  }

  committed(commitLsn: Lsn): void {
    if (commitLsn <= this.#commitLsn) return;
    this.#commitLsn = commitLsn;
    this.#sendStatus(false);
  }

  applied(applyLsn: Lsn | undefined): void {
    if (applyLsn === this.#applyLsn) return;
    this.#applyLsn = applyLsn;
    this.#sendStatus(false);
  }

  hotStandbyFeedback(feedback: HotStandbyFeedback): void {
    this.#feedback = feedback;
    this.#sendFeedback();
  }

  /** One connection, from its beginning to the server's end of the stream. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { slot, expectations, applicationName } = this.#options;
    const client = await connectToServer(this.#options, applicationName, this.#doors, signal);
    try {
      await checkServer(client, expectations);
      await this.#makeSlotOnce(client);
      const ended = Promise.withResolvers<CopyEnd>();
      const receiver: CopyReceiver = {
        onCopyData: (_bytes, offset, length, view) => this.#take(offset, length, view),
        onCopyEnd: (end) => {
          this.#stream = undefined;
          ended.resolve(end);
        },
      };
      const stream = await client.copyBoth(
        formatReplicationCommand({
          kind: 'StartReplication',
          startLsn: this.#receivedLsn,
          timelineId: expectations.timelineId,
          ...(slot === undefined ? {} : { slot }),
        }),
        receiver,
      );
      this.#stream = stream;
      if (this.#isPaused) stream.pause();
      // What a walsender is told while it catches up releases nobody: its answer to this leads to another status.
      this.#sendStatus(true);
      if (this.#feedback !== NO_HOT_STANDBY_FEEDBACK) this.#sendFeedback();
      this.#armStatusTimer();
      const end = await ended.promise;
      if (end.kind === 'failed') throw end.error;
      if (end.kind === 'closed') {
        throw new VarveError('unavailable', 'CONNECTION_LOST', 'the server has left without a word');
      }
    } finally {
      client.abort(
        new VarveError('cancelled', 'CONNECTION_CLOSED', 'this connection is not needed any more'),
      );
    }
  }

  async #makeSlotOnce(client: ClientConnection): Promise<void> {
    const { slot, makesSlot = false } = this.#options;
    if (slot === undefined || !makesSlot || this.#isSlotMade) return;
    try {
      await client.query(`CREATE_REPLICATION_SLOT "${slot}" PHYSICAL RESERVE_WAL`);
    } catch (error) {
      // The answer was lost with an earlier connection.
      if (!(error instanceof PostgresError) || error.sqlState !== SQLSTATE_DUPLICATE_OBJECT) throw error;
    }
    this.#isSlotMade = true;
  }

  async #waitToReconnect(error: Error, signal: AbortSignal): Promise<void> {
    if (!(error instanceof VarveError) || !isPassing(error)) throw error;
    const { clock, logger } = this.#doors;
    const { reconnectForMs = 10_000 } = this.#options;
    this.#lostSinceMs ??= clock.monotonicMs();
    if (clock.monotonicMs() - this.#lostSinceMs >= reconnectForMs) {
      throw new VarveError(
        'unavailable',
        'SOURCE_LOST',
        `the server is lost: ${error.reason}`,
        { lsn: this.#receivedLsn },
        error,
      );
    }
    logger.warn('the connection to the server is lost', {
      receivedLsn: formatLsn(this.#receivedLsn),
      reason: error.message,
    });
    await pause(clock, this.#retryDelay.nextMs(), signal);
    if (signal.aborted) throw cancelledError(signal);
  }

  #take(offset: number, length: number, view: DataView): void {
    this.#lostSinceMs = undefined;
    this.#retryDelay.reset();
    const tag = readReplicationTag(view, offset, length);
    if (tag === XLOG_DATA_TAG) {
      this.#xlogData.read(view, offset, length);
      this.#takeWal(offset);
    } else if (tag === KEEPALIVE_TAG) {
      this.#keepalive.read(view, offset, length);
      this.#sendStatus(false);
    } else {
      refuseReplicationTag(tag);
    }
  }

  #takeWal(offset: number): void {
    const { startLsn, serverEndLsn, dataOffset, dataLength } = this.#xlogData;
    const stream = this.#stream;
    if (this.#signal?.aborted === true || stream === undefined || this.#sink === undefined) return;
    if (startLsn !== this.#receivedLsn) {
      throw new CorruptionError(
        'WAL_GAP',
        `the server goes on at ${formatLsn(startLsn)} after ${formatLsn(this.#receivedLsn)}`,
        { lsn: startLsn },
      );
    }
    this.#writtenLsn = serverEndLsn;
    if (dataLength === 0) return;
    const start = dataOffset - offset;
    const body = stream.takeBody();
    this.#receivedLsn = (startLsn + dataLength) as Lsn;
    if (this.#sink.write(body.subarray(start, start + dataLength))) return;
    this.#isPaused = true;
    stream.pause();
  }

  /**
   * Once for all that is to be said in a turn of the loop, and only after what has come was taken: a server that has been told that
   * all of it is committed says that this is the end, and leaves. Who writes to it then loses what it has said.
   */
  #sendStatus(isReplyRequested: boolean): void {
    this.#isReplyWanted ||= isReplyRequested;
    if (this.#isStatusDue) return;
    this.#isStatusDue = true;
    void this.#doors.clock.yieldToOthers().then(() => {
      this.#isStatusDue = false;
      this.#writeStatus(this.#isReplyWanted);
      this.#isReplyWanted = false;
    });
  }

  /** A server believes any position: it is never told one that it has not sent. And 0 means that nothing is known. */
  #writeStatus(isReplyRequested: boolean): void {
    const stream = this.#stream;
    const lsn = Math.min(this.#commitLsn, this.#receivedLsn);
    if (stream === undefined || lsn === INVALID_LSN) return;
    const message = new Uint8Array(STANDBY_STATUS_BYTES);
    const view = new DataView(message.buffer);
    const applyLsn = Math.min(lsn, this.#applyLsn ?? lsn);
    writeStandbyStatus(view, 0, lsn, lsn, applyLsn, this.#nowMicroseconds(), isReplyRequested);
    stream.sendMessages(message);
  }

  #sendFeedback(): void {
    const { xmin, catalogXmin } = this.#feedback;
    const message = new Uint8Array(HOT_STANDBY_FEEDBACK_BYTES);
    const low = (id: bigint): number => Number(id & 0xffff_ffffn);
    const high = (id: bigint): number => Number((id >> 32n) & 0xffff_ffffn);
    const fields = Object.assign(new StandbyFeedback(), {
      sendTimeMicroseconds: this.#nowMicroseconds(),
      xmin: low(xmin),
      xminEpoch: high(xmin),
      catalogXmin: low(catalogXmin),
      catalogXminEpoch: high(catalogXmin),
    });
    writeHotStandbyFeedback(new DataView(message.buffer), 0, fields);
    this.#stream?.sendMessages(message);
  }

  #nowMicroseconds(): number {
    return Math.round((this.#doors.clock.wallMs() - POSTGRES_EPOCH_MS) * 1000);
  }

  /** Also while the stream is paused, and the server's own questions are not read. */
  #armStatusTimer(): void {
    this.#statusTimer?.cancel();
    this.#statusTimer = this.#doors.clock.setTimer(this.#options.statusIntervalMs ?? 5000, () => {
      if (this.#stream === undefined) return;
      this.#sendStatus(false);
      this.#armStatusTimer();
    });
  }
}

/** The slot is in use for as long as the server has not noticed that its former connection is gone. */
function isPassing(error: VarveError): boolean {
  if (error instanceof PostgresError && error.sqlState === SQLSTATE_OBJECT_IN_USE) return true;
  return error.kind === 'unavailable';
}
