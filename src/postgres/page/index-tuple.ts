/** The header of an index tuple (itup.h: IndexTupleData). */
import { ITEM_POINTER_BYTES } from './item-pointer.ts';

/** t_tid: the heap tuple, or in an inner page the page below. */
export const INDEX_TUPLE_TID = 0;
/** t_info: the tuple's size and flags. */
export const INDEX_TUPLE_INFO = ITEM_POINTER_BYTES;
/** sizeof(IndexTupleData): t_tid 6 + t_info 2. */
export const INDEX_TUPLE_HEADER_BYTES: number = ITEM_POINTER_BYTES + 2;

/** Bits of t_info. */
export const INDEX_SIZE_MASK = 0x1fff;
export const INDEX_AM_RESERVED_BIT = 0x2000;
export const INDEX_VAR_MASK = 0x4000;
export const INDEX_NULL_MASK = 0x8000;

/** IndexTupleSize: bytes of the tuple at `offset`, header and all, as the tuple itself says. */
export function indexTupleSize(view: DataView, offset: number): number {
  return view.getUint16(offset + INDEX_TUPLE_INFO, true) & INDEX_SIZE_MASK;
}
