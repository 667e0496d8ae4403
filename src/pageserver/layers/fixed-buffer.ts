import { AssertionError } from '../../base/errors.ts';
import { allocateAligned } from '../../io/aligned-buffer.ts';

/** Memory of one size for ever, which is filled from its start and then used anew. A disk may write it as it is. */
export class FixedBuffer {
  /** All of it, also what is not filled yet. */
  readonly bytes: Uint8Array;
  #lengthBytes = 0;

  constructor(capBytes: number) {
    this.bytes = allocateAligned(capBytes);
  }

  /** How much is filled. */
  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  get roomBytes(): number {
    return this.bytes.length - this.#lengthBytes;
  }

  /** Copies `source[start, end)` behind what is there. More than there is room for is a bug. */
  append(source: Uint8Array, start: number, end: number): void {
    const at = this.#lengthBytes;
    const lengthBytes = end - start;
    if (start < 0 || lengthBytes < 0 || end > source.length || lengthBytes > this.bytes.length - at) {
      throw new AssertionError(
        `bytes ${start} to ${end} of ${source.length} do not fit behind ${at} of ${this.bytes.length}`,
      );
    }
    copyBytes(source, start, lengthBytes, this.bytes, at);
    this.#lengthBytes = at + lengthBytes;
  }

  /** Forgets the content, and keeps the memory. */
  clear(): void {
    this.#lengthBytes = 0;
  }
}

/** So many buffers that nobody uses are kept. */
const FREE_MAX = 4;
const free: FixedBuffer[] = [];

/** An empty buffer, which has been used before if there is one: memory outside of the heap is what calls for large collections. */
export function takeBuffer(capBytes: number): FixedBuffer {
  const found = free.findLastIndex(({ bytes }) => bytes.length === capBytes);
  return found < 0 ? new FixedBuffer(capBytes) : (free.splice(found, 1)[0] as FixedBuffer);
}

/** Nobody uses the buffer any more. */
export function giveBuffer(buffer: FixedBuffer): void {
  buffer.clear();
  if (free.length < FREE_MAX) free.push(buffer);
}

/** Below this a loop is faster than making a view for the copy. */
const LOOP_BYTES = 24;

/** Copies without a look at bounds that the caller has checked. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  lengthBytes: number,
  target: Uint8Array,
  at: number,
): void {
  if (lengthBytes > LOOP_BYTES) {
    target.set(source.subarray(start, start + lengthBytes), at);
    return;
  }
  for (let index = 0; index < lengthBytes; index++) target[at + index] = source[start + index] as number;
}
