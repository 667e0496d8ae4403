import { VarveError } from '../../base/errors.ts';
import { Gate } from '../../base/gate.ts';
import { TaskSet } from '../../base/task-set.ts';
import { cancelledError, throwIfCancelled } from '../../io/cancelled.ts';
import type { Clock } from '../../io/clock.ts';
import type { Random } from '../../io/random.ts';
import { pause, RetryDelay } from '../../io/retry-delay.ts';
import type { Logger } from '../../observe/log.ts';
import type { GenerationClaim, GenerationSource } from './generation-source.ts';
import type { RemoteMetrics } from './remote-metrics.ts';

const RETRY_TIMING = { minMs: 100, maxMs: 30_000 };
/** So many claims go into one call. */
const CLAIMS_AT_ONCE = 1000;

export interface ValidatorDoors {
  readonly source: GenerationSource;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: RemoteMetrics;
}

interface Waiter {
  readonly claim: GenerationClaim;
  /** It has given up. */
  readonly hasGone: () => boolean;
  readonly resolve: (isCurrent: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Asks the generation source whether generations are current, for all timelines of a node: what comes while a call is
 * under way goes into the next one together. Asks again for as long as the source is unavailable.
 *
 * Its queue has no bound of its own: each timeline, and the deletion queue, wait for one answer at a time.
 */
export class GenerationValidator {
  readonly #doors: ValidatorDoors;
  readonly #gate = new Gate('the generation validator');
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  readonly #waiting = new Set<Waiter>();
  #isAsking = false;

  constructor(doors: ValidatorDoors) {
    this.#doors = doors;
  }

  /**
   * Whether the claim was true at a moment after this call.
   * @throws VarveError ‘cancelled’ when the signal is given first, or when this is closing
   */
  async isCurrent(claim: GenerationClaim, signal: AbortSignal): Promise<boolean> {
    using _pass = this.#gate.enter();
    throwIfCancelled(signal);
    return await new Promise<boolean>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(waiter);
        reject(cancelledError(signal));
      };
      const waiter: Waiter = {
        claim,
        hasGone: () => signal.aborted,
        resolve: (isCurrent) => {
          signal.removeEventListener('abort', onAbort);
          resolve(isCurrent);
        },
        reject: (error) => {
          signal.removeEventListener('abort', onAbort);
          reject(error as Error);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.add(waiter);
      if (!this.#isAsking) this.#tasks.run(() => this.#askAll());
    });
  }

  /** Whoever waits is cancelled. */
  async shutdown(): Promise<void> {
    this.#ending.abort();
    await this.#tasks.settled();
    await this.#gate.close();
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true;
    const retry = new RetryDelay(RETRY_TIMING, this.#doors.random);
    while (this.#waiting.size > 0 && !this.#ending.signal.aborted) {
      const batch = [...this.#waiting].slice(0, CLAIMS_AT_ONCE);
      for (const waiter of batch) this.#waiting.delete(waiter);
      await this.#ask(batch, retry);
    }
    this.#isAsking = false;
    for (const { reject } of this.#waiting) reject(cancelledError(this.#ending.signal));
    this.#waiting.clear();
  }

  async #ask(batch: readonly Waiter[], retry: RetryDelay): Promise<void> {
    const { source, clock, logger, metrics } = this.#doors;
    const keyOf = ({ tenantId, generation }: GenerationClaim): string => `${tenantId} ${generation}`;
    const claims = new Map(batch.map(({ claim }) => [keyOf(claim), claim]));
    const { signal } = this.#ending;
    try {
      const current = new Set((await source.validate([...claims.values()], signal)).map(keyOf));
      retry.reset();
      for (const { claim, resolve } of batch) resolve(current.has(keyOf(claim)));
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') {
        for (const { reject } of batch) reject(error);
        return;
      }
      if (signal.aborted) {
        for (const { reject } of batch) reject(cancelledError(signal));
        return;
      }
      metrics.validationErrors.increment();
      logger.warn('Generations cannot be validated for now', { error });
      await pause(clock, retry.nextMs(), signal);
      for (const waiter of batch) if (!waiter.hasGone()) this.#waiting.add(waiter);
    }
  }
}
