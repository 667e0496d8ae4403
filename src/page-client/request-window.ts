import { AssertionError } from '../base/errors.ts';

/** Room for the longest request, a multiple of 8. */
const SLOT_BYTES = 48;
const SLOTS_AT_FIRST = 128;
/** With more than so many, and none in use, all but the first are let go of. */
const SLOTS_IDLE_MAX = 4096;

/**
 * The messages of requests that are not answered yet, oldest first, in one flat buffer: what an answer says of its
 * request is compared with them. Requests are numbered from 0.
 */
export class RequestWindow {
  bytes: Uint8Array = new Uint8Array(SLOTS_AT_FIRST * SLOT_BYTES);
  view: DataView = new DataView(this.bytes.buffer);
  #slots = SLOTS_AT_FIRST;
  #oldest = 0;
  #next = 0;

  /** Requests that wait for their answer. */
  get count(): number {
    return this.#next - this.#oldest;
  }

  /** The number of the request whose answer comes next. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The number of the request that will be added next. */
  get next(): number {
    return this.#next;
  }

  /** Where the oldest request's message lies. */
  get oldestOffset(): number {
    return (this.#oldest & (this.#slots - 1)) * SLOT_BYTES;
  }

  /** Where the request's message lies that was added last. */
  get newestOffset(): number {
    return ((this.#next - 1) & (this.#slots - 1)) * SLOT_BYTES;
  }

  /** Makes room for a further request. Gives where its message is to be written. */
  add(): number {
    if (this.count === this.#slots) this.#grow();
    return (this.#next++ & (this.#slots - 1)) * SLOT_BYTES;
  }

  /** The oldest request has its answer. */
  takeOldest(): void {
    if (this.count === 0) throw new AssertionError('no request waits for an answer');
    this.#oldest++;
    if (this.count === 0 && this.#slots > SLOTS_IDLE_MAX) this.#resize(SLOTS_AT_FIRST);
  }

  #grow(): void {
    this.#resize(this.#slots * 2);
  }

  /** Each request stays at the slot that its number says. */
  #resize(slots: number): void {
    const bytes = new Uint8Array(slots * SLOT_BYTES);
    for (let request = this.#oldest; request < this.#next; request++) {
      const from = (request & (this.#slots - 1)) * SLOT_BYTES;
      bytes.set(this.bytes.subarray(from, from + SLOT_BYTES), (request & (slots - 1)) * SLOT_BYTES);
    }
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.#slots = slots;
  }
}
