import {
  BTREE_CYCLE_ID,
  BTREE_FLAGS,
  BTREE_HAS_GARBAGE,
  BTREE_LEAF,
  BTREE_OPAQUE,
  BTREE_SPLIT_END,
} from '../../postgres/page/btree-page.ts';
import type { Page } from '../../postgres/page/page.ts';
import { requireSpecialSpace } from '../index-tuples.ts';
import { maskLpFlags, maskPageHintBits, maskPageLsnAndChecksum, maskUnusedSpace } from './common.ts';

/**
 * btree_mask (nbtxlog.c). Replay of a split gives the right page neither the end-of-group flag nor a cycle id, and
 * marks of dead tuples are not logged.
 */
export function maskBtree(page: Page): void {
  const { view } = page;
  maskPageLsnAndChecksum(page);
  maskPageHintBits(page);
  maskUnusedSpace(page);
  requireSpecialSpace(page, BTREE_OPAQUE);
  const flags = view.getUint16(BTREE_FLAGS, true);
  if ((flags & BTREE_LEAF) !== 0) maskLpFlags(page);
  view.setUint16(BTREE_FLAGS, flags & ~(BTREE_HAS_GARBAGE | BTREE_SPLIT_END), true);
  view.setUint16(BTREE_CYCLE_ID, 0, true);
}
