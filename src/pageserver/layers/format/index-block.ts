import { compareEncodedKeys } from '../../keyspace/key.ts';
import {
  badLayer,
  copyKey,
  FRAME_BYTES,
  HEADER_BYTES,
  INDEX_LSN,
  INDEX_POSITION,
  INDEX_RAW_LENGTH,
  INDEX_ROW_BYTES,
  INDEX_ROW_COUNT,
  INDEX_ROWS,
  INDEX_STORED_LENGTH,
  isExactU64,
  readU64,
  writeU64,
} from './layout.ts';

/** Number of rows of a leaf or of the root. */
export const indexRowCountOf = (view: DataView): number => view.getUint32(INDEX_ROW_COUNT);

/** Where a row begins: with the first key of its block. */
export const indexRowAt = (row: number): number => INDEX_ROWS + row * INDEX_ROW_BYTES;

export const lsnOfIndexRow = (view: DataView, row: number): number =>
  readU64(view, indexRowAt(row) + INDEX_LSN);
/** Where in the file the block is that the row leads to. */
export const positionOfIndexRow = (view: DataView, row: number): number =>
  readU64(view, indexRowAt(row) + INDEX_POSITION);
/** With its frame. */
export const storedLengthOfIndexRow = (view: DataView, row: number): number =>
  view.getUint32(indexRowAt(row) + INDEX_STORED_LENGTH);
export const rawLengthOfIndexRow = (view: DataView, row: number): number =>
  view.getUint32(indexRowAt(row) + INDEX_RAW_LENGTH);

/** Whether a row's block begins with this key. */
export const startsWithKey = (view: DataView, row: number, key: DataView): boolean =>
  compareEncodedKeys(view, indexRowAt(row), key, 0) === 0;

/** The last row whose block begins below (key, lsn), or -1. */
export function findIndexRow(view: DataView, key: DataView, lsn: number): number {
  const first = key.getUint32(0);
  const second = key.getUint32(4);
  const third = key.getUint32(8);
  const fourth = key.getUint32(12);
  const fifth = key.getUint16(16);
  let low = 0;
  let high = indexRowCountOf(view);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = indexRowAt(middle);
    // As compareEncodedKeys, with the key read only once.
    const difference =
      view.getUint32(at) - first ||
      view.getUint32(at + 4) - second ||
      view.getUint32(at + 8) - third ||
      view.getUint32(at + 12) - fourth ||
      view.getUint16(at + 16) - fifth;
    if (difference < 0 || (difference === 0 && readU64(view, at + INDEX_LSN) < lsn)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Checks that a raw block is an index block whose rows are in order and lead into the file.
 *
 * @param fileBytes the file's length
 * @throws CorruptionError
 */
export function checkIndexBlock(
  bytes: Uint8Array,
  view: DataView,
  type: number,
  fileBytes: number,
  position: number,
  file: string,
): void {
  const fail = (reason: string): never => {
    throw badLayer(file, position, reason);
  };
  if (bytes.length < INDEX_ROWS || view.getUint32(0) !== type * 0x100_0000) {
    fail('this is not the index block that it should be');
  }
  const count = indexRowCountOf(view);
  if (indexRowAt(count) !== bytes.length) fail(`an index block of ${count} rows has ${bytes.length} bytes`);
  let end = HEADER_BYTES;
  for (let row = 0; row < count; row++) {
    const at = indexRowAt(row);
    if (!isExactU64(view, at + INDEX_LSN) || !isExactU64(view, at + INDEX_POSITION)) {
      fail('a number is at or above 2^53');
    }
    const start = positionOfIndexRow(view, row);
    const storedLength = storedLengthOfIndexRow(view, row);
    if (start < end || storedLength < FRAME_BYTES || storedLength > fileBytes - start) {
      fail(`row ${row} leads to ${storedLength} bytes at ${start}`);
    }
    end = start + storedLength;
    if (row === 0) continue;
    const order = compareEncodedKeys(view, indexRowAt(row - 1), view, at);
    if (order > 0 || (order === 0 && lsnOfIndexRow(view, row - 1) >= lsnOfIndexRow(view, row))) {
      fail(`row ${row} is out of order`);
    }
  }
}

/** Rows of an index while a layer is written. */
export class IndexRows {
  /** How many there are. */
  count = 0;
  #bytes = new Uint8Array(INDEX_ROW_BYTES * 256);
  #view = new DataView(this.#bytes.buffer);

  /** Adds a row: the block's first key and LSN, and where it is. */
  add(
    key: DataView,
    keyOffset: number,
    lsn: number,
    position: number,
    storedLength: number,
    rawLength: number,
  ): void {
    const at = this.count * INDEX_ROW_BYTES;
    if (at === this.#bytes.length) this.#grow();
    copyKey(this.#view, at, key, keyOffset);
    writeU64(this.#view, at + INDEX_LSN, lsn);
    writeU64(this.#view, at + INDEX_POSITION, position);
    this.#view.setUint32(at + INDEX_STORED_LENGTH, storedLength);
    this.#view.setUint32(at + INDEX_RAW_LENGTH, rawLength);
    this.count++;
  }

  /** The raw index block of the rows from `start` to `end`. */
  toBlock(type: number, start: number, end: number): Uint8Array {
    const block = new Uint8Array(indexRowAt(end - start));
    block[0] = type;
    new DataView(block.buffer).setUint32(INDEX_ROW_COUNT, end - start);
    block.set(this.#bytes.subarray(start * INDEX_ROW_BYTES, end * INDEX_ROW_BYTES), INDEX_ROWS);
    return block;
  }

  #grow(): void {
    const larger = new Uint8Array(this.#bytes.length * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
