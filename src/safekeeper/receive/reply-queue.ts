import type { Lsn } from '../../base/lsn.ts';
import {
  type AcceptorMessage,
  type AppendResponse,
  encodeAcceptorMessage,
} from '../../contracts/acceptor-messages.ts';
import type { PageserverFeedback } from '../../contracts/pageserver-feedback.ts';
import { BoundedQueue } from './bounded-queue.ts';

/** Replies that wait until the proposer reads. */
export const REPLIES_MAX = 16;
/** Replies are handed to the connection while it has less than this unsent. */
const UNSENT_BYTES_MAX = 64 * 1024;

/** Where replies go. */
export interface ReplyPort {
  readonly unsentBytes: number;
  readonly isClosed: boolean;
  /** Sends one message of the consensus. */
  sendCopyData(body: Uint8Array): void;
  /** Resolves once at most `limitBytes` are unsent, or the connection is closed. */
  drained(limitBytes: number): Promise<void>;
}

/**
 * The replies to one proposer, in order. A proposer that does not read them holds nobody up: while one waits, a newer
 * AppendResponse takes the place of an older, since it says all that the older did. Only greetings and votes pile up, and
 * whoever asks for more of them than there are places has to wait for the next.
 */
export class ReplyQueue {
  readonly #port: ReplyPort;
  readonly #queue = new BoundedQueue<AcceptorMessage>(REPLIES_MAX);
  #lastResponse: AppendResponse | undefined;
  #writing: Promise<void> | undefined;
  /** Ends each wait for the proposer to read. */
  readonly #waits = new Set<() => void>();
  #isGivenUp = false;

  constructor(port: ReplyPort) {
    this.#port = port;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Sends a reply, now if it can. Await what it returns, if it returns something: there was no place. */
  send(message: AcceptorMessage): Promise<void> | undefined {
    if (message.kind === 'append-response') this.#lastResponse = message;
    if (this.#port.isClosed) return undefined;
    if (this.#writing === undefined && this.#port.unsentBytes < UNSENT_BYTES_MAX) {
      this.#port.sendCopyData(encodeAcceptorMessage(message));
      return undefined;
    }
    if (this.#isGivenUp) return undefined;
    if (message.kind === 'append-response' && this.#queue.last?.kind === 'append-response') {
      this.#queue.replaceLast(message);
      return undefined;
    }
    if (this.#queue.isFull) return this.#sendWhenFree(message);
    this.#queue.put(message);
    this.#writing ??= this.#write();
    return undefined;
  }

  /**
   * Tells the proposer what a pageserver has said, in a copy of the last AppendResponse. Before there was one, and while
   * replies wait, nothing is told: feedback comes again, and no LSN is ever made up or repeated after a newer one.
   */
  sendFeedback(feedback: PageserverFeedback): void {
    if (this.#lastResponse === undefined || this.#isOver) return;
    this.#repeat({ ...this.#lastResponse, pageserverFeedback: feedback });
  }

  /** Likewise what standbys have applied, if that is news; undefined: there is none. Later answers of this queue's say it, too. */
  sendStandbyApply(standbyApplyLsn: Lsn | undefined): void {
    const last = this.#lastResponse;
    if (last === undefined || this.#isOver || last.standbyApplyLsn === standbyApplyLsn) return;
    const message = { ...last, standbyApplyLsn };
    this.#lastResponse = message;
    this.#repeat(message);
  }

  #repeat(message: AppendResponse): void {
    if (this.#writing === undefined && this.#port.unsentBytes < UNSENT_BYTES_MAX) {
      this.#port.sendCopyData(encodeAcceptorMessage(message));
    } else if (this.#queue.last?.kind === 'append-response') {
      this.#queue.replaceLast(message);
    } else if (!this.#queue.isFull) {
      this.#queue.put(message);
      this.#writing ??= this.#write();
    }
  }

  /** Resolves when no reply waits any more: all were handed over, or the connection is closed, or after `giveUp`. */
  async finish(): Promise<void> {
    await this.#writing;
  }

  /** From here on nothing waits for the proposer to read: what it could not be sent at once it does not get. */
  giveUp(): void {
    this.#isGivenUp = true;
    for (const end of this.#waits) end();
  }

  get #isOver(): boolean {
    return this.#isGivenUp || this.#port.isClosed;
  }

  async #sendWhenFree(message: AcceptorMessage): Promise<void> {
    while (this.#queue.isFull && !this.#isOver) await this.#untilRead();
    await this.send(message);
  }

  async #untilRead(): Promise<void> {
    if (this.#isGivenUp) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waits.add(resolve);
    void this.#port.drained(UNSENT_BYTES_MAX / 2).then(resolve);
    await promise;
    this.#waits.delete(resolve);
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0) {
      await this.#untilRead();
      if (this.#isOver) break;
      const message = this.#queue.take();
      if (message !== undefined) this.#port.sendCopyData(encodeAcceptorMessage(message));
    }
    this.#writing = undefined;
  }
}
