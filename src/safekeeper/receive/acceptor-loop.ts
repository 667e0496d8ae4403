import {
  type AcceptorMessage,
  APPEND_BYTES_MAX,
  type AppendRequest,
  type ProposerMessage,
} from '../../contracts/acceptor-messages.ts';
import type { Clock } from '../../io/clock.ts';
import type { Gauge } from '../../observe/metric-cells.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import { BoundedQueue } from './bounded-queue.ts';

/** Messages that wait for the acceptor. */
export const MESSAGES_MAX = 256;
/** And the bytes of them, as if all were appends: other messages may be longer. */
const QUEUED_BYTES_MAX: number = MESSAGES_MAX * APPEND_BYTES_MAX;
/** Under a stream that never pauses, WAL is synced and answered at least this often. */
export const FLUSH_INTERVAL_MS = 1000;
/** After this much WAL without a wait, everybody else gets a turn. */
const YIELD_BYTES = 1024 * 1024;

/** What all receivers of a safekeeper have in their queues together. */
export interface QueueGauges {
  readonly messages: Gauge;
  readonly bytes: Gauge;
}

export interface AcceptorLoopOptions {
  readonly acceptor: DurableAcceptor;
  readonly clock: Clock;
  readonly gauges: QueueGauges;
  /** The timeline's life: when it ends, nothing more is taken from the queue, and what was written is synced. */
  readonly signal: AbortSignal;
  /** Takes a reply. What it returns is awaited before the next message: a proposer that does not read slows itself. */
  readonly reply: (message: AcceptorMessage) => Promise<void> | undefined;
  /** An append's WAL is not looked at any more. */
  readonly onWritten: (wal: Uint8Array) => void;
  /** There is room in the queue again. */
  readonly onRoom: () => void;
  /** The proposer's election was told. */
  readonly onElected: () => void;
}

interface Queued {
  readonly message: ProposerMessage;
  readonly bytes: number;
}

/**
 * Feeds one proposer's messages to the acceptor, and decides when to sync: WAL is written as it comes, and synced once
 * for all that had queued, at once when nothing more waits, at segment borders, at least once a second, and at the end,
 * however that comes. A node's own recovery feeds the acceptor through the same loop.
 */
export class AcceptorLoop {
  readonly #options: AcceptorLoopOptions;
  readonly #queue = new BoundedQueue<Queued>(MESSAGES_MAX);
  #queuedBytes = 0;
  #isEnded = false;
  /** Nothing is taken from the queue any more. */
  #isOver = false;
  #wake: (() => void) | undefined;
  /** Something was appended since the last answer. */
  #isAnswerDue = false;
  #answerDueSinceMs = 0;
  #bytesSinceYield = 0;
  #toldCommitLsn = 0;

  constructor(options: AcceptorLoopOptions) {
    this.#options = options;
  }

  get queueLength(): number {
    return this.#queue.length;
  }

  /** Nothing may be put any more, until `onRoom`. */
  get isFull(): boolean {
    return this.#queue.isFull || this.#queuedBytes >= QUEUED_BYTES_MAX;
  }

  /**
   * What comes when `run` is at its end is given up.
   * @param bytes length of the message, for the gauges
   */
  put(message: ProposerMessage, bytes: number): void {
    if (this.#isOver) return;
    this.#queue.put({ message, bytes });
    this.#queuedBytes += bytes;
    this.#options.gauges.messages.add(1);
    this.#options.gauges.bytes.add(bytes);
    this.#wakeUp();
  }

  /** No more messages come: `run` ends after those that wait. */
  end(): void {
    this.#isEnded = true;
    this.#wakeUp();
  }

  /**
   * Runs until `end` and the queue is empty, or the timeline's life ends, or the acceptor refuses or fails: with that
   * error. In each case all that was written is durable before it settles, unless the disk failed. Must be run to its end.
   */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#wakeUp();
    signal.addEventListener('abort', onAbort);
    try {
      await this.#processAll();
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#isOver = true;
      while (this.#takeNext() !== undefined) {
        // What was not processed is given up; the gauges must know.
      }
      await this.#flushAtEnd();
    }
  }

