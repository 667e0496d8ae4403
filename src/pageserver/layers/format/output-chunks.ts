import { AssertionError } from '../../../base/errors.ts';
import type { UpdatableFile } from '../../../io/files.ts';

const CHUNK_BYTES: number = 512 * 1024;
/** The first piece of a file, which often is all there is. */
const FIRST_CHUNK_BYTES: number = 64 * 1024;
/** With so many writes under way, whoever produces more should wait. */
const WRITES_MAX = 2;

/**
 * Writes a file from some position on in large pieces. A piece is filled while the one before is being written.
 * What writing fails of is kept for `drain` and `finish`.
 */
export class OutputChunks {
  /** The piece that is being filled. */
  bytes: Uint8Array = new Uint8Array(FIRST_CHUNK_BYTES);
  /** How much of it is filled. */
  length = 0;
  readonly #file: UpdatableFile;
  /** Of the current piece. */
  #start: number;
  readonly #free: Uint8Array[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(file: UpdatableFile, position: number) {
    this.#file = file;
    this.#start = position;
  }

  /** In the file, of what is put next. */
  get position(): number {
    return this.#start + this.length;
  }

  get isFull(): boolean {
    return this.#underWay.size >= WRITES_MAX;
  }

  /** Makes room for `length` bytes in one piece. */
  reserve(length: number): void {
    if (this.length + length <= this.bytes.length) return;
    this.#write();
    if (this.bytes.length >= length) return;
    const free = length <= CHUNK_BYTES ? this.#free.pop() : undefined;
    this.bytes = free ?? new Uint8Array(Math.max(length, CHUNK_BYTES));
  }

  /** So much has been put at `length`. */
  advance(length: number): void {
    if (this.length + length > this.bytes.length)
      throw new AssertionError('more was put than there was room for');
    this.length += length;
  }

  /** Waits until another piece may be filled. */
  async drain(): Promise<void> {
    while (this.isFull) await Promise.race(this.#underWay);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Writes all there is and waits for it. */
  async finish(): Promise<void> {
    this.#write();
    await this.settle();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Waits until nothing is being written, well or not. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Begins to write the current piece. There is none afterwards. */
  #write(): void {
    const { bytes, length } = this;
    if (length === 0) return;
    const start = this.#start;
    this.#start += length;
    this.length = 0;
    this.bytes = new Uint8Array(0);
    const written = this.#file.write(bytes, 0, length, start).then(
      () => undefined,
      (error: unknown) => {
        this.#failure ??= { error };
      },
    );
    const settled = written.then(() => {
      this.#underWay.delete(settled);
      if (bytes.length === CHUNK_BYTES) this.#free.push(bytes);
    });
    this.#underWay.add(settled);
  }
}
