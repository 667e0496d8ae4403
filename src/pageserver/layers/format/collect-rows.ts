import type { Block } from '../blocks.ts';
import type { FoundValues } from '../found-values.ts';
import {
  compareStems,
  continuesKey,
  countRowsOfStemBelow,
  findStem,
  rowCountOf,
  stemAt,
  stemCountOf,
} from './data-block.ts';
import {
  DATA_LSN_BASE,
  DATA_LSN_BYTES,
  DATA_VALUES,
  DATA_VALUES_LENGTH,
  END_FLAGS_SHIFT,
  END_MASK,
  readU64,
  STEM_BYTES,
} from './layout.ts';

/**
 * Adds to `found` what a data block has of a key with lsnStart <= LSN < lsnEnd, the newest first, up to a value that
 * needs no older one. Returns whether the block before may have more of it.
 */
export function collectRows(
  block: Block,
  key: DataView,
  lsnStart: number,
  lsnEnd: number,
  found: FoundValues,
): boolean {
  const { bytes, view } = block;
  const stem = findStem(view, key);
  if (stem === stemCountOf(view)) return false;
  const at = stemAt(view, stem);
  if (compareStems(view, at, key, 0) !== 0) return false;
  const firstRow = view.getUint32(at + STEM_BYTES);
  const index = key.getUint32(STEM_BYTES);
  let row = countRowsOfStemBelow(view, stem, index, lsnEnd) - 1;
  // Where the columns are, once for all rows: this is the hottest part of a read.
  const count = rowCountOf(view);
  const width = view.getUint8(DATA_LSN_BYTES);
  const lsnBase = readU64(view, DATA_LSN_BASE);
  const indexes = DATA_VALUES + view.getUint32(DATA_VALUES_LENGTH);
  const lsns = indexes + count * 4;
  const ends = lsns + count * width;
  for (; row >= firstRow; row--) {
    if (view.getUint32(indexes + row * 4) !== index) return false;
    const above = lsns + row * width;
    const lsn =
      width === 4 ? lsnBase + view.getUint32(above) : width === 0 ? lsnBase : lsnBase + readU64(view, above);
    if (lsn < lsnStart) return false;
    const start = row === 0 ? 0 : view.getUint32(ends + (row - 1) * 4) & END_MASK;
    const end = view.getUint32(ends + row * 4);
    found.push(bytes, view, DATA_VALUES + start, (end & END_MASK) - start, lsn, end >>> END_FLAGS_SHIFT);
    if (found.isComplete) return false;
  }
  return firstRow === 0 && continuesKey(view);
}
