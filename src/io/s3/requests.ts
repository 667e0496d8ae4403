import { cancelledError, throwIfCancelled } from '../cancelled.ts';
import type { Clock } from '../clock.ts';
import { Limiter } from '../limiter.ts';
import type { Random } from '../random.ts';
import { type Failure, judge, passing } from './errors.ts';
import type { S3Limits } from './options.ts';

/** One try of a request. */
export interface Try {
  /** Given when the caller gives up, the request stalls or `fail` is called. */
  readonly signal: AbortSignal;
  /** 1, 2, … */
  readonly number: number;
  /** Something has been sent or has come: the store is given its time anew. */
  progress(): void;
  /** Ends the request with an error that is no failure of the store, and that no further try mends. */
  fail(error: unknown): void;
}

type Outcome<Result> = { readonly result: Result } | { readonly failure: Failure };

/** Carries out requests: so many at once, each as often as may help, and none for longer than it moves on. */
export class S3Requests {
  readonly uploads: Limiter;
  readonly others: Limiter;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: S3Limits;

  constructor(clock: Clock, random: Random, limits: S3Limits) {
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
    this.uploads = new Limiter(limits.uploads);
    this.others = new Limiter(limits.requests);
  }

  /**
   * Tries until it succeeds or no further try helps.
   * @param what for error messages, such as `PutObject of s3://bucket/key`
   * @param action sends one request and takes in its whole answer
   */
  async run<Result>(
    what: string,
    limiter: Limiter,
    signal: AbortSignal,
    action: (attempt: Try) => Promise<Result>,
  ): Promise<Result> {
    for (let number = 1; ; number++) {
      const outcome = await limiter.run(signal, () => this.#try(what, signal, number, action));
      if ('result' in outcome) return outcome.result;
      if (!outcome.failure.isPassing || number >= this.#limits.tries) throw outcome.failure.error;
      // Without a permit: others go on meanwhile.
      await this.#delay(number, signal);
    }
  }

  async #try<Result>(
    what: string,
    signal: AbortSignal,
    number: number,
    action: (attempt: Try) => Promise<Result>,
  ): Promise<Outcome<Result>> {
    const controller = new AbortController();
    const cancel = (): void => controller.abort(cancelledError(signal));
    signal.addEventListener('abort', cancel, { once: true });
    const watch = this.#watch(() => {
      controller.abort(passing(`${what}: nothing has moved for ${this.#limits.stallTimeoutMs} ms`));
    });
    const fail = (error: unknown): void => controller.abort(error);
    try {
      const request = action({ signal: controller.signal, number, progress: watch.progress, fail });
      // Not all that the SDK does obeys the signal: fetching credentials does not.
      return { result: await Promise.race([request, rejectOnAbort(controller.signal)]) };
    } catch (thrown) {
      throwIfCancelled(signal);
      const failure = judge(what, controller.signal.aborted ? controller.signal.reason : thrown);
      // Lets go of the connection, where the store has refused before it had taken all.
      controller.abort(failure.error);
      return { failure };
    } finally {
      watch.end();
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Calls back when there has been no progress for too long. */
  #watch(onStall: () => void): { progress(): void; end(): void } {
    const clock = this.#clock;
    const { stallTimeoutMs } = this.#limits;
    let lastMs = clock.monotonicMs();
    const look = (): void => {
      const restMs = lastMs + stallTimeoutMs - clock.monotonicMs();
      if (restMs <= 0) onStall();
      else timer = clock.setTimer(restMs, look);
    };
    let timer = clock.setTimer(stallTimeoutMs, look);
    return {
      progress: () => {
        lastMs = clock.monotonicMs();
      },
      end: () => timer.cancel(),
    };
  }

  /** Anything up to a bound that doubles, so that those who failed together do not come back together. */
  #delay(number: number, signal: AbortSignal): Promise<void> {
    const { retryDelayMs, retryDelayMaxMs } = this.#limits;
    const delayMs = this.#random.fraction() * Math.min(retryDelayMs * 2 ** (number - 1), retryDelayMaxMs);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        timer.cancel();
        reject(cancelledError(signal));
      };
      const timer = this.#clock.setTimer(delayMs, () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** The signal is one try's own, and is forgotten with it. */
const rejectOnAbort = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    // What is thrown here may be whatever the pieces of a body have thrown.
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
