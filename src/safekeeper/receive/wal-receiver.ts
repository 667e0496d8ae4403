import { BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import {
  type AcceptorMessage,
  decodeProposerMessage,
  type ProposerGreeting,
  type ProposerMessage,
} from '../../contracts/acceptor-messages.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import type { CopyEnd, CopyReceiver, CopyStream } from '../../libpq/copy-stream.ts';
import type { Logger } from '../../observe/log.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';
import { AcceptorLoop, type QueueGauges } from './acceptor-loop.ts';
import { ReplyQueue } from './reply-queue.ts';
import { endingError } from './stream-ending.ts';

/** The acceptor has been too slow for this long: say so, and again after each. */
export const SLOW_QUEUE_MS = 5000;
/** How often the length of the queue is looked at. */
export const QUEUE_SAMPLE_MS = 5000;

export interface ReceiverMetrics {
  readonly gauges: QueueGauges;
  observeQueueDepth(messages: number): void;
}

export interface WalReceiverOptions {
  readonly connectionId: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: ReceiverMetrics;
  /** The connection's life: when it ends, nobody waits for the proposer to read its replies. */
  readonly signal: AbortSignal;
  /** The proposer wants to know what standbys have applied. */
  readonly tellsStandbys: boolean;
  /** Opens the timeline of the greeting, or makes it, and holds it until the receiver lets go. */
  readonly openTimeline: (greeting: ProposerGreeting) => Promise<ResidentTimeline>;
}

/**
 * Receives one proposer's WAL. Three parts run at the same time, joined by bounded queues: the connection's reader
 * puts messages into the acceptor's queue and stops reading while that is full, the acceptor's loop works on them,
 * and replies leave as the proposer reads them. All have ended when `run` settles.
 */
export class WalReceiver implements CopyReceiver {
  readonly #options: WalReceiverOptions;
  #stream: CopyStream | undefined;
  #loop: AcceptorLoop | undefined;
  #networkError: Error | undefined;
  #isNetworkOver = false;
  #isHeldBack = false;
  #slowTimer: Timer | undefined;
  #slowSinceMs = 0;
  #first: ProposerMessage | undefined;
  #firstBytes = 0;
  #wakeFirst: (() => void) | undefined;

  constructor(options: WalReceiverOptions) {
    this.#options = options;
  }

  onCopyData(_bytes: Uint8Array, _offset: number, length: number): void {
    const stream = this.#stream as CopyStream;
    const message = decodeProposerMessage(stream.takeBody());
    if (this.#loop !== undefined) {
      this.#put(this.#loop, stream, message, length);
      return;
    }
    this.#first = message;
    this.#firstBytes = length;
    stream.pause();
    this.#wakeFirst?.();
  }

  onCopyEnd(end: CopyEnd): void {
    this.#isNetworkOver = true;
    if (end.kind === 'failed') this.#networkError = end.error;
    this.#loop?.end();
    this.#wakeFirst?.();
  }

  /**
   * Receives until either side ends. Rejects with why, unless the proposer ended in order.
   * @param begin starts the COPY, with this as its receiver
   */
  async run(begin: (receiver: CopyReceiver) => CopyStream): Promise<void> {
    const stream = begin(this);
    this.#stream = stream;
    const greeting = await this.#readGreeting();
    if (greeting === undefined) {
      if (this.#networkError !== undefined) throw this.#networkError;
      return;
    }
    using timeline = await this.#options.openTimeline(greeting);
    const error = await this.#receive(timeline, stream, greeting);
    if (error !== undefined) throw error;
  }

  /** undefined if the proposer went away before it said anything. */
  async #readGreeting(): Promise<ProposerGreeting | undefined> {
    while (this.#first === undefined && !this.#isNetworkOver) {
      await new Promise<void>((resolve) => {
        this.#wakeFirst = resolve;
      });
    }
    const first = this.#first;
    if (first === undefined || first.kind === 'greeting') return first;
    throw new BadRequestError('NO_GREETING', `a proposer began with ${first.kind} instead of a greeting`);
  }

  async #receive(
    timeline: ResidentTimeline,
    stream: CopyStream,
    greeting: ProposerGreeting,
  ): Promise<Error | undefined> {
    const { clock, metrics, connectionId, signal, tellsStandbys } = this.#options;
    using place = timeline.receivers.register(connectionId);
    const replies = new ReplyQueue(stream);
    using _feedback = timeline.feedback.listen((feedback) => replies.sendFeedback(feedback));
    using _standbys = timeline.senders.onStandby(() => {
      if (tellsStandbys) replies.sendStandbyApply(timeline.senders.standbyApplyLsn(clock.monotonicMs()));
    });
    using _life = whenAborted([timeline.signal, signal], () => replies.giveUp());
    const loop = new AcceptorLoop({
      acceptor: timeline.acceptor,
      clock,
      gauges: metrics.gauges,
      signal: timeline.signal,
      reply: (message) => replies.send(withStandbys(message, timeline, tellsStandbys ? clock : undefined)),
      onWritten: (wal) => stream.giveBackBody(wal),
      onRoom: () => this.#letGo(loop, stream),
      onElected: () => place.setStatus('Streaming'),
    });
    const running = loop.run();
    this.#loop = loop;
    loop.put(greeting, this.#firstBytes);
    if (this.#isNetworkOver) loop.end();
    else stream.resume();
    const sampling = this.#sample(loop);
    let acceptorError: Error | undefined;
    try {
      await running;
    } catch (error) {
      acceptorError = error as Error;
    } finally {
      sampling.cancel();
      this.#slowTimer?.cancel();
    }
    if (acceptorError === undefined && timeline.signal.aborted) {
      acceptorError = new VarveError('cancelled', 'CLOSING', 'the timeline is closing');
    }
    // A proposer that has gone reads no replies; one that is told an error gets those before it first.
    if (!this.#isNetworkOver) stream.pause();
    const ends = { networkError: this.#networkError, acceptorError };
    if (acceptorError === undefined) await replies.finish();
    this.#logEnd(timeline, endingError(ends));
    return endingError(ends);
  }

  #put(loop: AcceptorLoop, stream: CopyStream, message: ProposerMessage, length: number): void {
    loop.put(message, length);
    if (!loop.isFull || this.#isHeldBack) return;
    this.#isHeldBack = true;
    stream.pause();
    this.#slowSinceMs = this.#options.clock.monotonicMs();
    this.#warnWhenSlow(loop);
  }

  #letGo(loop: AcceptorLoop, stream: CopyStream): void {
    if (!this.#isHeldBack || loop.isFull) return;
    this.#isHeldBack = false;
    this.#slowTimer?.cancel();
    const waitedMs = this.#options.clock.monotonicMs() - this.#slowSinceMs;
    if (waitedMs >= SLOW_QUEUE_MS)
      this.#options.logger.info('the slow acceptor takes messages again', { waitedMs });
    if (!this.#isNetworkOver) stream.resume();
  }

  #warnWhenSlow(loop: AcceptorLoop): void {
    this.#slowTimer = this.#options.clock.setTimer(SLOW_QUEUE_MS, () => {
      const waitedMs = this.#options.clock.monotonicMs() - this.#slowSinceMs;
      this.#options.logger.warn('the acceptor is slow: its queue has been full', {
        waitedMs,
        queueLength: loop.queueLength,
      });
      this.#warnWhenSlow(loop);
    });
  }

  #sample(loop: AcceptorLoop): Timer {
    const { clock, metrics } = this.#options;
    let timer: Timer;
    const sample = (): void => {
      metrics.observeQueueDepth(loop.queueLength);
      timer = clock.setTimer(QUEUE_SAMPLE_MS, sample);
    };
    timer = clock.setTimer(QUEUE_SAMPLE_MS, sample);
    return { cancel: () => timer.cancel() };
  }

  #logEnd(timeline: ResidentTimeline, error: Error | undefined): void {
    const { acceptor } = timeline.acceptor;
    const fields = {
      tenantId: timeline.tenantId,
      timelineId: timeline.timelineId,
      connectionId: this.#options.connectionId,
      term: acceptor.term,
      lastLogTerm: acceptor.lastLogTerm,
      flushLsn: formatLsn(acceptor.flushLsn),
      commitLsn: formatLsn(acceptor.commitLsn),
    };
    if (error === undefined) this.#options.logger.info('a WAL stream ended', fields);
    else this.#options.logger.warn('a WAL stream ended', { ...fields, error: error.message });
  }
}

/** The proposer tells its server what the standbys' readers still need, and what they see. @param clock where it wants that */
function withStandbys(
  message: AcceptorMessage,
  { senders }: ResidentTimeline,
  clock: Clock | undefined,
): AcceptorMessage {
  if (message.kind !== 'append-response' || senders.count === 0) return message;
  const { hotStandbyFeedback } = senders;
  const standbyApplyLsn = clock === undefined ? undefined : senders.standbyApplyLsn(clock.monotonicMs());
  return {
    ...message,
    hotStandbyFeedback,
    ...(standbyApplyLsn === undefined ? {} : { standbyApplyLsn }),
  };
}

/** Calls back once one of the signals is given, or has been, until the result is disposed of. */
function whenAborted(signals: readonly AbortSignal[], callback: () => void): Disposable {
  for (const signal of signals) signal.addEventListener('abort', callback);
  if (signals.some(({ aborted }) => aborted)) callback();
  return {
    [Symbol.dispose]: () => {
      for (const signal of signals) signal.removeEventListener('abort', callback);
    },
  };
}
