import { CorruptionError, VarveError } from '../../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn, toLsn } from '../../../base/lsn.ts';
import { cancelledError, throwIfCancelled } from '../../../io/cancelled.ts';
import type { Clock } from '../../../io/clock.ts';
import type { ClientConnection } from '../../../libpq/client/client-connection.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../../../libpq/copy-stream.ts';
import { formatReplicationCommand } from '../../../postgres/wire/replication-commands.ts';
import {
  KEEPALIVE_TAG,
  Keepalive,
  readReplicationTag,
  refuseReplicationTag,
  XLOG_DATA_TAG,
  XLogData,
} from '../../../postgres/wire/replication-messages.ts';
import type { WalIntake } from '../wal-intake.ts';
import { encodeFeedbackMessage, type FeedbackDetails } from './feedback-message.ts';
import { PatientTake } from './patient-take.ts';
import type { WalReceiverCounts } from './receiver-counts.ts';
import { isBug, judgeEnd, type ReceiverStreamEnd } from './stream-end.ts';
import { WaitingWal } from './waiting-wal.ts';

/** The safekeeper is held back while more than this has come that is not taken. */
const WAITING_BYTES_MAX = 1024 * 1024;
/** While WAL comes, the safekeeper hears this often how far it was taken: after that time, or that much. */
const FEEDBACK_INTERVAL_MS = 100;
const FEEDBACK_BYTES = 1024 * 1024;
/** A safekeeper that does not read gets no feedback. */
const UNSENT_BYTES_MAX = 64 * 1024;

export interface ReceiverStreamOptions {
  readonly intake: WalIntake;
  readonly clock: Clock;
  readonly counts: WalReceiverCounts;
  readonly feedback: () => FeedbackDetails;
  /** Connects to the safekeeper, for this timeline, and checks that it is the right one. */
  readonly connect: (signal: AbortSignal) => Promise<ClientConnection>;
  /** Ends it at once: bytes that are being taken are not waited for. */
  readonly signal: AbortSignal;
}

export type Refusal =
  /** What came is damaged, or not what comes next. */
  | 'bad-wal'
  /** Whatever comes: what is stored here is damaged, or cannot be read or written. */
  | 'own-failure';

/**
 * One WAL connection: brings the intake what comes next, piece after piece, and tells the safekeeper how far the timeline
 * is (protocol §1.5). It brings each byte once, whatever the safekeeper repeats. What has come and was not taken
 * when it ends is thrown away; the next connection gets it again.
 */
export class ReceiverStream implements CopyReceiver {
  readonly #options: ReceiverStreamOptions;
  readonly #stopping = new AbortController();
  readonly #xlogData = new XLogData();
  readonly #keepalive = new Keepalive();
  readonly #waiting = new WaitingWal();
  readonly #taking: PatientTake;
  #stream: CopyStream | undefined;
  /** End of what has come. */
  #receivedLsn: Lsn = INVALID_LSN;
  #serverEndLsn: Lsn = INVALID_LSN;
  #refusal: Refusal | undefined;
  #heardMs: number;
  #waitingSinceMs: number | undefined;
  #end: CopyEnd | undefined;
  #isHeldBack = false;
  #wake: (() => void) | undefined;
  #feedbackMs = 0;
  #bytesSinceFeedback = 0;
  #reportedRemoteLsn: Lsn = INVALID_LSN;

  constructor(options: ReceiverStreamOptions) {
    this.#options = options;
    this.#taking = new PatientTake(options.intake);
    this.#heardMs = options.clock.monotonicMs();
    this.#waitingSinceMs = this.#heardMs;
  }

  /** WAL may come. */
  get isStreaming(): boolean {
    return this.#stream !== undefined;
  }

  /** When anything came last; at first, when this was made. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Since when it waits for WAL to come; undefined: some is being taken. */
  get waitingSinceMs(): number | undefined {
    return this.#waitingSinceMs;
  }

  /** End of the WAL that has come. */
  get receivedLsn(): Lsn {
    return this.#receivedLsn;
  }

  /** How far the safekeeper has said that it could send. */
  get serverEndLsn(): Lsn {
    return this.#serverEndLsn;
  }

  /** Why the intake could not take what came, where that has ended it. */
  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** WAL that has come and is not taken yet. */
  get waitingBytes(): number {
    return this.#waiting.lengthBytes;
  }

  /** What the safekeeper has been told last of what the bucket has. */
  get reportedRemoteLsn(): Lsn {
    return this.#reportedRemoteLsn;
  }

