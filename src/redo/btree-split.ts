/** The left page of a btree split (nbtxlog.c, btree_xlog_split). */
import {
  BTREE_CYCLE_ID,
  BTREE_FLAGS,
  BTREE_HIGH_KEY_LINE,
  BTREE_INCOMPLETE_SPLIT,
  BTREE_LEAF,
  BTREE_NEXT,
  BTREE_NO_BLOCK,
} from '../postgres/page/btree-page.ts';
import { lineCount, lineItemLength, linePointerOffset, type Page } from '../postgres/page/page.ts';
import {
  BTREE_SPLIT_BYTES,
  BTREE_SPLIT_FIRST_RIGHT_OFFSET,
  BTREE_SPLIT_LEVEL,
  BTREE_SPLIT_NEW_ITEM_OFFSET,
  BTREE_SPLIT_POSTING_OFFSET,
} from '../postgres/rmgr/btree-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { copyTid, swapPosting } from './btree-posting.ts';
import {
  appendToTemporaryPage,
  finishTemporaryPage,
  startTemporaryPage,
  temporaryPage,
} from './btree-temporary-page.ts';
import { getIndexTupleOffset, recordTupleBytes, requireMainData } from './index-tuples.ts';
import { requireRedo } from './redo-failure.ts';

/** Six bytes of the TID that a posting list split gives to the new tuple. */
const finalTid = new DataView(new ArrayBuffer(6));

/** Adds the tuple of a line of the old page with the length of its line, as PageAddItem does with ItemIdGetLength. */
function keepItem(page: Page, line: number): void {
  const tuple = getIndexTupleOffset(page, line);
  const length = lineItemLength(page.view.getUint32(linePointerOffset(line), true));
  appendToTemporaryPage(page.bytes, page.view, tuple, length);
}

/**
 * Changes the posting list of line `line` on the old page, in place, and leaves the new tuple's final TID in
 * `finalTid`. The old page is thrown away afterwards, so that it may serve as _bt_swap_posting's copy.
 */
function splitPosting(
  page: Page,
  line: number,
  postingOffset: number,
  record: DecodedRecord,
  tuple: number,
): void {
  swapPosting(page, getIndexTupleOffset(page, line), postingOffset, record.view, tuple, finalTid, 0);
}

function addNewItem(record: DecodedRecord, offset: number, length: number, hasFinalTid: boolean): void {
  appendToTemporaryPage(record.bytes, record.view, offset, length);
  if (!hasFinalTid) return;
  copyTid(temporaryPage.view, getIndexTupleOffset(temporaryPage, lineCount(temporaryPage)), finalTid, 0);
}

/**
 * btree_xlog_split, block 0. The page's items before `firstrightoff` stay and get a new high key; the new item is
 * among them if it went to the left. The data of the block are the new item, where it is needed, and the high key.
 */
export function splitLeftPage(page: Page, record: DecodedRecord, newItemOnLeft: boolean): boolean {
  requireMainData(record, BTREE_SPLIT_BYTES);
  requireRedo(record.hasBlock(1), 'a split without its right page');
  const { view, bytes, mainDataOffset } = record;
  const firstRight = view.getUint16(mainDataOffset + BTREE_SPLIT_FIRST_RIGHT_OFFSET, true);
  const newItemLine = view.getUint16(mainDataOffset + BTREE_SPLIT_NEW_ITEM_OFFSET, true);
  const postingOffset = view.getUint16(mainDataOffset + BTREE_SPLIT_POSTING_OFFSET, true);
  const newItem = record.blockDataOffset[0] as number;
  const length = record.blockDataLength[0] as number;
  let newItemBytes = 0;
  if (newItemOnLeft || postingOffset !== 0) newItemBytes = recordTupleBytes(view, newItem, length);
  const highKey = newItem + newItemBytes;
  const highKeyBytes = recordTupleBytes(view, highKey, length - newItemBytes);
  requireRedo(newItemBytes + highKeyBytes === length, 'unexplained bytes after the high key');
  requireRedo(firstRight <= lineCount(page) + 1, 'the split point is beyond the end of the page');

  startTemporaryPage(page);
  const isRightmost = page.view.getUint32(BTREE_NEXT, true) === BTREE_NO_BLOCK;
  let line = isRightmost ? BTREE_HIGH_KEY_LINE : BTREE_HIGH_KEY_LINE + 1;
  requireRedo(
    !newItemOnLeft || (newItemLine >= line && newItemLine <= firstRight),
    'the new item does not belong on the left page',
  );
  // The posting list to be split is the item before the new one.
  if (postingOffset !== 0) splitPosting(page, newItemLine - 1, postingOffset, record, newItem);
  appendToTemporaryPage(bytes, view, highKey, highKeyBytes);
  for (; line < firstRight; line++) {
    if (newItemOnLeft && line === newItemLine) addNewItem(record, newItem, newItemBytes, postingOffset !== 0);
    keepItem(page, line);
  }
  // The new item may also be the last one on the left.
  if (newItemOnLeft && line === newItemLine) addNewItem(record, newItem, newItemBytes, postingOffset !== 0);

  finishTemporaryPage(page);
  const isLeaf = view.getUint32(mainDataOffset + BTREE_SPLIT_LEVEL, true) === 0;
  page.view.setUint16(
    BTREE_FLAGS,
    isLeaf ? BTREE_INCOMPLETE_SPLIT | BTREE_LEAF : BTREE_INCOMPLETE_SPLIT,
    true,
  );
  page.view.setUint32(BTREE_NEXT, record.blockNumber[1] as number, true);
  page.view.setUint16(BTREE_CYCLE_ID, 0, true);
  return true;
}
