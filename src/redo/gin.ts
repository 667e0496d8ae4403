/** Replay of GIN records (access/gin/ginxlog.c). No page that is restored from an image is changed after that. */
import { UnknownRecordError } from '../base/errors.ts';
import {
  GIN_DATA,
  GIN_DATA_CONTENTS,
  GIN_DATA_CONTENTS_BYTES_MAX,
  GIN_DELETED,
  GIN_FLAGS,
  GIN_INCOMPLETE_SPLIT,
  GIN_LEAF,
  GIN_MAXOFF,
  GIN_OPAQUE,
  GIN_RIGHT_LINK,
  POSTING_ITEM_BYTES,
  POSTING_ITEM_CHILD_BLOCK,
} from '../postgres/page/gin-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, INDEX_TUPLE_TID, indexTupleSize } from '../postgres/page/index-tuple.ts';
import {
  INVALID_BLOCK_NUMBER,
  INVALID_OFFSET_NUMBER,
  itemPointerBlock,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import { PAGE_LOWER, PAGE_PRUNE_XID, type Page } from '../postgres/page/page.ts';
import { ginResourceManager } from '../postgres/rmgr/gin.ts';
import {
  GIN_DELETE_PAGE_BYTES,
  GIN_DELETE_PAGE_PARENT_OFFSET,
  GIN_DELETE_PAGE_RIGHT_LINK,
  GIN_DELETE_PAGE_XID,
  GIN_INSERT_BYTES,
  GIN_INSERT_CHILDREN_BYTES,
  GIN_INSERT_ENTRY_IS_DELETE,
  GIN_INSERT_ENTRY_OFFSET,
  GIN_INSERT_ENTRY_TUPLE,
  GIN_INSERT_INTERNAL_BYTES,
  GIN_INSERT_INTERNAL_ITEM,
  GIN_INSERT_INTERNAL_OFFSET,
  GIN_INSERT_ISDATA,
  GIN_INSERT_ISLEAF,
  GIN_INSERT_RIGHT_CHILD,
  GIN_INSERT_VALID_FLAGS,
  GIN_SPLIT_BYTES,
  GIN_SPLIT_FLAGS,
  GIN_SPLIT_ROOT,
  GIN_SPLIT_VALID_FLAGS,
  XLOG_GIN_CREATE_PTREE,
  XLOG_GIN_DELETE_LISTPAGE,
  XLOG_GIN_DELETE_PAGE,
  XLOG_GIN_INSERT,
  XLOG_GIN_INSERT_LISTPAGE,
  XLOG_GIN_SPLIT,
  XLOG_GIN_UPDATE_META_PAGE,
  XLOG_GIN_VACUUM_DATA_LEAF_PAGE,
  XLOG_GIN_VACUUM_PAGE,
} from '../postgres/rmgr/gin-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { recompressDataLeaf } from './gin-data-leaf.ts';
import {
  createPostingTree,
  fillListPage,
  initializeDeletedListPage,
  initializeMetaPage,
  updateListTail,
} from './gin-new-pages.ts';
import { requireMainData, requireSpecialSpace } from './index-tuples.ts';
import { addIndexItem, deleteIndexItem, getItemOffset } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** gin_redo. */
export function redoGin(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_GIN_CREATE_PTREE:
      if (blockId === 0) return createPostingTree(page, record);
      break;
    case XLOG_GIN_INSERT:
      if (blockId === 0) return insert(page, record);
      if (blockId === 1) return completeChildSplit(page, record, blockId, insertFlags(record));
      break;
    case XLOG_GIN_SPLIT:
      return replaySplit(page, record, blockId);
    case XLOG_GIN_VACUUM_PAGE:
      requireMainData(record, 0);
      if (blockId === 0) return failRedo('the record of a vacuumed page has no image of it to be restored');
      break;
    case XLOG_GIN_VACUUM_DATA_LEAF_PAGE:
      if (blockId === 0) return vacuumDataLeaf(page, record);
      break;
    case XLOG_GIN_DELETE_PAGE:
      if (blockId <= 2) return deletePage(page, record, blockId);
      break;
    case XLOG_GIN_UPDATE_META_PAGE:
      if (blockId === 0) return initializeMetaPage(page, record);
      if (blockId === 1) return updateListTail(page, record);
      break;
    case XLOG_GIN_INSERT_LISTPAGE:
      if (blockId === 0) return fillListPage(page, record);
      break;
    case XLOG_GIN_DELETE_LISTPAGE:
      if (blockId === 0) return initializeMetaPage(page, record);
      return initializeDeletedListPage(page, record, blockId);
    default:
      throw new UnknownRecordError(ginResourceManager.name, record.info, record.startLsn);
  }
  return failRedo('this kind of GIN record has no such block reference');
}

