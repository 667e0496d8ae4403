import { BigEndianReader } from '../../base/big-endian.ts';
import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { type PageserverFeedback, readPageserverFeedback } from '../../contracts/pageserver-feedback.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../../libpq/copy-stream.ts';
import { ConnectionEndError } from '../../libpq/server/sqlstate.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import {
  HOT_STANDBY_FEEDBACK_TAG,
  HotStandbyFeedback,
  KEEPALIVE_BYTES,
  PAGESERVER_FEEDBACK_TAG,
  readReplicationTag,
  refuseReplicationTag,
  STANDBY_STATUS_TAG,
  StandbyStatus,
  writeKeepalive,
  writeXLogDataHeader,
  XLOG_DATA_BYTES_MAX,
  XLOG_DATA_HEADER_BYTES,
} from '../../postgres/wire/replication-messages.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import { chunkEnd } from './chunk.ts';
import type { SenderPlace } from './sender-registry.ts';

/** How often a reader that has everything is told so. */
const KEEPALIVE_INTERVAL_MS = 1000;
/** Nothing is sent, neither WAL nor an answer, while a reader has more than this unsent. */
const UNSENT_BYTES_MAX = 1024 * 1024;
/** Microseconds from 1970 to 2000, PostgreSQL's epoch. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** What a reader asks for. */
export interface SendRequest {
  readonly startLsn: Lsn;
  /** Stream what is flushed, committed or not, as long as this is the acceptor's term. Without it: what is committed. */
  readonly term: number | undefined;
}

export interface WalSenderOptions {
  readonly connectionId: number;
  readonly peer: string;
  readonly applicationName: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Reads WAL of this timeline, from the disk or the bucket; as WalStorage.read. */
  readonly read: (target: Uint8Array, start: number, length: number, lsn: Lsn) => Promise<number>;
  /** A pageserver told of its progress. */
  readonly onPageserverFeedback: (feedback: PageserverFeedback) => void;
}

/** Sends a timeline's WAL to one reader, as it becomes committed (or durable), and takes its feedback. */
export class WalSender implements CopyReceiver {
  readonly #timeline: ResidentTimeline;
  readonly #request: SendRequest;
  readonly #options: WalSenderOptions;
  #position: Lsn;
  #wake: (() => void) | undefined;
  #isOver = false;
  #networkError: Error | undefined;
  #place: SenderPlace | undefined;
  #feedback: PageserverFeedback | undefined;
  #isReplyRequested = false;
  readonly #status = new StandbyStatus();
  readonly #standbyFeedback = new HotStandbyFeedback();

  /** @throws VarveError where the request can never be served */
  constructor(timeline: ResidentTimeline, request: SendRequest, options: WalSenderOptions) {
    this.#timeline = timeline;
    this.#request = request;
    this.#options = options;
    this.#position = request.startLsn;
    this.#checkStart();
  }

