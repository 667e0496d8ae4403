import {
  HEAP_XACT_MASK,
  HEAP_XMAX_COMMITTED,
  HEAP_XMAX_INVALID,
  HEAP_XMIN_FROZEN,
  SPECULATIVE_TOKEN_OFFSET_NUMBER,
  TUPLE_CID,
  TUPLE_CTID,
  TUPLE_HEADER_BYTES,
  TUPLE_INFOMASK,
} from '../../postgres/page/heap-tuple.ts';
import { itemPointerOffsetNumber, setItemPointer } from '../../postgres/page/item-pointer.ts';
import {
  LINE_NORMAL,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  maxAlign,
  PAGE_HEADER_BYTES,
} from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { failRedo } from '../redo-failure.ts';
import type { MaskFunction } from '../redo-types.ts';
import { maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/** Hint bits, which are set without WAL, the command id, and a speculative token, which WAL does not hold. */
function maskTuple(view: DataView, tuple: number, blockNumber: number, line: number): void {
  const infomask = view.getUint16(tuple + TUPLE_INFOMASK, true);
  const isFrozen = (infomask & HEAP_XMIN_FROZEN) === HEAP_XMIN_FROZEN;
  const masked = isFrozen ? HEAP_XMAX_INVALID | HEAP_XMAX_COMMITTED : HEAP_XACT_MASK;
  view.setUint16(tuple + TUPLE_INFOMASK, infomask & ~masked, true);
  view.setUint32(tuple + TUPLE_CID, 0, true);
  if (itemPointerOffsetNumber(view, tuple + TUPLE_CTID) === SPECULATIVE_TOKEN_OFFSET_NUMBER) {
    setItemPointer(view, tuple + TUPLE_CTID, blockNumber, line);
  }
}

/**
 * heap_mask (access/heap/heapam.c), for Heap and Heap2. It blanks out all of a page of the visibility map, which
 * has no items: that map has to be compared in another way.
 *
 * @throws RedoFailure where items do not lie on the page.
 */
export const maskHeap: MaskFunction = (page, blockNumber) => {
  const { bytes, view } = page;
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  maskUnusedSpace(page);
  const lines = lineCount(page);
  for (let line = 1; line <= lines; line++) {
    const pointer = view.getUint32(linePointerOffset(line), true);
    const length = lineItemLength(pointer);
    const offset = lineItemOffset(pointer);
    const isNormal = lineFlags(pointer) === LINE_NORMAL;
    if (!isNormal && length === 0) continue;
    const lengthMin = isNormal ? TUPLE_HEADER_BYTES : 0;
    if (length < lengthMin || offset < PAGE_HEADER_BYTES || offset + maxAlign(length) > BLOCK_BYTES) {
      failRedo(`line ${line} holds no item on the page`);
    }
    if (isNormal) maskTuple(view, offset, blockNumber, line);
    bytes.fill(0, offset + length, offset + maxAlign(length));
  }
};
