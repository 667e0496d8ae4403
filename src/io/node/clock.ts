import type { Clock, Timer } from '../clock.ts';

/** The longest that setTimeout takes: it calls back at once for anything beyond. */
const STEP_MAX_MS = 2 ** 31 - 1;

/** A timer of any length that is never early: setTimeout counts from the event loop's idea of now, which is older. */
class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #callback: () => void;
  #timeout: NodeJS.Timeout;

  constructor(delayMs: number, callback: () => void) {
    this.#dueMs = performance.now() + delayMs;
    this.#callback = callback;
    this.#timeout = this.#wait(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  #wait(delayMs: number): NodeJS.Timeout {
    return setTimeout(this.#step, Math.min(Math.max(1, Math.ceil(delayMs)), STEP_MAX_MS)).unref();
  }

  readonly #step = (): void => {
    const remainingMs = this.#dueMs - performance.now();
    if (remainingMs > 0) this.#timeout = this.#wait(remainingMs);
    else this.#callback();
  };
}

/** The real side of the clock door. */
export const nodeClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer: (delayMs, callback) => new NodeTimer(delayMs, callback),
  yieldToOthers: () =>
    new Promise((resolve) => {
      setImmediate(resolve);
    }),
};
