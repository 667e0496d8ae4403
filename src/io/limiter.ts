import { AssertionError } from '../base/errors.ts';
import { cancelledError, throwIfCancelled } from './cancelled.ts';

/** The right to do one of a limited number of things at once, until it is given back. */
export interface Permit extends Disposable {
  /** Gives the permit back. May be called again. */
  release(): void;
}

/**
 * Lets at most so many things happen at once. Those that come later wait, first come, first served.
 *
 * Whoever holds a permit must not wait for another one of the same limiter: all holders could. The queue has no bound
 * of its own, since each who waits in it is a caller that does nothing else meanwhile.
 */
export class Limiter {
  readonly limit: number;
  #inUse = 0;
  /** In the order in which they came. */
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new AssertionError(`a limit of ${limit} lets nobody in`);
    this.limit = limit;
  }

  /** Permits that are held. */
  get inUse(): number {
    return this.#inUse;
  }

  /** How many wait for a permit. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a permit.
   * @throws VarveError ‘cancelled’ / CANCELLED when the signal is given first
   */
  async acquire(signal: AbortSignal): Promise<Permit> {
    throwIfCancelled(signal);
    if (this.#inUse < this.limit) this.#inUse++;
    else await this.#wait(signal);
    return this.#makePermit();
  }

  /** Holds a permit for as long as the action takes. */
  async run<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    using _permit = await this.acquire(signal);
    return await action();
  }

  /** Resolves when somebody's permit has been handed over. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(take);
        reject(cancelledError(signal));
      };
      const take = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiting.add(take);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #makePermit(): Permit {
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      const [next] = this.#waiting;
      if (next === undefined) {
        this.#inUse--;
        return;
      }
      this.#waiting.delete(next);
      next();
    };
    return { release, [Symbol.dispose]: release };
  }
}
