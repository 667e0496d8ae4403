/** References to a line of a page (itemptr.h: ItemPointerData), and the numbers that stand for none. */

/** ip_blkid.bi_hi 2 + ip_blkid.bi_lo 2 + ip_posid 2, aligned to two bytes. */
export const ITEM_POINTER_BYTES: number = 2 + 2 + 2;
export const ITEM_POINTER_BLOCK_HIGH = 0;
export const ITEM_POINTER_BLOCK_LOW = 2;
export const ITEM_POINTER_OFFSET_NUMBER = 4;

/** InvalidBlockNumber (block.h). */
export const INVALID_BLOCK_NUMBER = 0xffff_ffff;
/** InvalidOffsetNumber (off.h). */
export const INVALID_OFFSET_NUMBER = 0;

/** ItemPointerSet. The caller has checked that the six bytes lie within the view. */
export function setItemPointer(
  view: DataView,
  offset: number,
  blockNumber: number,
  offsetNumber: number,
): void {
  view.setUint16(offset + ITEM_POINTER_BLOCK_HIGH, blockNumber >>> 16, true);
  view.setUint16(offset + ITEM_POINTER_BLOCK_LOW, blockNumber & 0xffff, true);
  view.setUint16(offset + ITEM_POINTER_OFFSET_NUMBER, offsetNumber, true);
}

/** ItemPointerGetBlockNumberNoCheck. */
export function itemPointerBlock(view: DataView, offset: number): number {
  return (
    ((view.getUint16(offset + ITEM_POINTER_BLOCK_HIGH, true) << 16) |
      view.getUint16(offset + ITEM_POINTER_BLOCK_LOW, true)) >>>
    0
  );
}

/** ItemPointerGetOffsetNumberNoCheck. */
export function itemPointerOffsetNumber(view: DataView, offset: number): number {
  return view.getUint16(offset + ITEM_POINTER_OFFSET_NUMBER, true);
}
