import {
  HASH_BUCKET_PAGE,
  HASH_FLAG,
  HASH_OPAQUE,
  HASH_OVERFLOW_PAGE,
  HASH_PAGE_HAS_DEAD_TUPLES,
  HASH_PAGE_TYPE,
  HASH_UNUSED_PAGE,
} from '../../postgres/page/hash-page.ts';
import type { Page } from '../../postgres/page/page.ts';
import { requireSpecialSpace } from '../index-tuples.ts';
import {
  maskLpFlags,
  maskPageContent,
  maskPageHintBits,
  maskPageLsnAndChecksum,
  maskUnusedSpace,
} from './common.ts';

/** hash_mask (hash_xlog.c). What is on an unused page does not matter, and marks of dead tuples are not logged. */
export function maskHash(page: Page): void {
  const { view } = page;
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  maskUnusedSpace(page);
  requireSpecialSpace(page, HASH_OPAQUE);
  const type = view.getUint16(HASH_FLAG, true) & HASH_PAGE_TYPE;
  if (type === HASH_UNUSED_PAGE) maskPageContent(page);
  else if (type === HASH_BUCKET_PAGE || type === HASH_OVERFLOW_PAGE) maskLpFlags(page);
  view.setUint16(HASH_FLAG, view.getUint16(HASH_FLAG, true) & ~HASH_PAGE_HAS_DEAD_TUPLES, true);
}
