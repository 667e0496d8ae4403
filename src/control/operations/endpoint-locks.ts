import { Turn } from '../../io/turn.ts';

interface Lock {
  readonly turn: Turn;
  users: number;
}

/** Who changes an endpoint, one at a time. They are in memory: what a process was doing when it ended is an operation. */
export class EndpointLocks {
  readonly #signal: AbortSignal;
  readonly #locks = new Map<string, Lock>();

  /** @param signal when it is given, nobody gets a lock any more */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Resolves when nobody else has it. @throws VarveError ‘cancelled’ */
  async take(endpointId: string): Promise<Disposable> {
    const lock = this.#locks.get(endpointId) ?? { turn: new Turn(this.#signal), users: 0 };
    this.#locks.set(endpointId, lock);
    lock.users++;
    try {
      await lock.turn.take();
    } catch (error) {
      this.#leave(endpointId, lock);
      throw error;
    }
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        lock.turn.give();
        this.#leave(endpointId, lock);
      },
    };
  }

  #leave(endpointId: string, lock: Lock): void {
    lock.users--;
    if (lock.users === 0) this.#locks.delete(endpointId);
  }
}
