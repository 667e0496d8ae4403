/** Btree pages that redo makes from nothing but the record (nbtxlog.c). */
import {
  BTREE_ALTERNATIVE_TID,
  BTREE_DELETED,
  BTREE_DELETED_LOWER,
  BTREE_FLAGS,
  BTREE_HALF_DEAD,
  BTREE_HAS_FULL_XID,
  BTREE_HIGH_KEY_LINE,
  BTREE_LEAF,
  BTREE_LEVEL,
  BTREE_MAGIC,
  BTREE_META,
  BTREE_META_ALL_EQUAL_IMAGE,
  BTREE_META_FAST_LEVEL,
  BTREE_META_FAST_ROOT,
  BTREE_META_LAST_CLEANUP_DELETED_PAGES,
  BTREE_META_LAST_CLEANUP_HEAP_TUPLES,
  BTREE_META_LEVEL,
  BTREE_META_LOWER,
  BTREE_META_MAGIC,
  BTREE_META_ROOT,
  BTREE_META_VERSION,
  BTREE_NEXT,
  BTREE_NO_BLOCK,
  BTREE_NOVAC_VERSION,
  BTREE_OPAQUE,
  BTREE_PREVIOUS,
  BTREE_ROOT,
  BTREE_SAFE_XID,
  BTREE_VERSION,
  initializeBtreePage,
} from '../postgres/page/btree-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, INDEX_TUPLE_INFO } from '../postgres/page/index-tuple.ts';
import { INVALID_OFFSET_NUMBER, setItemPointer } from '../postgres/page/item-pointer.ts';
import {
  LINE_NORMAL,
  LINE_POINTER_BYTES,
  linePointerOffset,
  makeLinePointer,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_UPPER,
  type Page,
} from '../postgres/page/page.ts';
import {
  BTREE_HALFDEAD_BYTES,
  BTREE_HALFDEAD_LEFT_BLOCK,
  BTREE_HALFDEAD_RIGHT_BLOCK,
  BTREE_HALFDEAD_TOP_PARENT,
  BTREE_METADATA_ALL_EQUAL_IMAGE,
  BTREE_METADATA_BYTES,
  BTREE_METADATA_FAST_LEVEL,
  BTREE_METADATA_FAST_ROOT,
  BTREE_METADATA_LAST_CLEANUP_DELETED_PAGES,
  BTREE_METADATA_LEVEL,
  BTREE_METADATA_ROOT,
  BTREE_METADATA_VERSION,
  BTREE_NEWROOT_BYTES,
  BTREE_NEWROOT_LEVEL,
  BTREE_SPLIT_BYTES,
  BTREE_SPLIT_LEVEL,
  BTREE_UNLINK_BYTES,
  BTREE_UNLINK_LEAF_LEFT_SIBLING,
  BTREE_UNLINK_LEAF_RIGHT_SIBLING,
  BTREE_UNLINK_LEAF_TOP_PARENT,
  BTREE_UNLINK_LEFT_SIBLING,
  BTREE_UNLINK_LEVEL,
  BTREE_UNLINK_RIGHT_SIBLING,
  BTREE_UNLINK_SAFE_XID,
} from '../postgres/rmgr/btree-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { recordTupleBytes, requireBlockData, requireInitialized, requireMainData } from './index-tuples.ts';
import { reserveItem } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** Where the tuples of a record begin in its data. Scratch space: as many as fit on a page at all. */
const tupleStarts = new Uint16Array((BTREE_OPAQUE - PAGE_HEADER_BYTES) / INDEX_TUPLE_HEADER_BYTES);

function setOpaque(page: Page, previous: number, next: number, level: number, flags: number): void {
  const { view } = page;
  view.setUint32(BTREE_PREVIOUS, previous, true);
  view.setUint32(BTREE_NEXT, next, true);
  view.setUint32(BTREE_LEVEL, level, true);
  view.setUint16(BTREE_FLAGS, flags, true);
}

/**
 * _bt_restore_page: the data of the block reference are the item space of the page as it was, hence its tuples from
 * the last to the first. The page has just been initialised.
 */
