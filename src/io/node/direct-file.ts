import { constants, open } from 'node:fs';
import { promisify } from 'node:util';
import { VarveError } from '../../base/errors.ts';
import { allocateAligned, isAligned } from '../aligned-buffer.ts';
import type { UpdatableFile } from '../files.ts';
import type { OpenFile } from './open-file.ts';

/** What positions and lengths are multiples of: the largest logical block of a disk, and a page of memory. */
export const DIRECT_BLOCK_BYTES = 4096;
/** One step of a read that goes through a bounce buffer. */
const BOUNCE_BYTES = 256 * 1024;
const BOUNCE_BUFFERS_KEPT = 8;
/** Most reads are of a block or two, and many at a time. */
const SMALL_BOUNCE_BYTES = 32 * 1024;
const SMALL_BOUNCE_BUFFERS_KEPT = 128;

const openDescriptor = promisify(open);

/** Aligned memory that reads borrow. As many are lent as are asked for, and a few are kept. */
export class BounceBuffers {
  readonly #free: Uint8Array[] = [];
  readonly #freeSmall: Uint8Array[] = [];

  /** For a read of so many bytes, or for a step of it. */
  take(lengthBytes: number): Uint8Array {
    return lengthBytes <= SMALL_BOUNCE_BYTES
      ? (this.#freeSmall.pop() ?? allocateAligned(SMALL_BOUNCE_BYTES))
      : (this.#free.pop() ?? allocateAligned(BOUNCE_BYTES));
  }

  give(buffer: Uint8Array): void {
    const isSmall = buffer.length === SMALL_BOUNCE_BYTES;
    const free = isSmall ? this.#freeSmall : this.#free;
    if (free.length < (isSmall ? SMALL_BOUNCE_BUFFERS_KEPT : BOUNCE_BUFFERS_KEPT)) free.push(buffer);
  }
}

/**
 * Opens the file that a descriptor is of once more, for I/O around the page cache. undefined: the file system, or the
 * operating system, does not know that.
 */
export async function openDirectly(descriptor: number, flags: number): Promise<number | undefined> {
  if (constants.O_DIRECT === undefined) return undefined;
  try {
    return await openDescriptor(`/proc/self/fd/${descriptor}`, flags | constants.O_DIRECT);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // EINVAL is the refusal; ENOENT: there is no /proc.
    if (code === 'EINVAL' || code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * An open file with two descriptors: a direct one for whole blocks in aligned memory, and a buffered one for all else.
 * Reads that are not aligned go through a bounce buffer. Of a write that ends within a block, the whole blocks go
 * directly and the rest is buffered.
 *
 * Linux keeps the two coherent: a direct write drops what the page cache has of its range, a direct read first writes
 * back what is dirty there, and the writes of a file exclude each other where they share a page (ext4 and XFS hold the
 * file's lock).
 */
export class DirectFile implements UpdatableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #buffered: OpenFile;
  readonly #bounce: BounceBuffers;
  readonly #onRefused: () => void;
  #direct: OpenFile | undefined;
  /** The one that was given up; it is closed with the file. */
  #refused: OpenFile | undefined;

  constructor(buffered: OpenFile, direct: OpenFile, bounce: BounceBuffers, onRefused: () => void) {
    this.path = buffered.path;
    this.sizeBytes = buffered.sizeBytes;
    this.#buffered = buffered;
    this.#direct = direct;
    this.#bounce = bounce;
    this.#onRefused = onRefused;
  }

  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const direct = this.#direct;
    const isInTarget = start >= 0 && length >= 0 && start + length <= target.length;
    if (direct === undefined || !isInTarget || length === 0) {
      return this.#buffered.read(target, start, length, position);
    }
    try {
      if (isWhole(position, length) && isAligned(target, start)) {
        return await direct.read(target, start, length, position);
      }
      return await this.#readThroughBounce(direct, target, start, length, position);
    } catch (error) {
      this.#giveUpDirect(error);
      return this.#buffered.read(target, start, length, position);
    }
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    return this.#buffered.readNow(target, start, length, position);
  }

  writeNow(source: Uint8Array, start: number, length: number, position: number): void {
    this.#buffered.writeNow(source, start, length, position);
  }

  async write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    const direct = this.#direct;
    const wholeBytes = length - (length % DIRECT_BLOCK_BYTES);
    const isDirect = wholeBytes > 0 && isWhole(position, wholeBytes) && isAligned(source, start);
    if (direct === undefined || !isDirect) return this.#buffered.write(source, start, length, position);
    try {
      await direct.write(source, start, wholeBytes, position);
    } catch (error) {
      this.#giveUpDirect(error);
      return this.#buffered.write(source, start, length, position);
    }
    const restBytes = length - wholeBytes;
    if (restBytes === 0) return;
    await this.#buffered.write(source, start + wholeBytes, restBytes, position + wholeBytes);
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#buffered.resize(sizeBytes);
  }

  /** Of the file, whichever descriptor its bytes went through. */
  sync(): Promise<void> {
    return this.#buffered.sync();
  }

  async close(): Promise<void> {
    await Promise.all([this.#buffered.close(), this.#direct?.close(), this.#refused?.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #readThroughBounce(
    direct: OpenFile,
    target: Uint8Array,
    start: number,
    length: number,
    position: number,
  ): Promise<number> {
    const bounce = this.#bounce.take((position % DIRECT_BLOCK_BYTES) + length);
    try {
      let done = 0;
      while (done < length) {
        const at = position + done;
        const skippedBytes = at % DIRECT_BLOCK_BYTES;
        const wantedBytes = Math.min(length - done, bounce.length - skippedBytes);
        const blocksBytes = Math.ceil((skippedBytes + wantedBytes) / DIRECT_BLOCK_BYTES) * DIRECT_BLOCK_BYTES;
        const count = await direct.read(bounce, 0, blocksBytes, at - skippedBytes);
        const gotBytes = Math.max(0, Math.min(wantedBytes, count - skippedBytes));
        target.set(bounce.subarray(skippedBytes, skippedBytes + gotBytes), start + done);
        done += gotBytes;
        if (gotBytes < wantedBytes) break;
      }
      return done;
    } finally {
      this.#bounce.give(bounce);
    }
  }

  /** Some file systems let a file be opened so, and refuse the I/O. All other failures are failures. */
  #giveUpDirect(error: unknown): void {
    const isRefusal =
      error instanceof VarveError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EINVAL';
    if (!isRefusal) throw error;
    if (this.#direct === undefined) return;
    this.#refused = this.#direct;
    this.#direct = undefined;
    this.#onRefused();
  }
}

const isWhole = (position: number, length: number): boolean =>
  position % DIRECT_BLOCK_BYTES === 0 && length % DIRECT_BLOCK_BYTES === 0;
