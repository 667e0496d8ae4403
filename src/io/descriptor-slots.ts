import { AssertionError, VarveError } from '../base/errors.ts';

/** Who has a slot for now, and can do without it until it needs one again. */
export interface SlotHolder {
  /** Closes the descriptor. The slot is free when it resolves, which it does in any case. */
  giveBack(): Promise<void>;
}

/** Who waits for a slot, with how many had come before. */
interface Waiter {
  readonly turn: number;
  readonly go: () => void;
}

/**
 * How many descriptors may be open at once, and whose turn it is.
 *
 * A slot is taken for one operation, and then kept until somebody else needs it; or for long, until it is given. Some
 * slots are never taken for long: so an operation that needs one gets one in the end, whoever holds what.
 */
export class DescriptorSlots {
  readonly cap: number;
  /** How many may be taken for long. */
  readonly longCap: number;
  waits = 0;
  evicted = 0;
  #taken = 0;
  #takenForLong = 0;
  #evicting = 0;
  /** Of those who can do without, the one that has not been used for longest comes first. */
  readonly #idle = new Set<SlotHolder>();
  #turns = 0;
  readonly #waiters = new WaitingLine();
  readonly #waitersForLong = new WaitingLine();

  constructor(cap: number) {
    if (cap < 2) throw new AssertionError(`${cap} descriptors are too few`);
    this.cap = cap;
    this.longCap = cap - Math.ceil(cap / 4);
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * Resolves when the caller may open a descriptor. It waits for as long as all are in use, and nothing but a slot ends
   * the waiting.
   */
  take(isForLong: boolean): Promise<void> {
    const line = isForLong ? this.#waitersForLong : this.#waiters;
    // Where there is a free slot, all who wait are those who may not have it.
    if (this.#taken < this.cap && this.#isAllowed(isForLong) && line.first === undefined) {
      this.#grant(isForLong);
      return Promise.resolve();
    }
    this.waits++;
    return new Promise((go) => {
      line.add({ turn: this.#turns++, go });
      this.#serve();
    });
  }

  /** The descriptor is closed. */
  give(isForLong: boolean): void {
    this.#taken--;
    if (isForLong) this.#takenForLong--;
    this.#serve();
  }

  /**
   * A slot that was taken for one operation is kept for long from now on.
   * @throws VarveError ‘unavailable’ / FILE_IO where as many are as may be
   */
  keep(path: string): void {
    if (!this.#isAllowed(true)) {
      const reason = 'too many files are open that have lost their name';
      throw new VarveError('unavailable', 'FILE_IO', reason, { file: path });
    }
    this.#takenForLong++;
  }

  /** Takes back what `keep` did. */
  unkeep(): void {
    this.#takenForLong--;
    this.#serve();
  }

  /** It is used, and cannot do without. */
  markBusy(holder: SlotHolder): void {
    this.#idle.delete(holder);
  }

  /** It can do without from now on, and was used last of all. */
  markIdle(holder: SlotHolder): void {
    this.#idle.delete(holder);
    this.#idle.add(holder);
    this.#serve();
  }

  #isAllowed(isForLong: boolean): boolean {
    return !isForLong || this.#takenForLong < this.longCap;
  }

  #grant(isForLong: boolean): void {
    this.#taken++;
    if (isForLong) this.#takenForLong++;
  }

  /** In the order in which they came, passing over those who want it for long where as many have it as may. */
  #serve(): void {
    if (this.#waiters.first === undefined && this.#waitersForLong.first === undefined) return;
    while (this.#taken < this.cap) {
      const line = this.#nextLine();
      if (line === undefined) return;
      this.#grant(line === this.#waitersForLong);
      line.remove().go();
    }
    const forLong = Math.min(this.#waitersForLong.length, Math.max(0, this.longCap - this.#takenForLong));
    const wanted = this.#waiters.length + forLong;
    for (const holder of this.#idle) {
      if (this.#evicting >= wanted) break;
      void this.#evict(holder);
    }
  }

  #nextLine(): WaitingLine | undefined {
    const brief = this.#waiters.first;
    const long = this.#isAllowed(true) ? this.#waitersForLong.first : undefined;
    if (long === undefined) return brief === undefined ? undefined : this.#waiters;
    return brief !== undefined && brief.turn < long.turn ? this.#waiters : this.#waitersForLong;
  }

  async #evict(holder: SlotHolder): Promise<void> {
    this.#idle.delete(holder);
    this.#evicting++;
    this.evicted++;
    await holder.giveBack();
    this.#evicting--;
    this.give(false);
  }
}

/** First come, first served. Its front moves on, and what is before it is cut off now and then. */
class WaitingLine {
  #waiters: Waiter[] = [];
  #front = 0;

  get length(): number {
    return this.#waiters.length - this.#front;
  }

  get first(): Waiter | undefined {
    return this.#waiters[this.#front];
  }

  add(waiter: Waiter): void {
    this.#waiters.push(waiter);
  }

  remove(): Waiter {
    const waiter = this.#waiters[this.#front];
    if (waiter === undefined) throw new AssertionError('nobody waits');
    this.#front++;
    if (this.#front >= this.#waiters.length / 2) {
      this.#waiters = this.#waiters.slice(this.#front);
      this.#front = 0;
    }
    return waiter;
  }
}
