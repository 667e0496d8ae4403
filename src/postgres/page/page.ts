import { BLOCK_BYTES } from '../wal/record-header.ts';

/** Offsets in a data page's header (bufpage.h: PageHeaderData). */
export const PAGE_LSN_HIGH = 0;
export const PAGE_LSN_LOW = 4;
export const PAGE_CHECKSUM = 8;
export const PAGE_FLAGS = 10;
export const PAGE_LOWER = 12;
export const PAGE_UPPER = 14;
export const PAGE_SPECIAL = 16;
export const PAGE_SIZE_VERSION = 18;
export const PAGE_PRUNE_XID = 20;
/** LSN 8 + checksum 2 + flags 2 + lower 2 + upper 2 + special 2 + size and version 2 + prune xid 4. */
export const PAGE_HEADER_BYTES: number = 8 + 2 + 2 + 2 + 2 + 2 + 2 + 4;

/** pd_flags. */
export const PAGE_HAS_FREE_LINES = 0x0001;
export const PAGE_FULL = 0x0002;
export const PAGE_ALL_VISIBLE = 0x0004;
export const PAGE_VALID_FLAGS = 0x0007;

/** PG_PAGE_LAYOUT_VERSION. */
export const PAGE_LAYOUT_VERSION = 4;

/** Bytes of a line pointer (itemid.h: ItemIdData): offset 15 bits, flags 2 bits, length 15 bits. */
export const LINE_POINTER_BYTES = 4;
export const LINE_UNUSED = 0;
export const LINE_NORMAL = 1;
export const LINE_REDIRECT = 2;
export const LINE_DEAD = 3;

/**
 * One data page of 8192 bytes in a buffer of its own, so that no offset, however wrong, can reach beyond it.
 * `bytes` and `view` show the same memory.
 */
export class Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** `bytes`, if given, must be exactly one page; it is shared, not copied. */
  constructor(bytes: Uint8Array = new Uint8Array(BLOCK_BYTES)) {
    if (bytes.length !== BLOCK_BYTES)
      throw new RangeError(`a page has ${BLOCK_BYTES} bytes, not ${bytes.length}`);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_BYTES);
  }
}

/** Rounds up to MAXALIGN. */
export function maxAlign(length: number): number {
  return (length + 7) & ~7;
}

/** PageIsNew: nothing has ever been put on it. */
export function isNewPage(page: Page): boolean {
  return page.view.getUint16(PAGE_UPPER, true) === 0;
}

/** The page's LSN as a number. Beyond 2^53 (only possible in a damaged page) it is merely a very large number. */
export function getPageLsn(page: Page): number {
  return page.view.getUint32(PAGE_LSN_HIGH, true) * 0x1_0000_0000 + page.view.getUint32(PAGE_LSN_LOW, true);
}

export function setPageLsn(page: Page, high: number, low: number): void {
  page.view.setUint32(PAGE_LSN_HIGH, high, true);
  page.view.setUint32(PAGE_LSN_LOW, low, true);
}

/** PageInit: an empty page whose special space is `specialBytes` (aligned up) long. All other bytes become zero. */
export function initializePage(page: Page, specialBytes: number): void {
  const special = BLOCK_BYTES - maxAlign(specialBytes);
  page.bytes.fill(0);
  page.view.setUint16(PAGE_LOWER, PAGE_HEADER_BYTES, true);
  page.view.setUint16(PAGE_UPPER, special, true);
  page.view.setUint16(PAGE_SPECIAL, special, true);
  page.view.setUint16(PAGE_SIZE_VERSION, BLOCK_BYTES | PAGE_LAYOUT_VERSION, true);
}

/** PageGetMaxOffsetNumber: how many line pointers there are, also where pd_lower is damaged. */
export function lineCount(page: Page): number {
  const lower = page.view.getUint16(PAGE_LOWER, true);
  if (lower <= PAGE_HEADER_BYTES) return 0;
  return ((lower > BLOCK_BYTES ? BLOCK_BYTES : lower) - PAGE_HEADER_BYTES) >>> 2;
}

/** Offset of line pointer `offsetNumber` (1-based) on the page. The caller has checked the number. */
export function linePointerOffset(offsetNumber: number): number {
  return PAGE_HEADER_BYTES + (offsetNumber - 1) * LINE_POINTER_BYTES;
}

export function lineItemOffset(linePointer: number): number {
  return linePointer & 0x7fff;
}

export function lineFlags(linePointer: number): number {
  return (linePointer >>> 15) & 3;
}

export function lineItemLength(linePointer: number): number {
  return linePointer >>> 17;
}

export function makeLinePointer(itemOffset: number, flags: number, itemLength: number): number {
  return ((itemLength << 17) | (flags << 15) | itemOffset) >>> 0;
}
