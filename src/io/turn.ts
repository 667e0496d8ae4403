import { AssertionError } from '../base/errors.ts';
import { throwIfCancelled } from './cancelled.ts';

/** The right to do something that only one may do at a time, for as long as it takes. First come, first served. */
export class Turn {
  readonly #signal: AbortSignal;
  #isTaken = false;
  #waiting: (() => void)[] = [];

  /** @param signal when it is given, nobody gets a turn any more */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wakeAll(), { once: true });
  }

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Resolves when it is one's turn. @throws VarveError ‘cancelled’ / CANCELLED */
  async take(): Promise<void> {
    while (this.#isTaken && !this.#signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    throwIfCancelled(this.#signal);
    this.#isTaken = true;
  }

  give(): void {
    if (!this.#isTaken) throw new AssertionError('a turn was given back that nobody had');
    this.#isTaken = false;
    this.#waiting.shift()?.();
  }

  #wakeAll(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