  /**
   * Receives until the end. Unless the signal was given, nothing of it goes on then.
   * @throws what connecting, the safekeeper or the connection fails with; CorruptionError (WAL_GAP) where WAL is left
   * out, and for what the intake refuses; `cancelled` when the signal is given
   */
  async run(): Promise<ReceiverStreamEnd> {
    const { signal, connect } = this.#options;
    const abort = (): void => {
      this.#stopping.abort(signal.reason);
      this.#taking.giveUp(cancelledError(signal));
      this.#wakeUp();
    };
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
    try {
      const connection = await connect(this.#stopping.signal);
      try {
        return await this.#receive(connection);
      } finally {
        connection.abort(new VarveError('cancelled', 'CONNECTION_CLOSED', 'this side is done with it'));
      }
    } catch (error) {
      if (signal.aborted && !isBug(error)) throw cancelledError(signal);
      if (this.#stopping.signal.aborted && !isBug(error)) return 'stopped';
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      this.#options.counts.waitingBytes.subtract(this.#waiting.lengthBytes);
    }
  }

  /** Lets go of the safekeeper. `run` resolves when what is being taken has been taken. */
  stop(): void {
    this.#stopping.abort();
    this.#wakeUp();
  }

  /** Tells the safekeeper how far the timeline is, if WAL may come. */
  sendFeedback(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#isOver || stream.unsentBytes > UNSENT_BYTES_MAX) return;
    const { intake, clock, counts, feedback } = this.#options;
    const { positions } = intake;
    stream.sendCopyData(encodeFeedbackMessage(positions, feedback(), clock.wallMs()));
    this.#reportedRemoteLsn = positions.remoteConsistentLsn;
    this.#feedbackMs = clock.monotonicMs();
    this.#bytesSinceFeedback = 0;
    counts.feedbacks.increment();
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    if (this.#isOver) return;
    this.#heardMs = this.#options.clock.monotonicMs();
    const tag = readReplicationTag(view, offset, length);
    if (tag === XLOG_DATA_TAG) {
      this.#onWal(bytes, offset, length, view);
    } else if (tag === KEEPALIVE_TAG) {
      this.#keepalive.read(view, offset, length);
      this.#hearOfEnd(this.#keepalive.serverEndLsn);
      if (this.#keepalive.isReplyRequested) this.sendFeedback();
    } else {
      refuseReplicationTag(tag);
    }
  }

  onCopyEnd(end: CopyEnd): void {
    this.#end = end;
    this.#wakeUp();
  }

  get #isOver(): boolean {
    return this.#end !== undefined || this.#stopping.signal.aborted;
  }

  async #receive(connection: ClientConnection): Promise<ReceiverStreamEnd> {
    const { intake, clock } = this.#options;
    const startLsn = intake.position;
    this.#receivedLsn = startLsn;
    const command = formatReplicationCommand({ kind: 'StartReplication', startLsn });
    this.#stream = await connection.copyBoth(command, this);
    this.#heardMs = clock.monotonicMs();
    this.#waitingSinceMs = this.#heardMs;
    this.sendFeedback();
    while (!this.#isOver) {
      if (this.#waiting.lengthBytes > 0) {
        if (!(await this.#takeNext())) return 'closed';
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    throwIfCancelled(this.#options.signal);
    return this.#end === undefined ? 'stopped' : judgeEnd(this.#end);
  }

  /** False: the intake is closed. */
  async #takeNext(): Promise<boolean> {
    const { clock } = this.#options;
    this.#waitingSinceMs = undefined;
    try {
      await this.#waiting.take(
        (bytes) => this.#give(bytes),
        (piece) => this.#stream?.giveBackBody(piece),
      );
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'cancelled') {
        throwIfCancelled(this.#options.signal);
        return false;
      }
      const isBad = error instanceof CorruptionError && !this.#options.intake.isStopped;
      this.#refusal = isBad ? 'bad-wal' : 'own-failure';
      throw error;
    } finally {
      if (this.#waiting.lengthBytes === 0) this.#waitingSinceMs = clock.monotonicMs();
    }
    this.#letGo();
    if (
      this.#bytesSinceFeedback >= FEEDBACK_BYTES ||
      clock.monotonicMs() - this.#feedbackMs >= FEEDBACK_INTERVAL_MS
    )
      this.sendFeedback();
    return true;
  }

  #give(bytes: Uint8Array): Promise<void> {
    this.#options.counts.waitingBytes.subtract(bytes.length);
    this.#bytesSinceFeedback += bytes.length;
    return this.#taking.take(bytes);
  }

  #onWal(bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    const { counts } = this.#options;
    const stream = this.#stream as CopyStream;
    this.#xlogData.read(view, offset, length);
    const { startLsn, serverEndLsn, dataOffset, dataLength } = this.#xlogData;
    this.#hearOfEnd(serverEndLsn);
    if (startLsn > this.#receivedLsn) {
      throw new CorruptionError('WAL_GAP', `the safekeeper goes on at ${formatLsn(startLsn)}`, {
        lsn: this.#receivedLsn,
      });
    }
    counts.receivedBytes.add(dataLength);
    // What there is already.
    const cutBytes = Math.min(this.#receivedLsn - startLsn, dataLength);
    counts.repeatedBytes.add(cutBytes);
    const freshBytes = dataLength - cutBytes;
    if (freshBytes === 0) return;
    const from = dataOffset + cutBytes;
    this.#waiting.push(
      WaitingWal.isCopied(freshBytes)
        ? bytes.subarray(from, from + freshBytes)
        : stream.takeBody().subarray(from - offset),
    );
    this.#receivedLsn = toLsn(this.#receivedLsn + freshBytes);
    counts.waitingBytes.add(freshBytes);
    if (this.#waiting.lengthBytes > WAITING_BYTES_MAX) {
      this.#isHeldBack = true;
      stream.pause();
    }
    this.#wakeUp();
  }

  #hearOfEnd(lsn: Lsn): void {
    if (lsn > this.#serverEndLsn) this.#serverEndLsn = lsn;
  }

  #letGo(): void {
    if (!this.#isHeldBack || this.#waiting.lengthBytes > WAITING_BYTES_MAX / 2) return;
    this.#isHeldBack = false;
    this.#stream?.resume();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
