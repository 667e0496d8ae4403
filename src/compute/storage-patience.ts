import { VarveError } from '../base/errors.ts';
import { throwIfCancelled, untilCancelled } from '../io/cancelled.ts';
import { pause, RetryDelay } from '../io/retry-delay.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';

const RETRY = { minMs: 50, maxMs: 2000 };

/** Waits for storage that is away for a moment, and knows why it was, when the wait is given up. */
export class StoragePatience {
  readonly #doors: Pick<ComputeDoors, 'clock' | 'random' | 'logger'>;
  #lastRefusal: string | undefined;

  constructor(doors: Pick<ComputeDoors, 'clock' | 'random' | 'logger'>) {
    this.#doors = doors;
  }

  /** Does what a pageserver that is away makes fail, until it does not. @throws what it fails of otherwise; ‘cancelled’ */
  async until<Result>(signal: AbortSignal, action: () => Promise<Result>): Promise<Result> {
    const { clock, random, logger } = this.#doors;
    const retry = new RetryDelay(RETRY, random);
    for (;;) {
      throwIfCancelled(signal);
      try {
        return await action();
      } catch (error) {
        // Our own disk is not what is waited for.
        const isStorage = error instanceof VarveError && error.place.file === undefined;
        if (!isStorage || error.kind !== 'unavailable') throw error;
        this.#lastRefusal = error.message;
        logger.warn('The pageserver does not serve a start yet', { reason: error.message });
      }
      await untilCancelled(signal, pause(clock, retry.nextMs(), signal));
    }
  }

  /** For a start whose time is over. */
  timedOut({ storageWaitMs }: ComputeOptions, cause: unknown): VarveError {
    const why = this.#lastRefusal ?? 'is a quorum of safekeepers there?';
    const reason = `storage has not brought a start within ${storageWaitMs} ms: ${why}`;
    return new VarveError('unavailable', 'STORAGE_TIMEOUT', reason, {}, cause);
  }
}
