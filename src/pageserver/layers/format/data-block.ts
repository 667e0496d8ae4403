import { LSN_HIGH_LIMIT } from '../../../base/lsn.ts';
import {
  BLOCK_DATA,
  badLayer,
  DATA_CONTINUES,
  DATA_LSN_BASE,
  DATA_LSN_BYTES,
  DATA_ROW_COUNT,
  DATA_STEM_COUNT,
  DATA_VALUES,
  DATA_VALUES_LENGTH,
  END_MASK,
  isExactU64,
  readU64,
  STEM_BYTES,
  STEM_ROW_BYTES,
} from './layout.ts';

const LSN_LIMIT = LSN_HIGH_LIMIT * 0x1_0000_0000;

export const rowCountOf = (view: DataView): number => view.getUint32(DATA_ROW_COUNT);

/** Whether the block before has values of this block's first key, too. */
export const continuesKey = (view: DataView): boolean => view.getUint8(DATA_CONTINUES) !== 0;

export const stemCountOf = (view: DataView): number => view.getUint32(DATA_STEM_COUNT);

/** Where the column of indexes begins. */
const indexesOf = (view: DataView): number => DATA_VALUES + view.getUint32(DATA_VALUES_LENGTH);
const lsnsOf = (view: DataView): number => indexesOf(view) + rowCountOf(view) * 4;
const endsOf = (view: DataView): number => lsnsOf(view) + rowCountOf(view) * view.getUint8(DATA_LSN_BYTES);
const stemsOf = (view: DataView): number => endsOf(view) + rowCountOf(view) * 4;

export function lsnOfRow(view: DataView, row: number): number {
  const base = readU64(view, DATA_LSN_BASE);
  const width = view.getUint8(DATA_LSN_BYTES);
  if (width === 0) return base;
  const at = lsnsOf(view) + row * width;
  return base + (width === 4 ? view.getUint32(at) : readU64(view, at));
}

export const indexOfRow = (view: DataView, row: number): number => view.getUint32(indexesOf(view) + row * 4);

/** Offset in the block at which the row's value begins. */
export const startOfRow = (view: DataView, row: number): number =>
  row === 0 ? DATA_VALUES : DATA_VALUES + (view.getUint32(endsOf(view) + (row - 1) * 4) & END_MASK);

export const endOfRow = (view: DataView, row: number): number =>
  DATA_VALUES + (view.getUint32(endsOf(view) + row * 4) & END_MASK);

/** Where the stem of a number stands: its 14 bytes. */
export const stemAt = (view: DataView, stem: number): number => stemsOf(view) + stem * STEM_ROW_BYTES;

/** First row that has not this stem any more. */
export const endRowOfStem = (view: DataView, stem: number): number =>
  stem + 1 < stemCountOf(view) ? view.getUint32(stemAt(view, stem + 1) + STEM_BYTES) : rowCountOf(view);

/** As compareEncodedKeys, of all but the indexes. */
export function compareStems(
  left: DataView,
  leftOffset: number,
  right: DataView,
  rightOffset: number,
): number {
  return (
    left.getUint32(leftOffset) - right.getUint32(rightOffset) ||
    left.getUint32(leftOffset + 4) - right.getUint32(rightOffset + 4) ||
    left.getUint32(leftOffset + 8) - right.getUint32(rightOffset + 8) ||
    left.getUint16(leftOffset + 12) - right.getUint16(rightOffset + 12)
  );
}

