import { AssertionError } from '../../base/errors.ts';
import type { PageProtocolVersion } from '../../contracts/page-messages.ts';
import type { Clock } from '../../io/clock.ts';
import { PageBatch } from './page-batch.ts';

/**
 * Between who reads requests and who answers them: one batch, into which requests are folded for as long as nobody takes
 * it. A request that does not fit waits beside it, and nothing is read meanwhile: the queue holds at most one batch and
 * one request, and nothing of a timeline.
 */
export class FoldingQueue {
  readonly #clock: Clock;
  #slot: PageBatch;
  #beside: PageBatch;
  #taken: PageBatch;

  constructor(version: PageProtocolVersion, clock: Clock) {
    this.#clock = clock;
    this.#slot = new PageBatch(version);
    this.#beside = new PageBatch(version);
    this.#taken = new PageBatch(version);
  }

  get isEmpty(): boolean {
    return this.#slot.count === 0;
  }

  /** Nothing may be added before something is taken. */
  get isBlocked(): boolean {
    return this.#beside.count > 0;
  }

  /** It does no good to wait for more requests before the batch is taken. */
  get isReady(): boolean {
    return this.#slot.isFull || this.isBlocked;
  }

  /** Adds a request, copied, that has been checked. */
  add(tag: number, bytes: Uint8Array, view: DataView, offset: number, length: number): void {
    if (this.isBlocked) throw new AssertionError('a request is read while another one waits to be queued');
    const batch = this.#slot.takes(tag) ? this.#slot : this.#beside;
    if (batch.count === 0) batch.startMs = this.#clock.monotonicMs();
    batch.add(tag, bytes, view, offset, length);
  }

  /** The next batch, good until `take` is called again. undefined: there is none. */
  take(): PageBatch | undefined {
    if (this.isEmpty) return undefined;
    const taken = this.#slot;
    this.#slot = this.#beside;
    this.#beside = this.#taken;
    this.#beside.count = 0;
    this.#taken = taken;
    return taken;
  }
}
