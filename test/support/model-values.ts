import { compareKeys, type Key, writeKey } from '../../src/pageserver/keyspace/key.ts';
import type { SortedValues } from '../../src/pageserver/upkeep/sorted-values.ts';

/** A value as tests write it down. */
export interface ModelValue {
  readonly key: Key;
  readonly lsn: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

const KEY_AT = 3;

/** Values in memory as a cursor: `chunk` at a time without waiting, in one buffer that is overwritten by each. */
export class ModelCursor implements SortedValues {
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_AT + 18));
  readonly keyOffset: number = KEY_AT;
  lsn = 0;
  flags = 0;
  bytes: Uint8Array = new Uint8Array(8);
  view: DataView = new DataView(this.bytes.buffer);
  readonly offset = 1;
  length = 0;
  readonly #values: readonly ModelValue[];
  readonly #chunk: number;
  #next = 0;
  #loaded = 0;

  constructor(values: readonly ModelValue[], chunk: number) {
    this.#values = values;
    this.#chunk = chunk;
  }

  advance(): boolean {
    this.bytes.fill(0xee);
    if (this.#next === this.#loaded) return false;
    const value = this.#values[this.#next++] as ModelValue;
    writeKey(this.keyView, KEY_AT, value.key);
    this.lsn = value.lsn;
    this.flags = value.flags;
    this.length = value.bytes.length;
    if (this.bytes.length < this.length + this.offset) {
      this.bytes = new Uint8Array(this.length + this.offset);
      this.view = new DataView(this.bytes.buffer);
    }
    this.bytes.set(value.bytes, this.offset);
    return true;
  }

  async next(): Promise<boolean> {
    if (this.#next !== this.#loaded) throw new Error('it is not at the end of a chunk');
    await Promise.resolve();
    this.#loaded = Math.min(this.#values.length, this.#next + this.#chunk);
    return this.advance();
  }
}

export const compareModelValues = (left: ModelValue, right: ModelValue): number =>
  compareKeys(left.key, right.key) || left.lsn - right.lsn;
