import { copyBytes } from '../../base/bytes.ts';
import { VarveError } from '../../base/errors.ts';
import type { LayerWriter } from '../layers/format/layer-writer.ts';
import type { FoundValues } from '../layers/found-values.ts';
import type { MergeLayers } from './merge-layers.ts';

const BYTES_INITIAL: number = 256 * 1024;
/** A buffer that one key's history has made larger than this is given back. */
const BYTES_RETAINED: number = 4 * 1024 * 1024;
/** Of one key: more is not held in memory. */
const HISTORY_BYTES_MAX: number = 512 * 1024 * 1024;

/** A value as a merge gives it. */
type SeenValue = Pick<MergeLayers, 'bytes' | 'view' | 'offset' | 'length' | 'lsn' | 'flags' | 'name'>;

/** Copies of values of one key, oldest first. */
export class KeyHistory {
  count = 0;
  readonly #lsns: number[] = [];
  readonly #flags: number[] = [];
  readonly #ends: number[] = [];
  readonly #names: string[] = [];
  #bytes = new Uint8Array(BYTES_INITIAL);
  #view = new DataView(this.#bytes.buffer);

  clear(): void {
    this.count = 0;
    if (this.#bytes.length > BYTES_RETAINED) this.#replaceBuffer(BYTES_INITIAL);
  }

  /**
   * Takes in the next newer value.
   * @throws VarveError ‘unavailable’ / HISTORY_TOO_LONG
   */
  add(value: SeenValue): void {
    const { length } = value;
    const index = this.count;
    const start = this.#startOf(index);
    if (start + length > this.#bytes.length) this.#makeRoom(start, start + length, value.lsn);
    copyBytes(this.#bytes, this.#view, start, value.bytes, value.view, value.offset, length);
    this.#lsns[index] = value.lsn;
    this.#flags[index] = value.flags;
    this.#ends[index] = start + length;
    this.#names[index] = value.name;
    this.count = index + 1;
  }

  /** Forgets the newest value. */
  dropLast(): void {
    this.count--;
  }

  lsnOf(index: number): number {
    return this.#lsns[index] as number;
  }

  flagsOf(index: number): number {
    return this.#flags[index] as number;
  }

  lengthOf(index: number): number {
    return (this.#ends[index] as number) - this.#startOf(index);
  }

  /**
   * Gives the value of `index` and those before it, newest first, down to one that needs no older one. They are
   * overwritten by what is added next.
   */
  copyTo(found: FoundValues, index: number): void {
    found.clear();
    for (let at = index; at >= 0 && !found.isComplete; at--) {
      const start = this.#startOf(at);
      found.push(this.#bytes, this.#view, start, this.lengthOf(at), this.lsnOf(at), this.flagsOf(at));
    }
  }

  /** Adds the value of `index` to a layer, under a key and at an LSN. */
  writeAt(index: number, writer: LayerWriter, key: DataView, lsn: number): void {
    const start = this.#startOf(index);
    writer.add(key, 0, lsn, this.flagsOf(index), this.#bytes, this.#view, start, this.lengthOf(index));
  }

  #startOf(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] as number);
  }

  /** The layer that the value of an LSN was taken from, if it is here. */
  findName(lsn: number): string | undefined {
    for (let index = 0; index < this.count; index++) {
      if (this.#lsns[index] === lsn) return this.#names[index];
    }
    return undefined;
  }

  #makeRoom(used: number, needed: number, lsn: number): void {
    if (needed > HISTORY_BYTES_MAX) {
      throw new VarveError(
        'unavailable',
        'HISTORY_TOO_LONG',
        `the records since the last image are more than ${HISTORY_BYTES_MAX} bytes`,
        { lsn },
      );
    }
    const before = this.#bytes;
    this.#replaceBuffer(Math.min(HISTORY_BYTES_MAX, Math.max(needed, before.length * 2)));
    this.#bytes.set(before.subarray(0, used));
  }

  #replaceBuffer(length: number): void {
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
  }
}
