import { AssertionError, type VarveError } from '../base/errors.ts';
import { throwIfCancelled } from './cancelled.ts';

/** The right to do something that only one may do at a time, for as long as it takes. First come, first served. */
export class Turn {
  readonly #signal: AbortSignal;
  #isTaken = false;
  #failure: VarveError | undefined;
  #waiting: (() => void)[] = [];

  /** @param signal when it is given, nobody gets a turn any more */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wakeAll(), { once: true });
  }

  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Why nobody gets a turn any more. */
  get failure(): VarveError | undefined {
    return this.#failure;
  }

  /** Resolves when it is one's turn. @throws VarveError ‘cancelled’ / CANCELLED; what `fail` was called with */
  async take(): Promise<void> {
    while (this.#isTaken && !this.#signal.aborted && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    throwIfCancelled(this.#signal);
    if (this.#failure !== undefined) throw this.#failure;
    this.#isTaken = true;
  }

  /** Whoever has the turn has left things in a state in which nobody can go on. */
  fail(error: VarveError): void {
    this.#failure ??= error;
    this.#wakeAll();
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