/** Number of the first stem that is not below the one at the beginning of `key`. */
export function findStem(view: DataView, key: DataView): number {
  let low = 0;
  let high = stemCountOf(view);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareStems(view, stemAt(view, middle), key, 0) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many rows, the first ones, are below (key, lsn). */
export function countRowsBelow(view: DataView, key: DataView, lsn: number): number {
  const stem = findStem(view, key);
  if (stem === stemCountOf(view)) return rowCountOf(view);
  const at = stemAt(view, stem);
  if (compareStems(view, at, key, 0) !== 0) return view.getUint32(at + STEM_BYTES);
  return countRowsOfStemBelow(view, stem, key.getUint32(STEM_BYTES), lsn);
}

/** As countRowsBelow, where the key's stem is known. */
export function countRowsOfStemBelow(view: DataView, stem: number, index: number, lsn: number): number {
  let low = view.getUint32(stemAt(view, stem) + STEM_BYTES);
  let high = endRowOfStem(view, stem);
  const indexes = indexesOf(view);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const found = view.getUint32(indexes + middle * 4);
    if (found < index || (found === index && lsnOfRow(view, middle) < lsn)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Checks that a raw data block is one, so that nothing in it need be checked when it is used.
 * @throws CorruptionError
 */
export function checkDataBlock(bytes: Uint8Array, view: DataView, position: number, file: string): void {
  const fail = (reason: string): never => {
    throw badLayer(file, position, reason);
  };
  if (bytes.length < DATA_VALUES || view.getUint8(0) !== BLOCK_DATA) fail('this is not a data block');
  const width = view.getUint8(DATA_LSN_BYTES);
  if (width !== 0 && width !== 4 && width !== 8) fail(`LSNs of ${width} bytes are unknown`);
  if (view.getUint8(DATA_CONTINUES) > 1 || view.getUint8(3) !== 0) fail('unknown flags of a data block');
  const rowCount = rowCountOf(view);
  const stemCount = stemCountOf(view);
  const valuesLength = view.getUint32(DATA_VALUES_LENGTH);
  // All are below 2^32, so no sum is inexact.
  const length = DATA_VALUES + valuesLength + rowCount * (8 + width) + stemCount * STEM_ROW_BYTES;
  if (rowCount === 0 || stemCount === 0 || length !== bytes.length) {
    fail(`a data block of ${rowCount} values and ${bytes.length} bytes would have ${length}`);
  }
  if (!isExactU64(view, DATA_LSN_BASE)) fail('an LSN is at or above 2^53');
  checkEnds(view, rowCount, valuesLength, fail);
  checkOrder(view, rowCount, stemCount, fail);
}

function checkEnds(
  view: DataView,
  rowCount: number,
  valuesLength: number,
  fail: (reason: string) => never,
): void {
  const ends = endsOf(view);
  let before = 0;
  for (let row = 0; row < rowCount; row++) {
    const end = view.getUint32(ends + row * 4);
    if ((end & END_MASK) < before) fail(`value ${row} ends before it begins`);
    before = end & END_MASK;
  }
  if (before !== valuesLength) fail('the values are not as long as said');
}

function checkOrder(
  view: DataView,
  rowCount: number,
  stemCount: number,
  fail: (reason: string) => never,
): void {
  let row = 0;
  for (let stem = 0; stem < stemCount; stem++) {
    const at = stemAt(view, stem);
    if (stem > 0 && compareStems(view, stemAt(view, stem - 1), view, at) >= 0) fail('keys are out of order');
    const end = endRowOfStem(view, stem);
    if (view.getUint32(at + STEM_BYTES) !== row || end <= row || end > rowCount)
      fail('a stem has other values');
    row = checkRows(view, row, end, fail);
  }
}

/** Of one stem. */
function checkRows(view: DataView, start: number, end: number, fail: (reason: string) => never): number {
  const width = view.getUint8(DATA_LSN_BYTES);
  const base = readU64(view, DATA_LSN_BASE);
  const indexes = indexesOf(view);
  const lsns = lsnsOf(view);
  let indexBefore = -1;
  let lsnBefore = -1;
  for (let row = start; row < end; row++) {
    const index = view.getUint32(indexes + row * 4);
    const at = lsns + row * width;
    if (width === 8 && !isExactU64(view, at)) fail('an LSN is at or above 2^53');
    const lsn = width === 0 ? base : base + (width === 4 ? view.getUint32(at) : readU64(view, at));
    if (lsn >= LSN_LIMIT) fail('an LSN is at or above 2^53');
    if (index < indexBefore || (index === indexBefore && lsn <= lsnBefore)) {
      fail(`value ${row} is out of order`);
    }
    indexBefore = index;
    lsnBefore = lsn;
  }
  return end;
}
