/** Room for the longest append of WAL, 16 pages, with its headers. */
const BUFFER_BYTES: number = 136 * 1024;
/** What is shorter is not worth it. */
const POOLED_BYTES_MIN: number = 32 * 1024;
/** How many buffers wait for use at most: 16 MiB. */
const IDLE_MAX: number = Math.floor((16 * 1024 * 1024) / BUFFER_BYTES);

/**
 * Buffers for long messages, used again and again. A stream of them would otherwise take fresh memory for each, which
 * the system has to fill with zeros, and make the garbage collector run many times a second.
 */
export class BodyPool {
  readonly #idle: Uint8Array[] = [];
  /** Those in use. One that is never given back is only forgotten. */
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** A buffer of at least this length, with anything in it; undefined if a message of this length gets its own. */
  take(lengthBytes: number): Uint8Array | undefined {
    if (lengthBytes < POOLED_BYTES_MIN || lengthBytes > BUFFER_BYTES) return undefined;
    const buffer = this.#idle.pop() ?? new Uint8Array(BUFFER_BYTES);
    this.#lent.add(buffer.buffer);
    return buffer;
  }

  /** Nobody looks any more at the memory that this is a part of. Memory that is not of this pool is left alone. */
  giveBack(part: Uint8Array): void {
    const { buffer } = part;
    if (this.#lent.delete(buffer) && this.#idle.length < IDLE_MAX) this.#idle.push(new Uint8Array(buffer));
  }
}
