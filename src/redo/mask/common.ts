/**
 * The parts that the masks of several resource managers have in common (access/common/bufmask.c). Masked bytes
 * become zero, as PostgreSQL's MASK_MARKER is zero.
 */
import {
  LINE_UNUSED,
  lineCount,
  lineFlags,
  linePointerOffset,
  PAGE_ALL_VISIBLE,
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_FULL,
  PAGE_HAS_FREE_LINES,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_UPPER,
  type Page,
  setPageLsn,
} from '../../postgres/page/page.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { checkPagePointers } from '../page-items.ts';

/** mask_page_lsn_and_checksum. */
export function maskPageLsnAndChecksum(page: Page): void {
  setPageLsn(page, 0, 0);
  page.view.setUint16(PAGE_CHECKSUM, 0, true);
}

/** mask_page_hint_bits: prune xid and all flags, which may change without WAL. */
export function maskPageHintBits(page: Page): void {
  const { view } = page;
  view.setUint32(PAGE_PRUNE_XID, 0, true);
  const hints = PAGE_FULL | PAGE_HAS_FREE_LINES | PAGE_ALL_VISIBLE;
  view.setUint16(PAGE_FLAGS, view.getUint16(PAGE_FLAGS, true) & ~hints, true);
}

/**
 * mask_unused_space: the bytes between the line pointers and the items.
 * @throws RedoFailure where the page's pointers are out of order.
 */
export function maskUnusedSpace(page: Page): void {
  checkPagePointers(page);
  page.bytes.fill(0, page.view.getUint16(PAGE_LOWER, true), page.view.getUint16(PAGE_UPPER, true));
}

/** mask_lp_flags: flags of the line pointers in use, which some index access methods set without WAL. */
export function maskLpFlags(page: Page): void {
  const { view } = page;
  const lines = lineCount(page);
  for (let line = 1; line <= lines; line++) {
    const offset = linePointerOffset(line);
    const pointer = view.getUint32(offset, true);
    if (lineFlags(pointer) !== LINE_UNUSED) view.setUint32(offset, (pointer & ~(3 << 15)) >>> 0, true);
  }
}

/** mask_page_content: everything but the header, and the header's lower and upper. For deleted index pages. */
export function maskPageContent(page: Page): void {
  page.bytes.fill(0, PAGE_HEADER_BYTES, BLOCK_BYTES);
  page.view.setUint16(PAGE_LOWER, 0, true);
  page.view.setUint16(PAGE_UPPER, 0, true);
}
