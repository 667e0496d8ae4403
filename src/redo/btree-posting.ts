/** Posting lists: leaf tuples that hold several heap TIDs after their key (nbtdedup.c). */
import { BTREE_ALTERNATIVE_TID, BTREE_IS_POSTING, BTREE_OFFSET_MASK } from '../postgres/page/btree-page.ts';
import {
  INDEX_SIZE_MASK,
  INDEX_TUPLE_HEADER_BYTES,
  INDEX_TUPLE_INFO,
  indexTupleSize,
} from '../postgres/page/index-tuple.ts';
import {
  ITEM_POINTER_BYTES,
  ITEM_POINTER_OFFSET_NUMBER,
  itemPointerBlock,
  itemPointerOffsetNumber,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import type { Page } from '../postgres/page/page.ts';
import { failRedo } from './redo-failure.ts';

/** BTreeTupleIsPosting. */
export function isPosting(view: DataView, tuple: number): boolean {
  return (
    (view.getUint16(tuple + INDEX_TUPLE_INFO, true) & BTREE_ALTERNATIVE_TID) !== 0 &&
    (itemPointerOffsetNumber(view, tuple) & BTREE_IS_POSTING) !== 0
  );
}

/** BTreeTupleIsPivot: the tuple has no heap TID of its own. */
export function isPivot(view: DataView, tuple: number): boolean {
  return (
    (view.getUint16(tuple + INDEX_TUPLE_INFO, true) & BTREE_ALTERNATIVE_TID) !== 0 &&
    (itemPointerOffsetNumber(view, tuple) & BTREE_IS_POSTING) === 0
  );
}

/** BTreeTupleGetNPosting of a tuple that is a posting list. */
export function postingCount(view: DataView, tuple: number): number {
  return itemPointerOffsetNumber(view, tuple) & BTREE_OFFSET_MASK;
}

/**
 * BTreeTupleGetPostingOffset: bytes of a posting list tuple before its TIDs. The tuple itself has been bounded; this
 * checks that its TIDs lie within it.
 */
export function postingKeyBytes(view: DataView, tuple: number): number {
  if (!isPosting(view, tuple)) failRedo('the tuple is no posting list');
  const keyBytes = itemPointerBlock(view, tuple);
  const end = keyBytes + postingCount(view, tuple) * ITEM_POINTER_BYTES;
  if (keyBytes < INDEX_TUPLE_HEADER_BYTES || (keyBytes & 7) !== 0 || end > indexTupleSize(view, tuple)) {
    failRedo('the posting list does not lie within its tuple');
  }
  return keyBytes;
}

/**
 * Writes the header of a tuple whose key has been copied to `tuple`: its new size, and for a posting list (two TIDs
 * or more) where it begins and how long it is (_bt_form_posting). A single TID remains to be written by the caller.
 */
export function setTupleHeader(
  view: DataView,
  tuple: number,
  size: number,
  keyBytes: number,
  count: number,
): void {
  let info = (view.getUint16(tuple + INDEX_TUPLE_INFO, true) & ~INDEX_SIZE_MASK) | size;
  if (count > 1) {
    info |= BTREE_ALTERNATIVE_TID;
    setItemPointer(view, tuple, keyBytes, count | BTREE_IS_POSTING);
  } else {
    info &= ~BTREE_ALTERNATIVE_TID;
  }
  view.setUint16(tuple + INDEX_TUPLE_INFO, info, true);
}

/** Copies one heap TID. */
export function copyTid(
  target: DataView,
  targetOffset: number,
  source: DataView,
  sourceOffset: number,
): void {
  target.setUint32(targetOffset, source.getUint32(sourceOffset, true), true);
  target.setUint16(
    targetOffset + ITEM_POINTER_OFFSET_NUMBER,
    source.getUint16(sourceOffset + ITEM_POINTER_OFFSET_NUMBER, true),
    true,
  );
}

/**
 * _bt_swap_posting: puts the TID of the new tuple (at `newTuple` of `newView`) at position `postingOffset` of the
 * posting list at `posting` on the page, in place. Its last TID drops out for that and is written over the TID of
 * the new tuple's final version, at `finalTuple` of `finalView`.
 */
export function swapPosting(
  page: Page,
  posting: number,
  postingOffset: number,
  newView: DataView,
  newTuple: number,
  finalView: DataView,
  finalTuple: number,
): void {
  const { view } = page;
  const list = posting + postingKeyBytes(view, posting);
  const count = postingCount(view, posting);
  if (postingOffset < 1 || postingOffset >= count) {
    failRedo(`a posting list of ${count} entries cannot be split at ${postingOffset}`);
  }
  const gap = list + postingOffset * ITEM_POINTER_BYTES;
  const last = list + (count - 1) * ITEM_POINTER_BYTES;
  copyTid(finalView, finalTuple, view, last);
  page.bytes.copyWithin(gap + ITEM_POINTER_BYTES, gap, last);
  copyTid(view, gap, newView, newTuple);
}
