import type { Lsn } from '../../base/lsn.ts';
import { KEY_BYTES, type Key, readKey } from '../keyspace/key.ts';
import { copyBytes } from '../layers/fixed-buffer.ts';
import { copyKey } from '../layers/format/layout.ts';

const ENTRIES_AT_FIRST = 256;
const VALUE_BYTES_AT_FIRST = 4096;
const GROWTH = 4;

/**
 * Keys with what they held, one behind the other in the order of keys, in memory that is used again: many at a time
 * without an object for each.
 */
export class ScannedBatch {
  count = 0;
  /** Of all values together. */
  valueBytes = 0;
  #keys: Uint8Array = new Uint8Array(ENTRIES_AT_FIRST * KEY_BYTES);
  #keyView: DataView = new DataView(this.#keys.buffer);
  #lsns: Float64Array = new Float64Array(ENTRIES_AT_FIRST);
  /** Where each value ends. */
  #ends: Float64Array = new Float64Array(ENTRIES_AT_FIRST);
  #values: Uint8Array = new Uint8Array(VALUE_BYTES_AT_FIRST);
  #valueView: DataView = new DataView(this.#values.buffer);

  clear(): void {
    this.count = 0;
    this.valueBytes = 0;
  }

  /** @param keyView has the key's 18 bytes at `keyOffset` */
  append(
    keyView: DataView,
    keyOffset: number,
    lsn: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): void {
    this.#reserve(length);
    const { count, valueBytes } = this;
    copyKey(this.#keyView, count * KEY_BYTES, keyView, keyOffset);
    this.#lsns[count] = lsn;
    copyBytes(bytes, offset, length, this.#values, valueBytes);
    this.valueBytes = valueBytes + length;
    this.#ends[count] = valueBytes + length;
    this.count = count + 1;
  }

  /** Over the keys: that of an entry begins at `entry * KEY_BYTES`. */
  get keyView(): DataView {
    return this.#keyView;
  }

  /** All values, one behind the other, and more behind them. Good until something is appended. */
  get bytes(): Uint8Array {
    return this.#values;
  }

  /** Over the values: that of an entry begins at `valueOffset(entry)`. */
  get valueView(): DataView {
    return this.#valueView;
  }

  key(entry: number): Key {
    return readKey(this.#keyView, entry * KEY_BYTES);
  }

  /** Where it got that content. */
  lsn(entry: number): Lsn {
    return this.#lsns[entry] as Lsn;
  }

  valueOffset(entry: number): number {
    return entry === 0 ? 0 : (this.#ends[entry - 1] as number);
  }

  valueLength(entry: number): number {
    return (this.#ends[entry] as number) - this.valueOffset(entry);
  }

  /** Not copied: it is valid until the batch is filled again. */
  value(entry: number): Uint8Array {
    return this.#values.subarray(this.valueOffset(entry), this.#ends[entry] as number);
  }

  #reserve(length: number): void {
    if (this.count === this.#lsns.length) {
      const capacity = this.count * GROWTH;
      const keys = new Uint8Array(capacity * KEY_BYTES);
      keys.set(this.#keys);
      this.#keys = keys;
      this.#keyView = new DataView(keys.buffer);
      const lsns = new Float64Array(capacity);
      lsns.set(this.#lsns);
      this.#lsns = lsns;
      const ends = new Float64Array(capacity);
      ends.set(this.#ends);
      this.#ends = ends;
    }
    if (this.valueBytes + length <= this.#values.length) return;
    const values = new Uint8Array(Math.max(this.valueBytes + length, this.#values.length * GROWTH));
    values.set(this.#values.subarray(0, this.valueBytes));
    this.#values = values;
    this.#valueView = new DataView(values.buffer);
  }
}
