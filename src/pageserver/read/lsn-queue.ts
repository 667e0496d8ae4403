import { VarveError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { cancelledError } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';

interface Waiter {
  readonly lsn: number;
  readonly resolve: () => void;
}

/**
 * A position that only rises, and those who wait for it. The queue of waiters has no bound of its own: each is a caller
 * that does nothing else meanwhile.
 */
export class LsnQueue {
  readonly #clock: Clock;
  #lsn: number;
  /** A heap: the lowest LSN first. */
  readonly #heap: Waiter[] = [];
  #failure: Error | undefined;

  constructor(clock: Clock, lsn: number) {
    this.#clock = clock;
    this.#lsn = lsn;
  }

  get lsn(): number {
    return this.#lsn;
  }

  get waiting(): number {
    return this.#heap.length;
  }

  /** Wakes all who wait for `lsn` or less. */
  advance(lsn: number): void {
    if (lsn <= this.#lsn) return;
    this.#lsn = lsn;
    while (this.#heap.length > 0 && (this.#heap[0] as Waiter).lsn <= lsn) this.#pop().resolve();
  }

  /** The position will not rise any more, for this reason: whoever waits, and will, gets it as an error. */
  fail(error: Error): void {
    this.#failure = error;
    for (const waiter of this.#heap.splice(0)) waiter.resolve();
  }

  /** It rises again. */
  recover(): void {
    this.#failure = undefined;
  }

  /**
   * Resolves when the position is at or above `lsn`.
   * @throws VarveError ‘unavailable’ / LSN_NOT_REACHED after `timeoutMs`; ‘cancelled’ / CANCELLED; what `fail` was given
   */
  async wait(lsn: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (lsn <= this.#lsn) return;
    if (this.#failure !== undefined) throw this.#failure;
    if (signal.aborted) throw cancelledError(signal);
    await this.#enter(lsn, timeoutMs, signal);
    if (lsn <= this.#lsn) return;
    if (signal.aborted) throw cancelledError(signal);
    if (this.#failure !== undefined) throw this.#failure;
    throw new VarveError(
      'unavailable',
      'LSN_NOT_REACHED',
      `WAL has been taken in up to ${formatLsn(this.#lsn)} only, after waiting for ${Math.round(timeoutMs)} ms`,
      { lsn },
    );
  }

  #enter(lsn: number, timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const waiter: Waiter = { lsn, resolve: done };
      const giveUp = (): void => {
        this.#remove(waiter);
        done();
      };
      const timer = this.#clock.setTimer(timeoutMs, giveUp);
      signal.addEventListener('abort', giveUp);
      this.#push(waiter);
    });
  }

  #push(waiter: Waiter): void {
    this.#rise(this.#heap.push(waiter) - 1, waiter);
  }

  #rise(start: number, waiter: Waiter): void {
    const heap = this.#heap;
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((heap[parent] as Waiter).lsn <= waiter.lsn) break;
      heap[index] = heap[parent] as Waiter;
      index = parent;
    }
    heap[index] = waiter;
  }

  #pop(): Waiter {
    const heap = this.#heap;
    const top = heap[0] as Waiter;
    const last = heap.pop() as Waiter;
    if (heap.length > 0) this.#sink(0, last);
    return top;
  }

  #remove(waiter: Waiter): void {
    const heap = this.#heap;
    const index = heap.indexOf(waiter);
    if (index < 0) return;
    const last = heap.pop() as Waiter;
    if (index === heap.length) return;
    this.#sink(index, last);
    this.#rise(heap.indexOf(last, index), last);
  }

  #sink(start: number, waiter: Waiter): void {
    const heap = this.#heap;
    let index = start;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Waiter).lsn < (heap[child] as Waiter).lsn) child++;
      if ((heap[child] as Waiter).lsn >= waiter.lsn) break;
      heap[index] = heap[child] as Waiter;
      index = child;
    }
    heap[index] = waiter;
  }
}