  /** Sends until the reader leaves. Rejects with why it ended otherwise. */
  async run(begin: (receiver: CopyReceiver) => CopyStream): Promise<void> {
    const { connectionId, peer, applicationName } = this.#options;
    using place = this.#timeline.senders.register(connectionId, peer, applicationName);
    this.#place = place;
    if (this.#request.term === undefined)
      place.update({ joinedLsn: this.#timeline.acceptor.acceptor.commitLsn });
    using _positions = this.#timeline.acceptor.listen(() => this.#wakeUp());
    const stream = begin(this);
    const onAbort = (): void => this.#wakeUp();
    for (const signal of [this.#timeline.signal, this.#options.signal])
      signal.addEventListener('abort', onAbort);
    try {
      await this.#send(stream, place);
    } finally {
      for (const signal of [this.#timeline.signal, this.#options.signal])
        signal.removeEventListener('abort', onAbort);
    }
    if (this.#networkError !== undefined) throw this.#networkError;
  }

  onCopyData(bytes: Uint8Array, offset: number, length: number, view: DataView): void {
    const tag = readReplicationTag(view, offset, length);
    switch (tag) {
      case STANDBY_STATUS_TAG: {
        this.#status.read(view, offset, length);
        const { writeLsn, flushLsn, applyLsn, isReplyRequested } = this.#status;
        const heardAtMs = this.#options.clock.monotonicMs();
        this.#place?.update({ standby: { writeLsn, flushLsn, applyLsn }, heardAtMs });
        if (isReplyRequested) {
          this.#isReplyRequested = true;
          this.#wakeUp();
        }
        return;
      }
      case HOT_STANDBY_FEEDBACK_TAG:
        this.#standbyFeedback.read(view, offset, length);
        this.#place?.update({ hotStandbyFeedback: fullFeedback(this.#standbyFeedback) });
        return;
      case PAGESERVER_FEEDBACK_TAG:
        this.#takePageserverFeedback(bytes.subarray(offset + 1, offset + length));
        return;
      default:
        refuseReplicationTag(tag);
    }
  }

  onCopyEnd(end: CopyEnd): void {
    this.#isOver = true;
    if (end.kind === 'failed') this.#networkError = end.error;
    this.#wakeUp();
  }

  /** `z`: u64 length, then the feedback. */
  #takePageserverFeedback(body: Uint8Array): void {
    const reader = new BigEndianReader(body, 'feedback of a pageserver');
    const length = reader.u64();
    if (length !== reader.remaining)
      reader.fail(`it is said to have ${length} bytes and has ${reader.remaining}`);
    const feedback = readPageserverFeedback(reader);
    reader.expectEnd();
    this.#feedback = feedback;
    this.#place?.update({ pageserverFeedback: feedback });
    this.#options.onPageserverFeedback(feedback);
    this.#wakeUp();
  }

  #checkStart(): void {
    const { persistent } = this.#timeline.acceptor.acceptor;
    const { timelineStartLsn, localStartLsn, server } = persistent;
    const { startLsn } = this.#request;
    if (timelineStartLsn === 0 || localStartLsn === 0) {
      throw new VarveError('unavailable', 'NO_WAL', 'this safekeeper has no WAL of the timeline yet', {
        lsn: startLsn,
      });
    }
    const { segmentBytes } = server;
    if (segmentNumber(startLsn, segmentBytes) < segmentNumber(timelineStartLsn, segmentBytes)) {
      throw new BadRequestError(
        'BEFORE_TIMELINE_START',
        `the WAL of this timeline begins at ${formatLsn(timelineStartLsn)}`,
        { lsn: startLsn },
      );
    }
  }

  async #send(stream: CopyStream, place: SenderPlace): Promise<void> {
    const { clock } = this.#options;
    let lastSentMs = clock.monotonicMs();
    for (;;) {
      this.#checkLife();
      if (this.#isOver) return;
      if (stream.unsentBytes > UNSENT_BYTES_MAX) {
        await this.#waitForReader(stream);
        continue;
      }
      const endLsn = this.#availableLsn();
      if (this.#position < endLsn) {
        await this.#sendChunk(stream, endLsn);
        place.update({ sentLsn: this.#position });
        lastSentMs = clock.monotonicMs();
        continue;
      }
      const idleMs = clock.monotonicMs() - lastSentMs;
      if (this.#isReplyRequested || idleMs >= KEEPALIVE_INTERVAL_MS) {
        if (idleMs >= KEEPALIVE_INTERVAL_MS) this.#endIfDone();
        this.#sendKeepalive(stream, !this.#isReplyRequested);
        this.#isReplyRequested = false;
        lastSentMs = clock.monotonicMs();
      } else {
        await this.#somethingHappens(KEEPALIVE_INTERVAL_MS - idleMs);
      }
    }
  }

  #checkLife(): void {
    if (this.#timeline.signal.aborted)
      throw new VarveError('cancelled', 'CLOSING', 'the timeline is closing');
    this.#options.signal.throwIfAborted();
  }

  /** How far WAL may be sent now. */
  #availableLsn(): Lsn {
    const { acceptor } = this.#timeline.acceptor;
    const { term } = this.#request;
    if (term === undefined) return acceptor.commitLsn;
    if (acceptor.term !== term) {
      throw new VarveError(
        'precondition',
        'TERM_CHANGED',
        `WAL of term ${term} was asked for, this safekeeper is in term ${acceptor.term}`,
        { lsn: this.#position },
      );
    }
    return acceptor.flushLsn;
  }

  async #sendChunk(stream: CopyStream, availableLsn: Lsn): Promise<void> {
    const { segmentBytes } = this.#timeline.acceptor.acceptor.persistent.server;
    const end = chunkEnd(this.#position, availableLsn, segmentBytes, XLOG_DATA_BYTES_MAX);
    const wanted = end - this.#position;
    const message = new Uint8Array(XLOG_DATA_HEADER_BYTES + wanted);
    const length = await this.#options.read(message, XLOG_DATA_HEADER_BYTES, wanted, this.#position);
    if (length !== wanted) {
      throw new VarveError('unavailable', 'WAL_CUT', `${length} of ${wanted} bytes of WAL could be read`, {
        lsn: this.#position,
      });
    }
    // What was read may have been cut while it was read, if it was not committed.
    if (this.#request.term !== undefined && end > this.#availableLsn()) return;
    if (this.#isOver) return;
    const view = new DataView(message.buffer);
    writeXLogDataHeader(view, 0, this.#position, availableLsn, this.#nowMicroseconds(), wanted);
    stream.sendMessages(message);
    this.#position = end;
  }

  /** A reader that takes nothing must not hold up the end of the timeline. */
  async #waitForReader(stream: CopyStream): Promise<void> {
    let isDrained = false;
    const draining = stream.drained(UNSENT_BYTES_MAX / 2).then(() => {
      isDrained = true;
      this.#wakeUp();
    });
    while (!isDrained && !this.#isOver) {
      this.#checkLife();
      await this.#somethingHappens(undefined);
    }
    if (isDrained) await draining;
  }

  #endIfDone(): void {
    if (this.#request.term !== undefined || this.#feedback === undefined) return;
    const { commitLsn } = this.#timeline.acceptor.acceptor;
    if (this.#timeline.receivers.computes > 0) return;
    if (commitLsn === 0 || this.#feedback.remoteConsistentLsn >= commitLsn) throw streamEnded();
  }

  #sendKeepalive(stream: CopyStream, isReplyRequested: boolean): void {
    const message = new Uint8Array(KEEPALIVE_BYTES);
    writeKeepalive(
      new DataView(message.buffer),
      0,
      this.#availableLsn(),
      this.#nowMicroseconds(),
      isReplyRequested,
    );
    stream.sendMessages(message);
  }

  #nowMicroseconds(): number {
    return Math.round((this.#options.clock.wallMs() - POSTGRES_EPOCH_MS) * 1000);
  }

  async #somethingHappens(timeoutMs: number | undefined): Promise<void> {
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (timeoutMs !== undefined) timer = this.#options.clock.setTimer(timeoutMs, resolve);
    });
    timer?.cancel();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function fullFeedback(feedback: HotStandbyFeedback): { time: bigint; xmin: bigint; catalogXmin: bigint } {
  const full = (epoch: number, xid: number): bigint =>
    xid === 0 ? 0n : (BigInt(epoch) << 32n) | BigInt(xid);
  return {
    time: BigInt(feedback.sendTimeMicroseconds),
    xmin: full(feedback.xminEpoch, feedback.xmin),
    catalogXmin: full(feedback.catalogXminEpoch, feedback.catalogXmin),
  };
}

/** The reader is up to date, and nothing more will come: no error. Pageservers know it by its SQLSTATE and words. */
function streamEnded(): ConnectionEndError {
  return ConnectionEndError.success(
    'STREAM_ENDED',
    'ending streaming: no compute is connected and all is read',
  );
}
