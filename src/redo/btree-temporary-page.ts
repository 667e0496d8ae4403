import { BTREE_OPAQUE, BTREE_OPAQUE_BYTES, initializeBtreePage } from '../postgres/page/btree-page.ts';
import { lineCount, Page } from '../postgres/page/page.ts';
import { requireSpecialSpace } from './index-tuples.ts';
import { addIndexItem } from './page-items.ts';

/**
 * Where a page is rebuilt item by item, so that its items lie in the order of their lines without gaps, as they do
 * on PostgreSQL's. Redo runs to its end without a pause, so one serves all pages of a thread.
 */
export const temporaryPage: Page = new Page();

/** PageGetTempPageCopySpecial: an empty page with the special space of `page`, which must be a btree page. */
export function startTemporaryPage(page: Page): void {
  requireSpecialSpace(page, BTREE_OPAQUE);
  initializeBtreePage(temporaryPage);
  for (let offset = BTREE_OPAQUE; offset < BTREE_OPAQUE + BTREE_OPAQUE_BYTES; offset += 4) {
    temporaryPage.view.setUint32(offset, page.view.getUint32(offset, true), true);
  }
}

/** PageAddItem at the end of the temporary page. The caller has checked that the bytes lie within `source`. */
export function appendToTemporaryPage(
  source: Uint8Array,
  view: DataView,
  offset: number,
  length: number,
): void {
  addIndexItem(temporaryPage, lineCount(temporaryPage) + 1, source, view, offset, length);
}

/** PageRestoreTempPage: header and all; the caller's caller stamps the LSN. */
export function finishTemporaryPage(page: Page): void {
  page.bytes.set(temporaryPage.bytes);
}
