/** Merging of equal leaf tuples into posting lists (nbtxlog.c, btree_xlog_dedup; nbtdedup.c). */

import { copyBytes } from '../base/bytes.ts';
import {
  BTREE_FLAGS,
  BTREE_HAS_GARBAGE,
  BTREE_HIGH_KEY_LINE,
  BTREE_ITEM_BYTES_MAX,
  BTREE_NEXT,
  BTREE_NO_BLOCK,
} from '../postgres/page/btree-page.ts';
import { indexTupleSize } from '../postgres/page/index-tuple.ts';
import { ITEM_POINTER_BYTES } from '../postgres/page/item-pointer.ts';
import { lineCount, lineItemLength, linePointerOffset, maxAlign, type Page } from '../postgres/page/page.ts';
import {
  BTREE_DEDUP_BYTES,
  BTREE_DEDUP_INTERVAL_BYTES,
  BTREE_DEDUP_INTERVALS,
} from '../postgres/rmgr/btree-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import {
  copyTid,
  isPivot,
  isPosting,
  postingCount,
  postingKeyBytes,
  setTupleHeader,
} from './btree-posting.ts';
import {
  appendToTemporaryPage,
  finishTemporaryPage,
  startTemporaryPage,
  temporaryPage,
} from './btree-temporary-page.ts';
import { getIndexTupleOffset, requireBlockData, requireMainData } from './index-tuples.ts';
import { reserveItem } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** How many heap TIDs the tuples of `itemCount` lines from `firstLine` on have, after checking all of them. */
function countTids(page: Page, firstLine: number, itemCount: number): number {
  let count = 0;
  for (let line = firstLine; line < firstLine + itemCount; line++) {
    const tuple = getIndexTupleOffset(page, line);
    if (isPosting(page.view, tuple)) {
      postingKeyBytes(page.view, tuple);
      count += postingCount(page.view, tuple);
    } else {
      if (isPivot(page.view, tuple)) failRedo(`line ${line} holds no leaf tuple`);
      count++;
    }
  }
  return count;
}

/** _bt_form_posting and _bt_dedup_finish_pending: one tuple with the first line's key and all lines' TIDs. */
function mergeItems(page: Page, firstLine: number, itemCount: number): void {
  const { view } = page;
  const tidCount = countTids(page, firstLine, itemCount);
  const base = getIndexTupleOffset(page, firstLine);
  const keyBytes = isPosting(view, base) ? postingKeyBytes(view, base) : indexTupleSize(view, base);
  const size = maxAlign(keyBytes + tidCount * ITEM_POINTER_BYTES);
  if ((keyBytes & 7) !== 0) failRedo(`the key of line ${firstLine} is not aligned`);
  if (size > BTREE_ITEM_BYTES_MAX) failRedo(`the merged posting list would have ${size} bytes`);
  const target = temporaryPage.view;
  const tuple = reserveItem(temporaryPage, lineCount(temporaryPage) + 1, size, false, false);
  copyBytes(temporaryPage.bytes, target, tuple, page.bytes, view, base, keyBytes);
  setTupleHeader(target, tuple, size, keyBytes, tidCount);
  let list = tuple + keyBytes;
  for (let line = firstLine; line < firstLine + itemCount; line++) {
    const source = getIndexTupleOffset(page, line);
    if (!isPosting(view, source)) {
      copyTid(target, list, view, source);
      list += ITEM_POINTER_BYTES;
      continue;
    }
    const length = postingCount(view, source) * ITEM_POINTER_BYTES;
    const sourceList = source + postingKeyBytes(view, source);
    copyBytes(temporaryPage.bytes, target, list, page.bytes, view, sourceList, length);
    list += length;
  }
}

/**
 * btree_xlog_dedup, block 0. The data of the block are intervals (first line, number of lines) in ascending order;
 * the lines of each become one posting list, all others stay as they are.
 */
export function deduplicatePage(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_DEDUP_BYTES);
  const { view } = record;
  const intervalCount = view.getUint16(record.mainDataOffset + BTREE_DEDUP_INTERVALS, true);
  requireBlockData(record, 0, intervalCount * BTREE_DEDUP_INTERVAL_BYTES);
  startTemporaryPage(page);
  const last = lineCount(page);
  let line = BTREE_HIGH_KEY_LINE;
  if (page.view.getUint32(BTREE_NEXT, true) !== BTREE_NO_BLOCK) {
    const highKey = getIndexTupleOffset(page, BTREE_HIGH_KEY_LINE);
    const length = lineItemLength(page.view.getUint32(linePointerOffset(BTREE_HIGH_KEY_LINE), true));
    appendToTemporaryPage(page.bytes, page.view, highKey, length);
    line++;
  }
  requireRedo(line <= last, 'a page without items cannot be deduplicated');
  let interval = record.blockDataOffset[0] as number;
  const intervalsEnd = interval + intervalCount * BTREE_DEDUP_INTERVAL_BYTES;
  while (line <= last) {
    if (interval < intervalsEnd && view.getUint16(interval, true) === line) {
      const itemCount = view.getUint16(interval + 2, true);
      requireRedo(
        itemCount > 1 && itemCount <= last - line + 1,
        'an interval of lines to be merged is out of bounds',
      );
      mergeItems(page, line, itemCount);
      line += itemCount;
      interval += BTREE_DEDUP_INTERVAL_BYTES;
    } else {
      // _bt_dedup_finish_pending adds a single tuple with its own size, not with that of its line.
      const tuple = getIndexTupleOffset(page, line);
      appendToTemporaryPage(page.bytes, page.view, tuple, indexTupleSize(page.view, tuple));
      line++;
    }
  }
  requireRedo(interval === intervalsEnd, 'the lines to be merged are not on the page or out of order');
  finishTemporaryPage(page);
  page.view.setUint16(BTREE_FLAGS, page.view.getUint16(BTREE_FLAGS, true) & ~BTREE_HAS_GARBAGE, true);
  return true;
}
