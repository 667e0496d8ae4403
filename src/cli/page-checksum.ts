import { computePageChecksum } from '../postgres/page/checksum.ts';
import { isNewPage, PAGE_CHECKSUM, type Page } from '../postgres/page/page.ts';

/**
 * - `none`: the page has none, as in a cluster without data checksums, or is all zeros
 * - `torn`: its header says that it is new, but it is not all zeros
 */
export type ChecksumState = 'right' | 'wrong' | 'none' | 'torn';

/** PageIsVerifiedExtended (bufpage.c). `expected` is there unless the page is new. */
export function checkPageChecksum(
  page: Page,
  block: number,
): { readonly state: ChecksumState; readonly expected?: number } {
  if (isNewPage(page)) return { state: page.bytes.every((byte) => byte === 0) ? 'none' : 'torn' };
  const expected = computePageChecksum(page, block);
  const found = page.view.getUint16(PAGE_CHECKSUM, true);
  if (found === 0) return { state: 'none', expected };
  return { state: found === expected ? 'right' : 'wrong', expected };
}
