import { PAGE_HEADER_BYTES, PAGE_LOWER, type Page } from '../../postgres/page/page.ts';
import { maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * spg_mask (spgxlog.c).
 *
 * @throws RedoFailure where the page's pointers are out of order and its lower end is not below the header's.
 */
export function maskSpgist(page: Page): void {
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  if (page.view.getUint16(PAGE_LOWER, true) >= PAGE_HEADER_BYTES) maskUnusedSpace(page);
}
