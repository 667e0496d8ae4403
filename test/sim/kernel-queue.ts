/** Who an event belongs to: nothing is done for the dead. */
export interface Owner {
  readonly isAlive: boolean;
}

/** Something that will happen at a simulated time. */
export class SimEvent {
  readonly timeUs: number;
  /** Breaks ties: what was planned first happens first. */
  readonly sequence: number;
  readonly owner: Owner | undefined;
  /** undefined once it has been cancelled. */
  action: (() => void) | undefined;

  constructor(timeUs: number, sequence: number, owner: Owner | undefined, action: () => void) {
    this.timeUs = timeUs;
    this.sequence = sequence;
    this.owner = owner;
    this.action = action;
  }

  get isDue(): boolean {
    return this.action !== undefined && (this.owner === undefined || this.owner.isAlive);
  }
}

const isBefore = (left: SimEvent, right: SimEvent): boolean =>
  left.timeUs < right.timeUs || (left.timeUs === right.timeUs && left.sequence < right.sequence);

/** Below this many events nobody minds those that will never happen. */
const COMPACT_FROM_COUNT = 1024;

/** Events by time: a binary heap. */
export class EventQueue {
  #heap: SimEvent[] = [];
  #compactAtCount = COMPACT_FROM_COUNT;

  push(event: SimEvent): void {
    if (this.#heap.length >= this.#compactAtCount) this.#compact();
    this.#heap.push(event);
    this.#rise(this.#heap.length - 1);
  }

  /** The next event that somebody still waits for, without taking it. */
  peek(): SimEvent | undefined {
    const heap = this.#heap;
    while (heap.length > 0) {
      const first = heap[0] as SimEvent;
      if (first.isDue) return first;
      this.#takeFirst();
    }
    return undefined;
  }

  pop(): SimEvent | undefined {
    const first = this.peek();
    if (first !== undefined) this.#takeFirst();
    return first;
  }

  #takeFirst(): void {
    const last = this.#heap.pop() as SimEvent;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sink(0);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const event = heap[from] as SimEvent;
    let index = from;
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above] as SimEvent;
      if (!isBefore(event, parent)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = event;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const count = heap.length;
    const event = heap[from] as SimEvent;
    let index = from;
    for (;;) {
      let below = 2 * index + 1;
      if (below >= count) break;
      if (below + 1 < count && isBefore(heap[below + 1] as SimEvent, heap[below] as SimEvent)) below++;
      const child = heap[below] as SimEvent;
      if (!isBefore(child, event)) break;
      heap[index] = child;
      index = below;
    }
    heap[index] = event;
  }

  /** Timers are mostly cancelled long before their time: without this they would be most of the heap. */
  #compact(): void {
    this.#heap = this.#heap.filter((event) => event.isDue);
    for (let index = (this.#heap.length >> 1) - 1; index >= 0; index--) this.#sink(index);
    this.#compactAtCount = Math.max(COMPACT_FROM_COUNT, 2 * this.#heap.length);
  }
}
