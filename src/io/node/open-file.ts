import { close, fdatasync, ftruncate, read, readSync, write, writeSync } from 'node:fs';
import { AssertionError, VarveError } from '../../base/errors.ts';
import type { UpdatableFile } from '../files.ts';
import { toFileError } from './file-errors.ts';
import type { QuickReads } from './quick-reads.ts';

/**
 * An open file. It works on the bare descriptor with callbacks, which costs half of what FileHandle and its promises
 * do, and so has to see to it itself that no descriptor is closed, and given to another file, while it is in use.
 */
export class OpenFile implements UpdatableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #descriptor: number;
  readonly #readUnitBytes: number;
  readonly #quickReads: QuickReads | undefined;
  #operationsUnderWay = 0;
  #closed: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  /**
   * @param readUnitBytes what the system wants reads in multiples of; one that ends within a unit has come to the end
   *   of the file, and nothing is asked for behind it
   * @param quickReads says which reads may hold up the event loop; without it none does
   */
  constructor(
    path: string,
    sizeBytes: number,
    descriptor: number,
    readUnitBytes = 1,
    quickReads?: QuickReads,
  ) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.#descriptor = descriptor;
    this.#readUnitBytes = readUnitBytes;
    this.#quickReads = quickReads;
  }

  read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const quickReads = this.#quickReads;
    if (quickReads?.begin(length)) return this.#readQuickly(quickReads, target, start, length, position);
    return new Promise((resolve, reject) => {
      let done = 0;
      const step = (): void => {
        read(this.#descriptor, target, start + done, length - done, position + done, (error, count) => {
          if (error !== null) return this.#finish(() => reject(toFileError(this.path, error)));
          done += count;
          const isAtEnd = count === 0 || done % this.#readUnitBytes !== 0;
          if (isAtEnd || done === length) return this.#finish(() => resolve(done));
          step();
        });
      };
      this.#begin(step);
    });
  }

  async #readQuickly(
    quickReads: QuickReads,
    target: Uint8Array,
    start: number,
    length: number,
    position: number,
  ): Promise<number> {
    try {
      return this.readNow(target, start, length, position);
    } finally {
      quickReads.end();
    }
  }

  readNow(target: Uint8Array, start: number, length: number, position: number): number {
    this.#assertOpen();
    let done = 0;
    while (done < length) {
      let count: number;
      try {
        count = readSync(this.#descriptor, target, start + done, length - done, position + done);
      } catch (error) {
        throw toFileError(this.path, error);
      }
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  writeNow(source: Uint8Array, start: number, length: number, position: number): void {
    this.#assertOpen();
    let done = 0;
    while (done < length) {
      let count: number;
      try {
        count = writeSync(this.#descriptor, source, start + done, length - done, position + done);
      } catch (error) {
        throw toFileError(this.path, error);
      }
      if (count === 0) throw this.#nothingWritten();
      done += count;
    }
  }

  write(source: Uint8Array, start: number, length: number, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let done = 0;
      const step = (): void => {
        write(this.#descriptor, source, start + done, length - done, position + done, (error, count) => {
          if (error !== null) return this.#finish(() => reject(toFileError(this.path, error)));
          done += count;
          if (done === length) return this.#finish(resolve);
          if (count === 0) return this.#finish(() => reject(this.#nothingWritten()));
          step();
        });
      };
      this.#begin(step);
    });
  }

  resize(sizeBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#begin(() => ftruncate(this.#descriptor, sizeBytes, this.#settle(resolve, reject)));
    });
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#begin(() => fdatasync(this.#descriptor, this.#settle(resolve, reject)));
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeWhenIdle();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#operationsUnderWay > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await new Promise<void>((resolve, reject) => {
      close(this.#descriptor, (error) => {
        if (error) reject(toFileError(this.path, error));
        else resolve();
      });
    });
  }

  /** Starts an operation whose callback calls `#finish`. What `start` throws is a wrong argument: nothing began. */
  #begin(start: () => void): void {
    this.#assertOpen();
    start();
    this.#operationsUnderWay++;
  }

  #finish(settle: () => void): void {
    this.#operationsUnderWay--;
    settle();
    if (this.#operationsUnderWay === 0) this.#onIdle?.();
  }

  #settle(resolve: () => void, reject: (error: unknown) => void): (error: Error | null) => void {
    return (error) => {
      this.#finish(() => {
        if (error) reject(toFileError(this.path, error));
        else resolve();
      });
    };
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw new AssertionError('a closed file is used', { file: this.path });
  }

  /** POSIX lets a write take nothing without an error. It must not be tried for ever. */
  #nothingWritten(): VarveError {
    return new VarveError('unavailable', 'FILE_IO', 'the system writes nothing and does not say why', {
      file: this.path,
    });
  }
}
