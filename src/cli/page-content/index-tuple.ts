import {
  INDEX_NULL_MASK,
  INDEX_TUPLE_HEADER_BYTES,
  INDEX_TUPLE_INFO,
  INDEX_TUPLE_TID,
  INDEX_VAR_MASK,
  indexTupleSize,
} from '../../postgres/page/index-tuple.ts';
import { itemPointerBlock } from '../../postgres/page/item-pointer.ts';
import { type FieldValues, flagNames, type ItemBytes, tidText } from './page-content.ts';

/** What all index tuples have but for their t_tid. The key has the null bitmap before it if there is one. */
export function describeIndexTuple({ bytes, view }: ItemBytes, offset = 0): FieldValues {
  const info = view.getUint16(offset + INDEX_TUPLE_INFO, true);
  const size = indexTupleSize(view, offset);
  return {
    size,
    info: flagNames(info & (INDEX_NULL_MASK | INDEX_VAR_MASK), {
      NULLS: INDEX_NULL_MASK,
      VARWIDTH: INDEX_VAR_MASK,
    }),
    key: bytes.subarray(
      offset + INDEX_TUPLE_HEADER_BYTES,
      Math.max(offset + size, offset + INDEX_TUPLE_HEADER_BYTES),
    ),
  };
}

/** A tuple of a leaf names a tuple of the heap. */
export function describeLeafTuple(item: ItemBytes): FieldValues {
  return { tid: tidText(item.view, INDEX_TUPLE_TID), ...describeIndexTuple(item) };
}

/** A tuple of an inner page names a page below. */
export function describeInnerTuple(item: ItemBytes): FieldValues {
  return { child: itemPointerBlock(item.view, INDEX_TUPLE_TID), ...describeIndexTuple(item) };
}
