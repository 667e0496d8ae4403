import {
  BRIN_EVACUATE_PAGE,
  BRIN_PAGE_FLAGS,
  BRIN_PAGE_TYPE,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_SPECIAL,
} from '../../postgres/page/brin-page.ts';
import { isNewPage, PAGE_HEADER_BYTES, PAGE_LOWER, type Page } from '../../postgres/page/page.ts';
import { requireSpecialSpace } from '../index-tuples.ts';
import { maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * brin_mask (brin_xlog.c). Revmap pages use all of their space while their pd_lower says that it is free; the flag
 * "evacuate" is never logged.
 *
 * @throws RedoFailure where the page is no BRIN page.
 */
export function maskBrin(page: Page): void {
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  if (isNewPage(page)) return;
  requireSpecialSpace(page, BRIN_SPECIAL);
  const { view } = page;
  const type = view.getUint16(BRIN_PAGE_TYPE, true);
  const hasLower = view.getUint16(PAGE_LOWER, true) > PAGE_HEADER_BYTES;
  if (type === BRIN_PAGETYPE_REGULAR || (type === BRIN_PAGETYPE_META && hasLower)) maskUnusedSpace(page);
  view.setUint16(BRIN_PAGE_FLAGS, view.getUint16(BRIN_PAGE_FLAGS, true) & ~BRIN_EVACUATE_PAGE, true);
}
