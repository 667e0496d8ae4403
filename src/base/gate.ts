import { VarveError } from './errors.ts';

/** The place of one who is inside of a gate. */
export interface Pass extends Disposable {
  /** Goes out. May be called again. */
  leave(): void;
}

/** Counts who is inside of something that is to end only when nobody is. */
export class Gate {
  readonly #name: string;
  #inside = 0;
  #isClosed = false;
  #closers: (() => void)[] = [];

  /** @param name for the message of who comes too late */
  constructor(name: string) {
    this.#name = name;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get inside(): number {
    return this.#inside;
  }

  /**
   * Goes in.
   * @throws VarveError ‘cancelled’ / CLOSING once `close` has been called
   */
  enter(): Pass {
    if (this.#isClosed) throw new VarveError('cancelled', 'CLOSING', `${this.#name} is closing`);
    this.#inside++;
    let isInside = true;
    const leave = (): void => {
      if (!isInside) return;
      isInside = false;
      this.#inside--;
      this.#tellClosers();
    };
    return { leave, [Symbol.dispose]: leave };
  }

  /** Lets nobody in any more, and resolves when everybody is out. Cancel first what they wait for. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#inside === 0) return;
    await new Promise<void>((resolve) => this.#closers.push(resolve));
  }

  #tellClosers(): void {
    if (!this.#isClosed || this.#inside > 0) return;
    for (const resolve of this.#closers.splice(0)) resolve();
  }
}
