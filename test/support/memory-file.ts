import { AssertionError, VarveError } from '../../src/base/errors.ts';
import { isAligned } from '../../src/io/aligned-buffer.ts';
import type { UpdatableFile } from '../../src/io/files.ts';

const SECTOR_BYTES = 512;

/**
 * A file in memory on a disk that takes whole sectors only, from aligned memory, as O_DIRECT does: but for the tail, a
 * write that goes beyond all before it. Writes may be made to fail and to stall. It notes what is asked of it.
 */
export class MemoryFile implements UpdatableFile {
  readonly path = '/memory';
  readonly sizeBytes = 0;
  /** Each attempt to write, as `[position, length]`. */
  readonly attempts: [position: number, length: number][] = [];
  /** Those that succeeded. */
  readonly writes: [position: number, length: number][] = [];
  /** The memory that was written from. */
  readonly sources = new Set<ArrayBufferLike>();
  /** Whether the next write fails, and of what. Called once for each attempt. */
  failure: (() => Error | undefined) | undefined;
  /** What a write waits for before it does anything. */
  stall: Promise<void> | undefined;
  /** What a read waits for before it does anything. */
  readStall: Promise<void> | undefined;
  underWay = 0;
  underWayMax = 0;
  /** Keeps nothing of what is written. */
  isBottomless = false;
  #content = new Uint8Array(0);

  get content(): Uint8Array {
    return this.#content;
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    await this.readStall;
    return this.readNow(target, start, length, position);
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    const piece = this.#content.subarray(position, position + length);
    target.set(piece, start);
    return piece.length;
  }

  writeNow(): void {
    throw new AssertionError('this file is written in the background only');
  }

  async write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    this.attempts.push([position, length]);
    this.sources.add(source.buffer);
    this.#assertSectors(source, start, length, position);
    this.underWay++;
    this.underWayMax = Math.max(this.underWayMax, this.underWay);
    try {
      await this.stall;
      const failure = this.failure?.();
      // A failed write leaves a part of it.
      const doneBytes = failure === undefined ? length : length >> 1;
      if (!this.isBottomless) this.#put(source.subarray(start, start + doneBytes), position);
      if (failure !== undefined) throw failure;
      this.writes.push([position, length]);
    } finally {
      this.underWay--;
    }
  }

  async resize(sizeBytes: number): Promise<void> {
    const content = new Uint8Array(sizeBytes);
    content.set(this.#content.subarray(0, sizeBytes));
    this.#content = content;
  }

  async sync(): Promise<void> {
    throw new AssertionError('nobody syncs this file');
  }

  async close(): Promise<void> {
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#content = new Uint8Array(0);
  }

  #assertSectors(source: Uint8Array, start: number, length: number, position: number): void {
    const isTail = position + length > this.#content.length;
    const isWhole = length % SECTOR_BYTES === 0 || isTail;
    if (isAligned(source, start) && position % SECTOR_BYTES === 0 && isWhole) return;
    throw new AssertionError('a write is not aligned', { file: this.path, offset: position });
  }

  #put(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.#content.length) {
      const content = new Uint8Array(end);
      content.set(this.#content);
      this.#content = content;
    }
    this.#content.set(bytes, position);
  }
}

/** As a disk without space reports it. */
export const noSpace = (): VarveError =>
  new VarveError('unavailable', 'FILE_IO', 'ENOSPC: no space left on device, write', { file: '/memory' });