function restoreItems(page: Page, record: DecodedRecord, blockId: number): void {
  const dataOffset = record.blockDataOffset[blockId] as number;
  const length = record.blockDataLength[blockId] as number;
  requireRedo(
    length > 0 && length <= BTREE_OPAQUE - PAGE_HEADER_BYTES,
    'the tuples of the page do not fit on it',
  );
  let count = 0;
  for (let position = 0; position < length; count++) {
    tupleStarts[count] = position;
    position += recordTupleBytes(record.view, dataOffset + position, length - position);
  }
  const upper = BTREE_OPAQUE - length;
  const lower = PAGE_HEADER_BYTES + count * LINE_POINTER_BYTES;
  requireRedo(lower <= upper, 'the line pointers of the page do not fit on it');
  page.bytes.set(record.bytes.subarray(dataOffset, dataOffset + length), upper);
  let end = length;
  for (let index = count - 1; index >= 0; index--) {
    const start = tupleStarts[index] as number;
    const pointer = makeLinePointer(upper + start, LINE_NORMAL, end - start);
    page.view.setUint32(linePointerOffset(count - index), pointer, true);
    end = start;
  }
  page.view.setUint16(PAGE_LOWER, lower, true);
  page.view.setUint16(PAGE_UPPER, upper, true);
}

/** _bt_restore_meta. */
export function restoreMetaPage(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireInitialized(record, blockId);
  requireBlockData(record, blockId, BTREE_METADATA_BYTES);
  const from = record.view;
  const data = record.blockDataOffset[blockId] as number;
  const version = from.getUint32(data + BTREE_METADATA_VERSION, true);
  if (version < BTREE_NOVAC_VERSION || version > BTREE_VERSION)
    failRedo(`btree version ${version} is unknown`);
  const { view } = page;
  initializeBtreePage(page);
  view.setUint32(BTREE_META_MAGIC, BTREE_MAGIC, true);
  view.setUint32(BTREE_META_VERSION, version, true);
  view.setUint32(BTREE_META_ROOT, from.getUint32(data + BTREE_METADATA_ROOT, true), true);
  view.setUint32(BTREE_META_LEVEL, from.getUint32(data + BTREE_METADATA_LEVEL, true), true);
  view.setUint32(BTREE_META_FAST_ROOT, from.getUint32(data + BTREE_METADATA_FAST_ROOT, true), true);
  view.setUint32(BTREE_META_FAST_LEVEL, from.getUint32(data + BTREE_METADATA_FAST_LEVEL, true), true);
  view.setUint32(
    BTREE_META_LAST_CLEANUP_DELETED_PAGES,
    from.getUint32(data + BTREE_METADATA_LAST_CLEANUP_DELETED_PAGES, true),
    true,
  );
  view.setFloat64(BTREE_META_LAST_CLEANUP_HEAP_TUPLES, -1, true);
  view.setUint8(
    BTREE_META_ALL_EQUAL_IMAGE,
    from.getUint8(data + BTREE_METADATA_ALL_EQUAL_IMAGE) === 0 ? 0 : 1,
  );
  view.setUint16(BTREE_FLAGS, BTREE_META, true);
  // Without this the metadata would lie in the hole of full-page images.
  view.setUint16(PAGE_LOWER, BTREE_META_LOWER, true);
  return true;
}

/** btree_xlog_split, block 1: the right page. */
export function makeRightPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 1);
  requireMainData(record, BTREE_SPLIT_BYTES);
  requireRedo(record.hasBlock(0), 'a split without its left page');
  const level = record.view.getUint32(record.mainDataOffset + BTREE_SPLIT_LEVEL, true);
  const next = record.hasBlock(2) ? (record.blockNumber[2] as number) : BTREE_NO_BLOCK;
  initializeBtreePage(page);
  setOpaque(page, record.blockNumber[0] as number, next, level, level === 0 ? BTREE_LEAF : 0);
  restoreItems(page, record, 1);
  return true;
}

