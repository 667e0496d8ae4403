import { VarveError } from '../base/errors.ts';
import { Gate, type Pass } from '../base/gate.ts';
import { Limiter, type Permit } from './limiter.ts';

export interface AdmissionLimits {
  /** Jobs at once. */
  readonly runningMax: number;
  /** Jobs that wait for their turn. */
  readonly waitingMax: number;
}

/** The way in to workers: so many jobs at once, so many waiting, none once they are closing. */
export class Admission {
  readonly #limiter: Limiter;
  readonly #waitingMax: number;
  readonly #gate = new Gate('the worker pool');
  readonly #closing = new AbortController();

  constructor({ runningMax, waitingMax }: AdmissionLimits) {
    this.#limiter = new Limiter(runningMax);
    this.#waitingMax = waitingMax;
  }

  /**
   * Does something when its turn has come. Its signal is given when the caller's is, or the workers close.
   * @throws VarveError ‘cancelled’, or ‘unavailable’ / WORKERS_BUSY
   */
  async run<Result>(signal: AbortSignal, action: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    using _pass: Pass = this.#gate.enter();
    const { inUse, limit, waiting } = this.#limiter;
    if (inUse === limit && waiting >= this.#waitingMax) {
      throw new VarveError('unavailable', 'WORKERS_BUSY', `${waiting} jobs wait for a worker already`);
    }
    const either = AbortSignal.any([signal, this.#closing.signal]);
    using _permit: Permit = await this.#limiter.acquire(either);
    return await action(either);
  }

  /** Resolves when nobody is inside any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#gate.close();
  }
}
