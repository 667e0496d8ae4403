import type { Clock, Timer } from '../../src/io/clock.ts';
import { nodeClock } from '../../src/io/node/clock.ts';

interface Pending {
  readonly dueMs: number;
  readonly callback: () => void;
  timer: Timer;
}

/** The machine's clock, and one can skip some of its time. */
export class SkippingClock implements Clock {
  yieldToOthers = nodeClock.yieldToOthers.bind(nodeClock);
  #skippedMs = 0;
  readonly #pending = new Set<Pending>();

  monotonicMs(): number {
    return nodeClock.monotonicMs() + this.#skippedMs;
  }

  wallMs(): number {
    return nodeClock.wallMs() + this.#skippedMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const dueMs = this.monotonicMs() + delayMs;
    const pending: Pending = { dueMs, callback, timer: this.#arm(delayMs, () => this.#call(pending)) };
    this.#pending.add(pending);
    return {
      cancel: () => {
        this.#pending.delete(pending);
        pending.timer.cancel();
      },
    };
  }

  /** Calls what would have been due by then, in its order. */
  skip(milliseconds: number): void {
    this.#skippedMs += milliseconds;
    const due = [...this.#pending].sort((a, b) => a.dueMs - b.dueMs);
    for (const pending of due) {
      if (!this.#pending.has(pending)) continue;
      pending.timer.cancel();
      const leftMs = pending.dueMs - this.monotonicMs();
      if (leftMs <= 0) this.#call(pending);
      else pending.timer = this.#arm(leftMs, () => this.#call(pending));
    }
  }

  #arm(delayMs: number, callback: () => void): Timer {
    return nodeClock.setTimer(delayMs, callback);
  }

  #call(pending: Pending): void {
    if (this.#pending.delete(pending)) pending.callback();
  }
}
