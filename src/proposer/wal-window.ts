import { AssertionError } from '../base/errors.ts';
import type { Lsn } from '../base/lsn.ts';

/** Bytes that are held by default at most. */
export const WINDOW_BYTES_DEFAULT: number = 64 * 1024 * 1024;
/** Small pieces are gathered in buffers of this size. */
const BUFFER_BYTES: number = 256 * 1024;
/** From here on a piece is held as it came. */
const KEPT_BYTES_MIN: number = 16 * 1024;

/** Bytes of WAL that follow one another. What `length` covers never changes any more: it may be on its way out. */
interface Chunk {
  readonly beginLsn: number;
  readonly bytes: Uint8Array;
  length: number;
}

/**
 * The WAL that is in memory, from `heldFromLsn` to `endLsn`: it grows at its end and is let go of at its beginning.
 * Slices share its memory, and stay as they are when the window has let go of them.
 */
export class WalWindow {
  readonly limitBytes: number;
  #chunks: Chunk[] = [];
  /** Chunks before this index have been let go of. */
  #first = 0;
  /** The last chunk, if small pieces are gathered in it: it lies in the buffer's unused part. */
  #open: Chunk | undefined;
  #buffer: Uint8Array = new Uint8Array(0);
  #usedBytes = 0;
  #heldFromLsn: Lsn;
  #endLsn: Lsn;
  #copiedBytes = 0;

  /** @param startLsn where the first byte will lie */
  constructor(startLsn: Lsn, limitBytes: number = WINDOW_BYTES_DEFAULT) {
    this.limitBytes = limitBytes;
    this.#heldFromLsn = startLsn;
    this.#endLsn = startLsn;
  }

  get heldFromLsn(): Lsn {
    return this.#heldFromLsn;
  }

  get endLsn(): Lsn {
    return this.#endLsn;
  }

  get heldBytes(): number {
    return this.#endLsn - this.#heldFromLsn;
  }

  /** Whoever appends is to wait until something has been let go of. What comes all the same is held. */
  get isFull(): boolean {
    return this.heldBytes >= this.limitBytes;
  }

  /** Of all that was ever appended, what had to be copied. */
  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  /**
   * Takes the bytes from `endLsn` on. They belong to the window from now on: large ones are not copied, if they are not
   * a small part of something that would be kept alive with them.
   */
  append(bytes: Uint8Array): void {
    if (bytes.length >= KEPT_BYTES_MIN && bytes.length * 2 >= bytes.buffer.byteLength) {
      this.#chunks.push({ beginLsn: this.#endLsn, bytes, length: bytes.length });
      this.#open = undefined;
    } else {
      this.#copy(bytes);
    }
    this.#endLsn = (this.#endLsn + bytes.length) as Lsn;
  }

  #copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const chunk = this.#openChunk(this.#endLsn + at);
      const length = Math.min(bytes.length - at, chunk.bytes.length - chunk.length);
      chunk.bytes.set(bytes.subarray(at, at + length), chunk.length);
      chunk.length += length;
      this.#usedBytes += length;
      at += length;
    }
    this.#copiedBytes += bytes.length;
  }

  #openChunk(lsn: number): Chunk {
    if (this.#usedBytes === this.#buffer.length) {
      this.#buffer = new Uint8Array(BUFFER_BYTES);
      this.#usedBytes = 0;
      this.#open = undefined;
    }
    if (this.#open !== undefined) return this.#open;
    const chunk = { beginLsn: lsn, bytes: this.#buffer.subarray(this.#usedBytes), length: 0 };
    this.#open = chunk;
    this.#chunks.push(chunk);
    return chunk;
  }

  /** What lies below is not needed any more. Going back is none. */
  letGo(lsn: Lsn): void {
    if (lsn > this.#endLsn) throw new AssertionError('WAL that has not come cannot be let go of', { lsn });
    if (lsn <= this.#heldFromLsn) return;
    this.#heldFromLsn = lsn;
    const chunks = this.#chunks;
    while (this.#first < chunks.length) {
      const chunk = chunks[this.#first] as Chunk;
      if (chunk.beginLsn + chunk.length > lsn || chunk === this.#open) break;
      this.#first++;
    }
    // The array is made shorter now and then: each chunk is moved once on average.
    if (this.#first * 2 < chunks.length && this.#first < 64) return;
    this.#chunks = chunks.slice(this.#first);
    this.#first = 0;
  }

  /** The bytes from `beginLsn` to `endLsn`, in as few pieces as they lie in, not copied. */
  slices(beginLsn: Lsn, endLsn: Lsn): Uint8Array[] {
    if (beginLsn < this.#heldFromLsn || endLsn > this.#endLsn) {
      throw new AssertionError('the WAL is not in memory', { lsn: beginLsn });
    }
    const slices: Uint8Array[] = [];
    for (let index = this.#findChunk(beginLsn), lsn: number = beginLsn; lsn < endLsn; index++) {
      const chunk = this.#chunks[index] as Chunk;
      const start = lsn - chunk.beginLsn;
      const length = Math.min(endLsn - lsn, chunk.length - start);
      slices.push(chunk.bytes.subarray(start, start + length));
      lsn += length;
    }
    return slices;
  }

  /** Index of the chunk that the byte at this LSN lies in. */
  #findChunk(lsn: number): number {
    let low = this.#first;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#chunks[middle] as Chunk).beginLsn <= lsn) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
