import { GIN_DELETED, GIN_FLAGS, GIN_OPAQUE } from '../../postgres/page/gin-page.ts';
import { isNewPage, PAGE_HEADER_BYTES, PAGE_LOWER, type Page } from '../../postgres/page/page.ts';
import { requireSpecialSpace } from '../index-tuples.ts';
import { maskPageContent, maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * gin_mask (ginxlog.c). Replay makes deleted pages of the pending list empty, which the server that deleted them does
 * not; and pages that versions before 9.4 wrote do not have a pd_lower to go by.
 *
 * @throws RedoFailure where the page is no GIN page.
 */
export function maskGin(page: Page): void {
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  if (isNewPage(page)) return;
  requireSpecialSpace(page, GIN_OPAQUE);
  if ((page.view.getUint16(GIN_FLAGS, true) & GIN_DELETED) !== 0) maskPageContent(page);
  else if (page.view.getUint16(PAGE_LOWER, true) > PAGE_HEADER_BYTES) maskUnusedSpace(page);
}