/** Refuses a page that is to be changed and is none of GIN's, or that the record announces as new. */
function requireOldGinPage(page: Page, record: DecodedRecord, blockId: number): void {
  requireRedo(!record.willInitialize(blockId), 'the record initialises a page that its kind only changes');
  requireSpecialSpace(page, GIN_OPAQUE);
}

/** The same of a page whose place in which tree is known, as flags GIN_DATA and GIN_LEAF. */
function requireTreePage(page: Page, record: DecodedRecord, flags: number): void {
  requireOldGinPage(page, record, 0);
  const found = page.view.getUint16(GIN_FLAGS, true) & (GIN_DATA | GIN_LEAF);
  if (found !== flags) failRedo(`the page has the flags ${found} where the record expects ${flags}`);
}

/** Flags of ginxlogInsert, after a check of the whole main data. */
function insertFlags(record: DecodedRecord): number {
  requireRedo(record.mainDataLength >= GIN_INSERT_BYTES, 'the main data are cut off');
  const flags = record.view.getUint16(record.mainDataOffset, true);
  if ((flags & ~GIN_INSERT_VALID_FLAGS) !== 0) failRedo(`an insertion has the unknown flags ${flags}`);
  requireMainData(record, (flags & GIN_INSERT_ISLEAF) !== 0 ? GIN_INSERT_BYTES : GIN_INSERT_CHILDREN_BYTES);
  return flags;
}

/** ginRedoClearIncompleteSplit: the left half of the split that an insertion or a split one level up completes. */
function completeChildSplit(page: Page, record: DecodedRecord, blockId: number, flags: number): boolean {
  requireRedo((flags & GIN_INSERT_ISLEAF) === 0, 'a change of a leaf completes no split');
  requireOldGinPage(page, record, blockId);
  page.view.setUint16(GIN_FLAGS, page.view.getUint16(GIN_FLAGS, true) & ~GIN_INCOMPLETE_SPLIT, true);
  return true;
}

/** ginRedoInsert: the page itself. */
function insert(page: Page, record: DecodedRecord): boolean {
  const flags = insertFlags(record);
  const isLeaf = (flags & GIN_INSERT_ISLEAF) !== 0;
  const isData = (flags & GIN_INSERT_ISDATA) !== 0;
  requireTreePage(page, record, (isData ? GIN_DATA : 0) | (isLeaf ? GIN_LEAF : 0));
  const rightChild = isLeaf
    ? INVALID_BLOCK_NUMBER
    : itemPointerBlock(record.view, record.mainDataOffset + GIN_INSERT_RIGHT_CHILD);
  if (!isData) insertEntry(page, record, isLeaf, rightChild);
  else if (isLeaf) recompressDataLeaf(page, record);
  else insertPostingItem(page, record, rightChild);
  return true;
}

/**
 * ginRedoInsertEntry: a tuple for a page of the entry tree. On an inner page the tuple that had its place pointed to
 * the child that was split, and now points to the right half.
 */
function insertEntry(page: Page, record: DecodedRecord, isLeaf: boolean, rightChild: number): void {
  const { view } = record;
  const data = record.blockDataOffset[0] as number;
  const size = (record.blockDataLength[0] as number) - GIN_INSERT_ENTRY_TUPLE;
  requireRedo(size >= INDEX_TUPLE_HEADER_BYTES, 'the index tuple is cut off');
  const tuple = data + GIN_INSERT_ENTRY_TUPLE;
  requireRedo(indexTupleSize(view, tuple) === size, 'the index tuple has another size than its data');
  const offsetNumber = view.getUint16(data + GIN_INSERT_ENTRY_OFFSET, true);
  if (rightChild !== INVALID_BLOCK_NUMBER) {
    const item = getItemOffset(page, offsetNumber, INDEX_TUPLE_HEADER_BYTES);
    setItemPointer(page.view, item + INDEX_TUPLE_TID, rightChild, INVALID_OFFSET_NUMBER);
  }
  if (view.getUint8(data + GIN_INSERT_ENTRY_IS_DELETE) !== 0) {
    requireRedo(isLeaf, 'a tuple of an inner page cannot be replaced');
    deleteIndexItem(page, offsetNumber);
  }
  addIndexItem(page, offsetNumber, record.bytes, view, tuple, size);
}

/** Number of posting items on an inner page of a posting tree, which all lie on it. */
function postingItemCount(page: Page): number {
  const count = page.view.getUint16(GIN_MAXOFF, true);
  if (count * POSTING_ITEM_BYTES > GIN_DATA_CONTENTS_BYTES_MAX)
    failRedo(`a page cannot have ${count} posting items`);
  return count;
}