  async #processAll(): Promise<void> {
    const { signal, clock } = this.#options;
    while (!signal.aborted) {
      const queued = this.#takeNext();
      if (queued === undefined) {
        if (this.#isAnswerDue) await this.#answer();
        else if (this.#isEnded) return;
        else await this.#somethingHappens();
        continue;
      }
      const done = this.#process(queued.message);
      if (done !== undefined) await done;
      if (queued.message.kind === 'append-request') this.#options.onWritten(queued.message.wal);
      if (this.#isAnswerDue && clock.monotonicMs() - this.#answerDueSinceMs >= FLUSH_INTERVAL_MS)
        await this.#answer();
      this.#bytesSinceYield += queued.bytes;
      if (this.#bytesSinceYield >= YIELD_BYTES) {
        this.#bytesSinceYield = 0;
        await clock.yieldToOthers();
      }
    }
  }

  #takeNext(): Queued | undefined {
    const queued = this.#queue.take();
    if (queued === undefined) return undefined;
    this.#queuedBytes -= queued.bytes;
    this.#options.gauges.messages.subtract(1);
    this.#options.gauges.bytes.subtract(queued.bytes);
    this.#options.onRoom();
    return queued;
  }

  #process(message: ProposerMessage): Promise<void> | undefined {
    if (message.kind === 'append-request') return this.#append(message);
    return this.#decide(message);
  }

  /** Hot: nothing is awaited where the WAL only goes into the operating system's cache. */
  #append(message: AppendRequest): Promise<void> | undefined {
    const { acceptor } = this.#options;
    const outcome = acceptor.run((it) => it.append(message));
    if (outcome instanceof Promise) return this.#appendLater(message, outcome);
    return this.#afterAppend(message, outcome);
  }

  async #appendLater(message: AppendRequest, outcome: Promise<AcceptorMessage | undefined>): Promise<void> {
    await this.#afterAppend(message, await outcome);
  }

  #afterAppend(message: AppendRequest, answer: AcceptorMessage | undefined): Promise<void> | undefined {
    // News of the commit LSN alone asks for no answer; a heartbeat, which brings nothing new, does.
    const isNewsOnly = message.wal.length === 0 && message.commitLsn > this.#toldCommitLsn;
    if (message.commitLsn > this.#toldCommitLsn) this.#toldCommitLsn = message.commitLsn;
    const persistedLsn = this.#options.acceptor.acceptor.persistent.commitLsn;
    const isStartCommitted = isNewsOnly && persistedLsn > this.#answeredCommitLsn;
    if ((!isNewsOnly || isStartCommitted) && !this.#isAnswerDue) {
      this.#isAnswerDue = true;
      this.#answerDueSinceMs = this.#options.clock.monotonicMs();
    }
    return answer === undefined ? undefined : this.#reply(answer);
  }

  /** The persisted commit LSN that the last answer told. */
  #answeredCommitLsn = 0;

  async #decide(message: Exclude<ProposerMessage, AppendRequest>): Promise<void> {
    const { acceptor } = this.#options;
    switch (message.kind) {
      case 'greeting':
        return this.#reply(await acceptor.run((it) => it.greet(message)));
      case 'vote-request':
        return this.#reply(await acceptor.run((it) => it.vote(message)));
      case 'elected':
        if (await acceptor.run((it) => it.follow(message))) this.#options.onElected();
        return;
    }
  }

  async #answer(): Promise<void> {
    this.#isAnswerDue = false;
    await this.#reply(await this.#options.acceptor.run((it) => it.flush()));
  }

  #reply(message: AcceptorMessage): Promise<void> | undefined {
    if (message.kind === 'append-response') this.#answeredCommitLsn = message.commitLsn;
    return this.#options.reply(message);
  }

  /** So that what status shows after a disconnect is what the next vote will say. */
  async #flushAtEnd(): Promise<void> {
    const { acceptor } = this.#options;
    if (acceptor.failure !== undefined) return;
    const answer = await acceptor.run((it) => it.flush());
    if (this.#isAnswerDue) await this.#reply(answer);
    await acceptor.run((it) => it.save());
  }

  #somethingHappens(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
