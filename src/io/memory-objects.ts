import { BadRequestError, VarveError } from '../base/errors.ts';
import { throwIfCancelled } from './cancelled.ts';
import type { Clock } from './clock.ts';
import { bodyPieces, bodySizeBytes, checkRange, joinPieces } from './object-body.ts';
import { checkObjectKey, checkObjectKeyPrefix, compareObjectKeys } from './object-key.ts';
import type { GetOptions, ObjectBody, ObjectStatus, ObjectStore, PutOptions } from './objects.ts';

const PIECE_BYTES = 256 * 1024;

interface StoredObject {
  readonly content: Uint8Array;
  readonly modifiedMs: number;
}

/**
 * Objects in memory, for tests and simulations. As strict as a directory: no key goes on where another one ends.
 * It waits for nothing but the pieces it is given, and takes the time from the clock alone.
 */
export class MemoryObjects implements ObjectStore {
  readonly description: string;
  readonly #clock: Clock;
  readonly #objects = new Map<string, StoredObject>();
  /** In order. */
  readonly #keys: string[] = [];

  constructor(clock: Clock, description = 'memory') {
    this.#clock = clock;
    this.description = description;
  }

  async put(key: string, body: ObjectBody, { signal, onlyIfAbsent = false }: PutOptions): Promise<void> {
    checkObjectKey(key);
    const pieces: Uint8Array[] = [];
    for await (const piece of bodyPieces(body, signal)) pieces.push(piece.slice());
    throwIfCancelled(signal);
    // From here on nothing is awaited: the object is there in one step.
    this.#refuseNested(key);
    if (onlyIfAbsent && this.#objects.has(key)) {
      throw new VarveError('precondition', 'OBJECT_EXISTS', 'this object exists already', { file: key });
    }
    if (!this.#objects.has(key)) this.#keys.splice(firstNotBefore(this.#keys, key), 0, key);
    this.#objects.set(key, {
      content: joinPieces(pieces, bodySizeBytes(body)),
      modifiedMs: this.#clock.wallMs(),
    });
  }

  async get(key: string, options: GetOptions): Promise<Uint8Array> {
    return this.#view(key, options).slice();
  }

  async *getStream(key: string, options: GetOptions): AsyncGenerator<Uint8Array> {
    const content = this.#view(key, options);
    for (let start = 0; start < content.length; start += PIECE_BYTES) {
      throwIfCancelled(options.signal);
      yield content.slice(start, start + PIECE_BYTES);
    }
  }

  async head(key: string, signal: AbortSignal): Promise<ObjectStatus | undefined> {
    checkObjectKey(key);
    throwIfCancelled(signal);
    return this.#status(key);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ObjectStatus> {
    checkObjectKeyPrefix(prefix);
    throwIfCancelled(signal);
    let next: string | undefined = this.#keys[firstNotBefore(this.#keys, prefix)];
    while (next?.startsWith(prefix)) {
      throwIfCancelled(signal);
      const status = this.#status(next);
      if (status !== undefined) yield status;
      // Keys may have come and gone meanwhile. None lies between this one and this one with a zero behind it.
      next = this.#keys[firstNotBefore(this.#keys, `${next}\0`)];
    }
  }

  async remove(keys: readonly string[], signal: AbortSignal): Promise<void> {
    for (const key of keys) checkObjectKey(key);
    throwIfCancelled(signal);
    for (const key of keys) {
      if (this.#objects.delete(key)) this.#keys.splice(firstNotBefore(this.#keys, key), 1);
    }
  }

  close(): void {
    // There is nothing to let go of.
  }

  #status(key: string): ObjectStatus | undefined {
    const object = this.#objects.get(key);
    return object && { key, sizeBytes: object.content.length, modifiedMs: object.modifiedMs };
  }

  #view(key: string, options: GetOptions): Uint8Array {
    checkObjectKey(key);
    const { start, end } = checkRange(options);
    throwIfCancelled(options.signal);
    const object = this.#objects.get(key);
    if (object === undefined) {
      throw new VarveError('not-found', 'OBJECT_NOT_FOUND', 'there is no such object', { file: key });
    }
    return object.content.subarray(start, end);
  }

  #refuseNested(key: string): void {
    for (let slash = key.indexOf('/'); slash >= 0; slash = key.indexOf('/', slash + 1)) {
      if (this.#objects.has(key.slice(0, slash))) throw nested(key);
    }
    if (this.#objects.has(key)) return;
    if (this.#keys[firstNotBefore(this.#keys, `${key}/`)]?.startsWith(`${key}/`)) throw nested(key);
  }
}

const nested = (key: string): BadRequestError =>
  new BadRequestError(
    'BAD_OBJECT_KEY',
    'one of this key and that of another object goes on where the other ends',
    {
      file: key,
    },
  );

/** Where the first key lies that does not come before `bound`. */
function firstNotBefore(keys: readonly string[], bound: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareObjectKeys(keys[middle], bound) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
