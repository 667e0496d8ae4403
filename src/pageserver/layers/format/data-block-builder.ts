import { copyBytes } from '../../../base/bytes.ts';
import {
  BLOCK_DATA,
  DATA_CONTINUES,
  DATA_LSN_BASE,
  DATA_LSN_BYTES,
  DATA_ROW_COUNT,
  DATA_STEM_COUNT,
  DATA_VALUES,
  DATA_VALUES_LENGTH,
  END_FLAGS_SHIFT,
  STEM_BYTES,
  STEM_ROW_BYTES,
  writeU64,
} from './layout.ts';

const ROW_BYTES_EXPECTED = 12;
const ROWS_INITIAL = 1024;
const VALUES_BYTES_INITIAL = 64 * 1024;
/** A buffer that a huge value has made larger than this is given back. */
const RETAINED_BYTES_MAX = 1024 * 1024;

/** Collects the values of one data block, in buffers that are used again for the next. */
export class DataBlockBuilder {
  rowCount = 0;
  #bytes = new Uint8Array(VALUES_BYTES_INITIAL);
  #view = new DataView(this.#bytes.buffer);
  #valuesLength = 0;
  #indexes = new Uint32Array(ROWS_INITIAL);
  #lsns = new Float64Array(ROWS_INITIAL);
  #ends = new Uint32Array(ROWS_INITIAL);
  /** Each with the number of its first row, as they will stand in the block. */
  #stems = new Uint8Array(STEM_ROW_BYTES * 16);
  #stemCount = 0;
  #lsnMin = 0;
  #lsnMax = 0;

  /** About what the block would have with a value of this length in it as well. */
  lengthWith(valueLength: number): number {
    return (
      DATA_VALUES +
      this.#valuesLength +
      valueLength +
      (this.rowCount + 1) * ROW_BYTES_EXPECTED +
      this.#stemCount * STEM_ROW_BYTES
    );
  }

  /** @param hasNewStem the key has not the stem of the row before; of the first row it never has */
  add(
    key: DataView,
    keyOffset: number,
    hasNewStem: boolean,
    lsn: number,
    flags: number,
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    length: number,
  ): void {
    const row = this.rowCount;
    if (row === this.#indexes.length) this.#growRows();
    const at = DATA_VALUES + this.#valuesLength;
    if (at + length > this.#bytes.length) this.#reserve(at + length);
    if (length > 0) copyBytes(this.#bytes, this.#view, at, bytes, view, offset, length);
    if (hasNewStem || row === 0) this.#addStem(key, keyOffset);
    if (row === 0 || lsn < this.#lsnMin) this.#lsnMin = lsn;
    if (row === 0 || lsn > this.#lsnMax) this.#lsnMax = lsn;
    this.#valuesLength += length;
    this.#indexes[row] = key.getUint32(keyOffset + STEM_BYTES);
    this.#lsns[row] = lsn;
    this.#ends[row] = this.#valuesLength | (flags << END_FLAGS_SHIFT);
    this.rowCount = row + 1;
  }

  /**
   * The raw block, valid until the next `add`. The builder is empty then.
   * @param continues the block before has values of the first key, too
   */
  take(continues: boolean): Uint8Array {
    const span = this.#lsnMax - this.#lsnMin;
    const width = span === 0 ? 0 : span <= 0xffff_ffff ? 4 : 8;
    const { rowCount } = this;
    const indexes = DATA_VALUES + this.#valuesLength;
    const lsns = indexes + rowCount * 4;
    const ends = lsns + rowCount * width;
    const stems = ends + rowCount * 4;
    const length = stems + this.#stemCount * STEM_ROW_BYTES;
    if (length > this.#bytes.length) this.#reserve(length);
    const view = this.#view;
    view.setUint32(0, BLOCK_DATA * 0x100_0000);
    view.setUint8(DATA_LSN_BYTES, width);
    view.setUint8(DATA_CONTINUES, continues ? 1 : 0);
    view.setUint32(DATA_ROW_COUNT, rowCount);
    view.setUint32(DATA_STEM_COUNT, this.#stemCount);
    view.setUint32(DATA_VALUES_LENGTH, this.#valuesLength);
    writeU64(view, DATA_LSN_BASE, this.#lsnMin);
    for (let row = 0; row < rowCount; row++) {
      view.setUint32(indexes + row * 4, this.#indexes[row] as number);
      view.setUint32(ends + row * 4, this.#ends[row] as number);
      const above = (this.#lsns[row] as number) - this.#lsnMin;
      if (width === 4) view.setUint32(lsns + row * 4, above);
      else if (width === 8) writeU64(view, lsns + row * 8, above);
    }
    this.#bytes.set(this.#stems.subarray(0, this.#stemCount * STEM_ROW_BYTES), stems);
    const block = this.#bytes.subarray(0, length);
    this.#clear();
    return block;
  }

  #clear(): void {
    this.rowCount = 0;
    this.#valuesLength = 0;
    this.#stemCount = 0;
    if (this.#bytes.length > RETAINED_BYTES_MAX) {
      this.#bytes = new Uint8Array(VALUES_BYTES_INITIAL);
      this.#view = new DataView(this.#bytes.buffer);
    }
  }

  #addStem(key: DataView, keyOffset: number): void {
    const at = this.#stemCount * STEM_ROW_BYTES;
    if (at === this.#stems.length) {
      const larger = new Uint8Array(this.#stems.length * 2);
      larger.set(this.#stems);
      this.#stems = larger;
    }
    for (let offset = 0; offset < STEM_BYTES; offset++) {
      this.#stems[at + offset] = key.getUint8(keyOffset + offset);
    }
    new DataView(this.#stems.buffer).setUint32(at + STEM_BYTES, this.rowCount);
    this.#stemCount++;
  }

  #growRows(): void {
    const size = this.#indexes.length * 2;
    const { indexes, lsns, ends } = {
      indexes: new Uint32Array(size),
      lsns: new Float64Array(size),
      ends: new Uint32Array(size),
    };
    indexes.set(this.#indexes);
    lsns.set(this.#lsns);
    ends.set(this.#ends);
    this.#indexes = indexes;
    this.#lsns = lsns;
    this.#ends = ends;
  }

  /** Keeps the values. A little more than is asked for, so that the columns behind one huge value fit as well. */
  #reserve(length: number): void {
    const larger = new Uint8Array(
      Math.max(length + 4096, Math.min(this.#bytes.length * 2, RETAINED_BYTES_MAX)),
    );
    larger.set(this.#bytes.subarray(0, DATA_VALUES + this.#valuesLength));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
