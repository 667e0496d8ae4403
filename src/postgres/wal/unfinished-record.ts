const INITIAL_BYTES = 256;
/** A buffer that a long record has grown beyond this is given up when the record is whole. */
const RETAINED_BYTES_MAX = 256 * 1024;

/**
 * The first bytes of a record that the end of a batch has cut off, kept by its reader until the rest arrives. Grows
 * with the bytes that have arrived, never by what a record announces.
 */
export class UnfinishedRecord {
  /** Bytes kept; 0 where there is no such record. */
  length = 0;
  bytes: Uint8Array = new Uint8Array(INITIAL_BYTES);
  #view: DataView = new DataView(this.bytes.buffer);

  /** The total length that the record announces. Only where at least four bytes are kept. */
  get totalLength(): number {
    return this.#view.getUint32(0, true);
  }

  append(source: Uint8Array, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.bytes.length) this.#grow(length);
    this.bytes.set(source.subarray(start, end), this.length);
    this.length = length;
  }

  clear(): void {
    this.length = 0;
    if (this.bytes.length > RETAINED_BYTES_MAX) this.#replace(new Uint8Array(INITIAL_BYTES));
  }

  #grow(length: number): void {
    const larger = new Uint8Array(Math.max(length, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.#replace(larger);
  }

  #replace(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
