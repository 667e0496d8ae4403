/** Replay of GIN records that make pages anew, and of the list of pending entries (access/gin/ginxlog.c). */
import { copyBytes } from '../base/bytes.ts';
import {
  GIN_COMPRESSED,
  GIN_DATA,
  GIN_DATA_CONTENTS,
  GIN_DATA_CONTENTS_BYTES_MAX,
  GIN_DELETED,
  GIN_LEAF,
  GIN_LIST,
  GIN_LIST_FULLROW,
  GIN_MAXOFF,
  GIN_META,
  GIN_META_BLOCK,
  GIN_META_DATA,
  GIN_META_DATA_BYTES,
  GIN_OPAQUE,
  GIN_RIGHT_LINK,
  initializeGinPage,
} from '../postgres/page/gin-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from '../postgres/page/index-tuple.ts';
import { INVALID_BLOCK_NUMBER } from '../postgres/page/item-pointer.ts';
import { lineCount, PAGE_LOWER, type Page } from '../postgres/page/page.ts';
import {
  GIN_CREATE_PTREE_BYTES,
  GIN_DELETE_LISTPAGE_BYTES,
  GIN_DELETE_LISTPAGE_COUNT,
  GIN_DELETE_LISTPAGE_METADATA,
  GIN_INSERT_LISTPAGE_BYTES,
  GIN_INSERT_LISTPAGE_RIGHT_LINK,
  GIN_INSERT_LISTPAGE_TUPLE_COUNT,
  GIN_UPDATE_META_BYTES,
  GIN_UPDATE_META_METADATA,
  GIN_UPDATE_META_NEW_RIGHT_LINK,
  GIN_UPDATE_META_PREVIOUS_TAIL,
  GIN_UPDATE_META_TUPLE_COUNT,
  XLOG_GIN_UPDATE_META_PAGE,
} from '../postgres/rmgr/gin-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { requireInitialized, requireMainData, requireSpecialSpace } from './index-tuples.ts';
import { addIndexItem } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** ginRedoCreatePTree: a posting tree begins as one leaf. */
export function createPostingTree(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireRedo(record.mainDataLength >= GIN_CREATE_PTREE_BYTES, 'the main data are cut off');
  const size = record.view.getUint32(record.mainDataOffset, true);
  if (size > GIN_DATA_CONTENTS_BYTES_MAX) failRedo(`a page has no room for ${size} bytes of posting lists`);
  requireMainData(record, GIN_CREATE_PTREE_BYTES + size);
  initializeGinPage(page, GIN_DATA | GIN_LEAF | GIN_COMPRESSED);
  const source = record.mainDataOffset + GIN_CREATE_PTREE_BYTES;
  copyBytes(page.bytes, page.view, GIN_DATA_CONTENTS, record.bytes, record.view, source, size);
  page.view.setUint16(PAGE_LOWER, GIN_DATA_CONTENTS + size, true);
  return true;
}

/** Block 0 of ginRedoUpdateMetapage and ginRedoDeleteListPages: the meta page, which the record has whole. */
export function initializeMetaPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireRedo(record.blockNumber[0] === GIN_META_BLOCK, 'the meta page of a GIN index is its first block');
  const isUpdate = (record.info & ~RECORD_INFO_MASK) === XLOG_GIN_UPDATE_META_PAGE;
  requireMainData(record, isUpdate ? GIN_UPDATE_META_BYTES : GIN_DELETE_LISTPAGE_BYTES);
  const source = record.mainDataOffset + (isUpdate ? GIN_UPDATE_META_METADATA : GIN_DELETE_LISTPAGE_METADATA);
  initializeGinPage(page, GIN_META);
  copyBytes(page.bytes, page.view, GIN_META_DATA, record.bytes, record.view, source, GIN_META_DATA_BYTES);
  page.view.setUint16(PAGE_LOWER, GIN_META_DATA + GIN_META_DATA_BYTES, true);
  return true;
}

/**
 * Block 1 of ginRedoUpdateMetapage: what was the list's last page either gets the tuples of one more row, or a right
 * link to the pages that come after it now.
 */
export function updateListTail(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, GIN_UPDATE_META_BYTES);
  const main = record.mainDataOffset;
  const count = record.view.getInt32(main + GIN_UPDATE_META_TUPLE_COUNT, true);
  const previousTail = record.view.getUint32(main + GIN_UPDATE_META_PREVIOUS_TAIL, true);
  requireRedo(!record.willInitialize(1), 'the record initialises a page that its kind only changes');
  requireSpecialSpace(page, GIN_OPAQUE);
  const { view } = page;
  if (count > 0) {
    appendTuples(page, record, 1, count);
    view.setUint16(GIN_MAXOFF, view.getUint16(GIN_MAXOFF, true) + 1, true);
    return true;
  }
  requireRedo(
    count === 0 && previousTail !== INVALID_BLOCK_NUMBER,
    'the record has nothing to change on the page',
  );
  view.setUint32(GIN_RIGHT_LINK, record.view.getUint32(main + GIN_UPDATE_META_NEW_RIGHT_LINK, true), true);
  return true;
}

/** ginRedoInsertListPage. A page without a right sibling ends a row, so it counts one. */
export function fillListPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireMainData(record, GIN_INSERT_LISTPAGE_BYTES);
  const main = record.mainDataOffset;
  const rightLink = record.view.getUint32(main + GIN_INSERT_LISTPAGE_RIGHT_LINK, true);
  const isTail = rightLink === INVALID_BLOCK_NUMBER;
  initializeGinPage(page, isTail ? GIN_LIST | GIN_LIST_FULLROW : GIN_LIST);
  page.view.setUint32(GIN_RIGHT_LINK, rightLink, true);
  page.view.setUint16(GIN_MAXOFF, isTail ? 1 : 0, true);
  appendTuples(page, record, 0, record.view.getInt32(main + GIN_INSERT_LISTPAGE_TUPLE_COUNT, true));
  return true;
}

/** ginRedoDeleteListPages: one of the pages that left the list. */
export function initializeDeletedListPage(page: Page, record: DecodedRecord, blockId: number): boolean {
  requireInitialized(record, blockId);
  requireMainData(record, GIN_DELETE_LISTPAGE_BYTES);
  const count = record.view.getInt32(record.mainDataOffset + GIN_DELETE_LISTPAGE_COUNT, true);
  if (blockId > count) failRedo(`only the blocks 1 to ${count} are deleted`);
  initializeGinPage(page, GIN_DELETED);
  return true;
}

/** Appends the index tuples that make up all of the block's data, and must be `count`. */
function appendTuples(page: Page, record: DecodedRecord, blockId: number, count: number): void {
  let position = record.blockDataOffset[blockId] as number;
  const end = position + (record.blockDataLength[blockId] as number);
  let offsetNumber = lineCount(page) + 1;
  let added = 0;
  for (; position < end; added++) {
    requireRedo(added < count, 'the record has more index tuples than it announces');
    requireRedo(end - position >= INDEX_TUPLE_HEADER_BYTES, 'an index tuple is cut off');
    const size = indexTupleSize(record.view, position);
    requireRedo(
      size >= INDEX_TUPLE_HEADER_BYTES && size <= end - position,
      'an index tuple has an impossible size',
    );
    addIndexItem(page, offsetNumber, record.bytes, record.view, position, size);
    position += size;
    offsetNumber++;
  }
  requireRedo(added === count, 'the record has fewer index tuples than it announces');
}
