import type { Clock } from '../io/clock.ts';
import type { Random } from '../io/random.ts';

export interface RetryTiming {
  readonly minMs: number;
  readonly maxMs: number;
}

/** How long to wait before the next attempt: twice as long each time up to a bound, less up to a half by chance. */
export class RetryDelay {
  readonly #timing: RetryTiming;
  readonly #random: Random;
  #attempts = 0;

  constructor(timing: RetryTiming, random: Random) {
    this.#timing = timing;
    this.#random = random;
  }

  /** Something has worked: the next delay is the shortest again. */
  reset(): void {
    this.#attempts = 0;
  }

  nextMs(): number {
    const { minMs, maxMs } = this.#timing;
    // Beyond 2^30 any bound has been reached, and the number stays a number.
    const fullMs = Math.min(maxMs, minMs * 2 ** Math.min(this.#attempts++, 30));
    return fullMs * (0.5 + this.#random.fraction() / 2);
  }
}

/** Resolves after a while, or at once when the signal is given. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.setTimer(delayMs, done);
    signal.addEventListener('abort', done);
  });
}
