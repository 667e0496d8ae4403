import {
  GIST_FLAGS,
  GIST_FOLLOW_RIGHT,
  GIST_HAS_GARBAGE,
  GIST_LEAF,
  GIST_NSN_HIGH,
  GIST_NSN_LOW,
  GIST_OPAQUE,
  GIST_TUPLES_DELETED,
} from '../../postgres/page/gist-page.ts';
import { PAGE_SPECIAL, type Page } from '../../postgres/page/page.ts';
import { requireRedo } from '../redo-failure.ts';
import { maskLpFlags, maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * gist_mask (gistxlog.c). The NSN is an LSN; the flag "follow right" and the line pointers' flags of leaves change
 * without WAL of their own, and replay never marks a page as having garbage.
 *
 * PostgreSQL does not mask the flag "tuples deleted", and its own consistency check stops at DELETE records: their
 * replay sets the flag, gistprunepage does not (17.11). Nothing reads it, so it is masked here.
 *
 * @throws RedoFailure where the page is no GiST page.
 */
export function maskGist(page: Page): void {
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  maskUnusedSpace(page);
  const { view } = page;
  requireRedo(view.getUint16(PAGE_SPECIAL, true) === GIST_OPAQUE, 'the page is not a GiST page');
  view.setUint32(GIST_NSN_HIGH, 0, true);
  view.setUint32(GIST_NSN_LOW, 0, true);
  const flags = view.getUint16(GIST_FLAGS, true);
  if ((flags & GIST_LEAF) !== 0) maskLpFlags(page);
  const masked = GIST_HAS_GARBAGE | GIST_TUPLES_DELETED;
  view.setUint16(GIST_FLAGS, (flags | GIST_FOLLOW_RIGHT) & ~masked, true);
}
