/** Deletion of tuples, and of single heap TIDs, from a leaf page (nbtxlog.c, btree_xlog_vacuum and _delete). */
import { copyBytes } from '../base/bytes.ts';
import { BTREE_FLAGS, BTREE_HAS_GARBAGE, BTREE_OPAQUE } from '../postgres/page/btree-page.ts';
import { ITEM_POINTER_BYTES } from '../postgres/page/item-pointer.ts';
import { maxAlign, Page } from '../postgres/page/page.ts';
import {
  BTREE_DELETE_BYTES,
  BTREE_DELETE_DELETED,
  BTREE_DELETE_UPDATED,
  BTREE_VACUUM_BYTES,
  BTREE_VACUUM_DELETED,
  BTREE_VACUUM_UPDATED,
} from '../postgres/rmgr/btree-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { copyTid, postingCount, postingKeyBytes, setTupleHeader } from './btree-posting.ts';
import { getIndexTupleOffset, requireMainData, requireSpecialSpace } from './index-tuples.ts';
import { deleteIndexItems, reserveOverwrite } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** The new version of a posting list is made here, at offset 0. */
const updatedTuple = new Page();

/**
 * _bt_update_posting: replaces the posting list of a line by one without the TIDs whose indexes stand, ascending, as
 * u16 at `deleted` of the record. One TID that remains alone makes a plain tuple.
 */
function updatePosting(
  page: Page,
  line: number,
  record: DecodedRecord,
  deleted: number,
  deletedCount: number,
): void {
  const { view } = page;
  const tuple = getIndexTupleOffset(page, line);
  const keyBytes = postingKeyBytes(view, tuple);
  const oldCount = postingCount(view, tuple);
  const count = oldCount - deletedCount;
  if (count < 1 || count >= oldCount)
    failRedo(`${deletedCount} of ${oldCount} TIDs of line ${line} cannot be deleted`);
  const size = count > 1 ? maxAlign(keyBytes + count * ITEM_POINTER_BYTES) : keyBytes;
  const target = updatedTuple.view;
  copyBytes(updatedTuple.bytes, target, 0, page.bytes, view, tuple, keyBytes);
  setTupleHeader(target, 0, size, keyBytes, count);
  let position = count > 1 ? keyBytes : 0;
  const end = position + count * ITEM_POINTER_BYTES;
  let passed = 0;
  for (let index = 0; index < oldCount; index++) {
    if (passed < deletedCount && record.view.getUint16(deleted + passed * 2, true) === index) {
      passed++;
      continue;
    }
    if (position === end) failRedo(`the TIDs of line ${line} to be deleted are not there or out of order`);
    copyTid(target, position, view, tuple + keyBytes + index * ITEM_POINTER_BYTES);
    position += ITEM_POINTER_BYTES;
  }
  if (count > 1) updatedTuple.bytes.fill(0, end, size);
  const newTuple = reserveOverwrite(page, line, size);
  copyBytes(page.bytes, view, newTuple, updatedTuple.bytes, target, 0, size);
}

/**
 * btree_xlog_updates. At `updates` of the record stand, for each of `updatedCount` lines, the number of TIDs to be
 * deleted and their indexes; the lines themselves stand at `lines`.
 */
function updatePostings(
  page: Page,
  record: DecodedRecord,
  lines: number,
  updates: number,
  updatedCount: number,
  end: number,
): void {
  let update = updates;
  for (let index = 0; index < updatedCount; index++) {
    requireRedo(update + 2 <= end, 'the block data end within an updated posting list');
    const deletedCount = record.view.getUint16(update, true);
    const next = update + 2 + deletedCount * 2;
    requireRedo(next <= end, 'the block data end within an updated posting list');
    updatePosting(page, record.view.getUint16(lines + index * 2, true), record, update + 2, deletedCount);
    update = next;
  }
  requireRedo(update === end, 'unexplained bytes after the last updated posting list');
}

/** Updates come first, while the line numbers are still those of the record. */
function deleteTuples(
  page: Page,
  record: DecodedRecord,
  deletedCount: number,
  updatedCount: number,
): boolean {
  requireSpecialSpace(page, BTREE_OPAQUE);
  const deletedLines = record.blockDataOffset[0] as number;
  const end = deletedLines + (record.blockDataLength[0] as number);
  const updatedLines = deletedLines + deletedCount * 2;
  const updates = updatedLines + updatedCount * 2;
  requireRedo(updates <= end, 'the block data are shorter than their counts');
  updatePostings(page, record, updatedLines, updates, updatedCount, end);
  if (deletedCount > 0) deleteIndexItems(page, record.view, deletedLines, deletedCount);
  page.view.setUint16(BTREE_FLAGS, page.view.getUint16(BTREE_FLAGS, true) & ~BTREE_HAS_GARBAGE, true);
  return true;
}

/** btree_xlog_vacuum, block 0. */
export function vacuumLeaf(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_VACUUM_BYTES);
  const { view, mainDataOffset } = record;
  const deletedCount = view.getUint16(mainDataOffset + BTREE_VACUUM_DELETED, true);
  return deleteTuples(
    page,
    record,
    deletedCount,
    view.getUint16(mainDataOffset + BTREE_VACUUM_UPDATED, true),
  );
}

/** btree_xlog_delete, block 0. */
export function deleteFromLeaf(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BTREE_DELETE_BYTES);
  const { view, mainDataOffset } = record;
  const deletedCount = view.getUint16(mainDataOffset + BTREE_DELETE_DELETED, true);
  return deleteTuples(
    page,
    record,
    deletedCount,
    view.getUint16(mainDataOffset + BTREE_DELETE_UPDATED, true),
  );
}
