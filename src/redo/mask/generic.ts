import type { Page } from '../../postgres/page/page.ts';
import { maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * generic_mask (generic_xlog.c).
 *
 * @throws RedoFailure where the page's pointers are out of order.
 */
export function maskGeneric(page: Page): void {
  maskPageLsnAndChecksum(page);
  maskUnusedSpace(page);
}