/** Writes the number of posting items, and pd_lower after the last of them (GinDataPageSetDataSize). */
function setPostingItemCount(page: Page, count: number): void {
  page.view.setUint16(GIN_MAXOFF, count, true);
  page.view.setUint16(PAGE_LOWER, GIN_DATA_CONTENTS + count * POSTING_ITEM_BYTES, true);
}

/** Where posting item `offsetNumber` begins, which must be one of `count`. */
function postingItemPosition(offsetNumber: number, count: number): number {
  if (offsetNumber < 1 || offsetNumber > count)
    failRedo(`posting item ${offsetNumber} is none of the page's ${count}`);
  return GIN_DATA_CONTENTS + (offsetNumber - 1) * POSTING_ITEM_BYTES;
}

/**
 * ginRedoInsertData and GinDataPageAddPostingItem, for an inner page: the item that had the new one's place pointed
 * to the child that was split, and now points to the right half.
 */
function insertPostingItem(page: Page, record: DecodedRecord, rightChild: number): void {
  requireRedo(record.blockDataLength[0] === GIN_INSERT_INTERNAL_BYTES, 'the posting item has a wrong length');
  const { bytes, view } = page;
  const data = record.blockDataOffset[0] as number;
  const count = postingItemCount(page);
  const position = postingItemPosition(record.view.getUint16(data + GIN_INSERT_INTERNAL_OFFSET, true), count);
  const end = GIN_DATA_CONTENTS + count * POSTING_ITEM_BYTES;
  if (end + POSTING_ITEM_BYTES > GIN_OPAQUE) failRedo(`no room for a posting item after ${count}`);
  const child = position + POSTING_ITEM_CHILD_BLOCK;
  view.setUint16(child, rightChild >>> 16, true);
  view.setUint16(child + 2, rightChild & 0xffff, true);
  bytes.copyWithin(position + POSTING_ITEM_BYTES, position, end);
  const item = data + GIN_INSERT_INTERNAL_ITEM;
  for (let byte = 0; byte < POSTING_ITEM_BYTES; byte++)
    bytes[position + byte] = record.bytes[item + byte] as number;
  setPostingItemCount(page, count + 1);
}

/** ginRedoSplit: all pages but the child come as images, so they never get here. */
function replaySplit(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireMainData(record, GIN_SPLIT_BYTES);
  const flags = record.view.getUint16(record.mainDataOffset + GIN_SPLIT_FLAGS, true);
  if ((flags & ~GIN_SPLIT_VALID_FLAGS) !== 0) failRedo(`a split has the unknown flags ${flags}`);
  if (blockId === 3) return completeChildSplit(page, record, blockId, flags);
  if (blockId < 2 || (blockId === 2 && (flags & GIN_SPLIT_ROOT) !== 0)) {
    return failRedo('the record of a split has no image of the page to be restored');
  }
  return failRedo('this split has no such block reference');
}

function vacuumDataLeaf(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, 0);
  requireTreePage(page, record, GIN_DATA | GIN_LEAF);
  recompressDataLeaf(page, record);
  return true;
}

/** ginRedoDeletePage: a page of a posting tree (block 0) goes, and its parent (1) and left sibling (2) forget it. */
function deletePage(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireMainData(record, GIN_DELETE_PAGE_BYTES);
  requireOldGinPage(page, record, blockId);
  const main = record.mainDataOffset;
  const { view } = page;
  const flags = view.getUint16(GIN_FLAGS, true);
  requireRedo((flags & GIN_DATA) !== 0, 'the page is of no posting tree');
  if (blockId === 0) {
    view.setUint16(GIN_FLAGS, flags | GIN_DELETED, true);
    view.setUint32(PAGE_PRUNE_XID, record.view.getUint32(main + GIN_DELETE_PAGE_XID, true), true);
  } else if (blockId === 1) {
    requireRedo((flags & GIN_LEAF) === 0, 'a leaf is not the parent of a page');
    deletePostingItem(page, record.view.getUint16(main + GIN_DELETE_PAGE_PARENT_OFFSET, true));
  } else {
    view.setUint32(GIN_RIGHT_LINK, record.view.getUint32(main + GIN_DELETE_PAGE_RIGHT_LINK, true), true);
  }
  return true;
}

/** GinPageDeletePostingItem (gindatapage.c). */
function deletePostingItem(page: Page, offsetNumber: number): void {
  const count = postingItemCount(page);
  const position = postingItemPosition(offsetNumber, count);
  const end = GIN_DATA_CONTENTS + count * POSTING_ITEM_BYTES;
  page.bytes.copyWithin(position, position + POSTING_ITEM_BYTES, end);
  setPostingItemCount(page, count - 1);
}
