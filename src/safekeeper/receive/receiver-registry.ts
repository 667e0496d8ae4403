import { AssertionError } from '../../base/errors.ts';

/** Voting until the proposer's election has been told, then streaming. */
export type ReceiverStatus = 'Voting' | 'Streaming';

/** One who feeds WAL into a timeline: a compute's proposer, or this safekeeper's own recovery from a peer. */
export interface ReceiverState {
  /** null for the recovery, which is no compute. */
  readonly connectionId: number | null;
  readonly status: ReceiverStatus;
}

/** The place of one receiver. Leaving it frees the place. */
export interface ReceiverPlace extends Disposable {
  setStatus(status: ReceiverStatus): void;
  /** May be called again. */
  leave(): void;
}

/** Called with the number of connected computes whenever a place has changed. */
export type ComputesListener = (computes: number) => void;

/**
 * Who feeds WAL into one timeline at present. Places are numbered; the first free one is taken, so there are never
 * more of them than there were receivers at once.
 */
export class ReceiverRegistry {
  readonly #places: (ReceiverState | undefined)[] = [];
  readonly #listeners = new Set<ComputesListener>();
  readonly #onCountChange: (change: 1 | -1) => void;

  /** @param onCountChange told of each that comes and goes: the gauge of all timelines together */
  constructor(onCountChange: (change: 1 | -1) => void = () => undefined) {
    this.#onCountChange = onCountChange;
  }

  register(connectionId: number | null): ReceiverPlace {
    const free = this.#places.indexOf(undefined);
    const index = free < 0 ? this.#places.length : free;
    this.#places[index] = { connectionId, status: 'Voting' };
    this.#onCountChange(1);
    this.#publish();
    let isIn = true;
    const leave = (): void => {
      if (!isIn) return;
      isIn = false;
      this.#places[index] = undefined;
      this.#onCountChange(-1);
      this.#publish();
    };
    return {
      setStatus: (status) => {
        if (!isIn) throw new AssertionError('a receiver that has left changed its status');
        this.#places[index] = { connectionId, status };
        this.#publish();
      },
      leave,
      [Symbol.dispose]: leave,
    };
  }

  /** Of all who are there, in the order of their places. */
  list(): ReceiverState[] {
    return this.#places.filter((place) => place !== undefined);
  }

  get count(): number {
    return this.list().length;
  }

  /** How many places there are, taken or free. */
  get placeCount(): number {
    return this.#places.length;
  }

  /** Connected computes, whatever their status. */
  get computes(): number {
    return this.#countComputes(() => true);
  }

  /** Connected computes whose election has been told here. */
  get streamingComputes(): number {
    return this.#countComputes(({ status }) => status === 'Streaming');
  }

  /** Calls `listener` with the number of connected computes now and at each change. */
  watchComputes(listener: ComputesListener): Disposable {
    this.#listeners.add(listener);
    listener(this.computes);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #countComputes(filter: (state: ReceiverState) => boolean): number {
    return this.list().filter((state) => state.connectionId !== null && filter(state)).length;
  }

  #publish(): void {
    const { computes } = this;
    for (const listener of this.#listeners) listener(computes);
  }
}
