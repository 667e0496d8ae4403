import { AssertionError } from '../../base/errors.ts';

/** A first-in-first-out queue in a ring of fixed size. Whoever puts must look at `isFull` first. */
export class BoundedQueue<Item> {
  readonly capacity: number;
  readonly #ring: (Item | undefined)[];
  #first = 0;
  #length = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#ring = new Array<Item | undefined>(capacity).fill(undefined);
  }

  get length(): number {
    return this.#length;
  }

  get isFull(): boolean {
    return this.#length === this.capacity;
  }

  /** @throws AssertionError when it is full */
  put(item: Item): void {
    if (this.isFull) throw new AssertionError(`a queue of ${this.capacity} was given one more`);
    this.#ring[(this.#first + this.#length) % this.capacity] = item;
    this.#length++;
  }

  /** undefined when it is empty. */
  take(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#ring[this.#first];
    this.#ring[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.capacity;
    this.#length--;
    return item;
  }

  /** The one that was put last; undefined when it is empty. */
  get last(): Item | undefined {
    return this.#length === 0 ? undefined : this.#ring[(this.#first + this.#length - 1) % this.capacity];
  }

  /** Puts `item` in the place of the one that was put last. */
  replaceLast(item: Item): void {
    if (this.#length === 0) throw new AssertionError('an empty queue has no last item');
    this.#ring[(this.#first + this.#length - 1) % this.capacity] = item;
  }
}
