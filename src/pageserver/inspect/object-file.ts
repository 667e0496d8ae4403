import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { ReadableFile } from '../../io/files.ts';
import type { ObjectStore } from '../../io/objects.ts';

/** An object as a file: each read asks the store for the part. Nothing is kept, and nothing is written here. */
export class ObjectFile implements ReadableFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly #objects: ObjectStore;
  readonly #signal: AbortSignal;

  constructor(objects: ObjectStore, key: string, sizeBytes: number, signal: AbortSignal) {
    this.path = key;
    this.sizeBytes = sizeBytes;
    this.#objects = objects;
    this.#signal = signal;
  }

  /** @throws CorruptionError LAYER_OBJECT_MISSING where there is no object; what the store fails of */
  async read(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const end = Math.min(position + length, this.sizeBytes);
    if (position >= end) return 0;
    try {
      const bytes = await this.#objects.get(this.path, { signal: this.#signal, start: position, end });
      target.set(bytes, start);
      return bytes.length;
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'OBJECT_NOT_FOUND') throw error;
      const reason = 'the index names a layer that is not there';
      throw new CorruptionError('LAYER_OBJECT_MISSING', reason, { file: this.path }, error);
    }
  }

  readNow(): number {
    return -1;
  }

  async close(): Promise<void> {
    // There is nothing to let go of.
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