/** btree_xlog_newroot, block 0: an empty leaf, or two tuples that lead to the halves of the former root. */
export function makeRoot(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireMainData(record, BTREE_NEWROOT_BYTES);
  const level = record.view.getUint32(record.mainDataOffset + BTREE_NEWROOT_LEVEL, true);
  initializeBtreePage(page);
  setOpaque(page, BTREE_NO_BLOCK, BTREE_NO_BLOCK, level, level === 0 ? BTREE_ROOT | BTREE_LEAF : BTREE_ROOT);
  if (level === 0) requireBlockData(record, 0, 0);
  else restoreItems(page, record, 0);
  return true;
}

/**
 * A half-dead leaf: its only tuple is a dummy high key with the block number of the topmost page of the subtree that
 * goes (InvalidBlockNumber where that is the leaf itself).
 */
function makeHalfDeadLeaf(page: Page, previous: number, next: number, topParent: number): boolean {
  initializeBtreePage(page);
  setOpaque(page, previous, next, 0, BTREE_HALF_DEAD | BTREE_LEAF);
  const tuple = reserveItem(page, BTREE_HIGH_KEY_LINE, INDEX_TUPLE_HEADER_BYTES, false, false);
  setItemPointer(page.view, tuple, topParent, INVALID_OFFSET_NUMBER);
  page.view.setUint16(tuple + INDEX_TUPLE_INFO, INDEX_TUPLE_HEADER_BYTES | BTREE_ALTERNATIVE_TID, true);
  return true;
}

/** btree_xlog_mark_page_halfdead, block 0: the leaf. */
export function markLeafHalfDead(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireMainData(record, BTREE_HALFDEAD_BYTES);
  const { view, mainDataOffset } = record;
  const previous = view.getUint32(mainDataOffset + BTREE_HALFDEAD_LEFT_BLOCK, true);
  const next = view.getUint32(mainDataOffset + BTREE_HALFDEAD_RIGHT_BLOCK, true);
  const topParent = view.getUint32(mainDataOffset + BTREE_HALFDEAD_TOP_PARENT, true);
  return makeHalfDeadLeaf(page, previous, next, topParent);
}

/** btree_xlog_unlink_page, block 3: the leaf of the subtree, whose top parent is now one level further down. */
export function relinkHalfDeadLeaf(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 3);
  requireMainData(record, BTREE_UNLINK_BYTES);
  const { view, mainDataOffset } = record;
  const previous = view.getUint32(mainDataOffset + BTREE_UNLINK_LEAF_LEFT_SIBLING, true);
  const next = view.getUint32(mainDataOffset + BTREE_UNLINK_LEAF_RIGHT_SIBLING, true);
  const topParent = view.getUint32(mainDataOffset + BTREE_UNLINK_LEAF_TOP_PARENT, true);
  return makeHalfDeadLeaf(page, previous, next, topParent);
}

/** btree_xlog_unlink_page, block 0, and BTPageSetDeleted (nbtree.h): an empty page that is no longer in the tree. */
export function makeDeletedPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireMainData(record, BTREE_UNLINK_BYTES);
  const { view: from, mainDataOffset } = record;
  const level = from.getUint32(mainDataOffset + BTREE_UNLINK_LEVEL, true);
  initializeBtreePage(page);
  setOpaque(
    page,
    from.getUint32(mainDataOffset + BTREE_UNLINK_LEFT_SIBLING, true),
    from.getUint32(mainDataOffset + BTREE_UNLINK_RIGHT_SIBLING, true),
    level,
    BTREE_DELETED | BTREE_HAS_FULL_XID | (level === 0 ? BTREE_LEAF : 0),
  );
  const { view } = page;
  view.setUint32(BTREE_SAFE_XID, from.getUint32(mainDataOffset + BTREE_UNLINK_SAFE_XID, true), true);
  view.setUint32(BTREE_SAFE_XID + 4, from.getUint32(mainDataOffset + BTREE_UNLINK_SAFE_XID + 4, true), true);
  view.setUint16(PAGE_LOWER, BTREE_DELETED_LOWER, true);
  return true;
}
