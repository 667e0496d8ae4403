/** Replay of BRIN records (access/brin/brin_xlog.c). No page that is restored from an image is changed after that. */
import { copyBytes } from '../base/bytes.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  BRIN_META_LAST_REVMAP_PAGE,
  BRIN_META_LOWER,
  BRIN_META_MAGIC,
  BRIN_META_MAGIC_OFFSET,
  BRIN_META_PAGES_PER_RANGE,
  BRIN_META_VERSION,
  BRIN_PAGE_TYPE,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_PAGETYPE_REVMAP,
  BRIN_REVMAP_TIDS,
  BRIN_SPECIAL,
  BRIN_TUPLE_BLOCK,
  BRIN_TUPLE_HEADER_BYTES,
  initializeBrinPage,
  REVMAP_PAGE_MAXITEMS,
} from '../postgres/page/brin-page.ts';
import {
  INVALID_BLOCK_NUMBER,
  INVALID_OFFSET_NUMBER,
  ITEM_POINTER_BYTES,
  setItemPointer,
} from '../postgres/page/item-pointer.ts';
import { PAGE_LOWER, type Page } from '../postgres/page/page.ts';
import {
  BRIN_CREATE_BYTES,
  BRIN_CREATE_PAGES_PER_RANGE,
  BRIN_CREATE_VERSION,
  BRIN_DESUMMARIZE_BYTES,
  BRIN_DESUMMARIZE_HEAP_BLOCK,
  BRIN_DESUMMARIZE_OFFSET,
  BRIN_DESUMMARIZE_PAGES_PER_RANGE,
  BRIN_INSERT_BYTES,
  BRIN_INSERT_HEAP_BLOCK,
  BRIN_INSERT_OFFSET,
  BRIN_INSERT_PAGES_PER_RANGE,
  BRIN_REVMAP_EXTEND_BYTES,
  BRIN_REVMAP_EXTEND_TARGET,
  BRIN_SAMEPAGE_UPDATE_BYTES,
  BRIN_SAMEPAGE_UPDATE_OFFSET,
  BRIN_UPDATE_BYTES,
  BRIN_UPDATE_INSERT,
  BRIN_UPDATE_OLD_OFFSET,
  brinResourceManager,
  XLOG_BRIN_CREATE_INDEX,
  XLOG_BRIN_DESUMMARIZE,
  XLOG_BRIN_INIT_PAGE,
  XLOG_BRIN_INSERT,
  XLOG_BRIN_REVMAP_EXTEND,
  XLOG_BRIN_SAMEPAGE_UPDATE,
  XLOG_BRIN_UPDATE,
} from '../postgres/rmgr/brin.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../postgres/wal/record-header.ts';
import { requireInitialized, requireMainData, requireSpecialSpace } from './index-tuples.ts';
import { deleteIndexItemKeepingLine, reserveItem, reserveOverwrite } from './page-items.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

/** brin_redo. */
export function redoBrin(page: Page, record: DecodedRecord, blockId: number): boolean {
  switch (record.info & ~RECORD_INFO_MASK) {
    case XLOG_BRIN_CREATE_INDEX:
      if (blockId === 0) return createMetaPage(page, record);
      break;
    case XLOG_BRIN_INSERT:
    case XLOG_BRIN_INSERT | XLOG_BRIN_INIT_PAGE:
      requireMainData(record, BRIN_INSERT_BYTES);
      if (blockId === 0) return insertTuple(page, record, 0);
      if (blockId === 1) return setTupleOfRange(page, record, 0);
      break;
    case XLOG_BRIN_UPDATE:
    case XLOG_BRIN_UPDATE | XLOG_BRIN_INIT_PAGE:
      requireMainData(record, BRIN_UPDATE_BYTES);
      if (blockId === 0) return insertTuple(page, record, BRIN_UPDATE_INSERT);
      if (blockId === 1) return setTupleOfRange(page, record, BRIN_UPDATE_INSERT);
      if (blockId === 2) return deleteTuple(page, record, blockId, BRIN_UPDATE_OLD_OFFSET);
      break;
    case XLOG_BRIN_SAMEPAGE_UPDATE:
      if (blockId === 0) return replaceTuple(page, record);
      break;
    case XLOG_BRIN_REVMAP_EXTEND:
      requireMainData(record, BRIN_REVMAP_EXTEND_BYTES);
      if (blockId === 0) return extendRevmap(page, record);
      if (blockId === 1) return createRevmapPage(page, record);
      break;
    case XLOG_BRIN_DESUMMARIZE:
      requireMainData(record, BRIN_DESUMMARIZE_BYTES);
      if (blockId === 0) return forgetRange(page, record);
      if (blockId === 1) return deleteTuple(page, record, blockId, BRIN_DESUMMARIZE_OFFSET);
      break;
    default:
      throw new UnknownRecordError(brinResourceManager.name, record.info, record.startLsn);
  }
  return failRedo('this kind of BRIN record has no such block reference');
}

/** Refuses a page that is to be changed and is not of the given type, or that the record announces as new. */
function requireOldBrinPage(page: Page, record: DecodedRecord, blockId: number, type: number): void {
  requireRedo(!record.willInitialize(blockId), 'the record initialises a page that its kind only changes');
  requireSpecialSpace(page, BRIN_SPECIAL);
  const found = page.view.getUint16(BRIN_PAGE_TYPE, true);
  if (found !== type)
    failRedo(`the page's type is 0x${found.toString(16)} where 0x${type.toString(16)} is expected`);
}

/** brin_metapage_init (brin_pageops.c). */
function createMetaPage(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BRIN_CREATE_BYTES);
  requireInitialized(record, 0);
  const main = record.mainDataOffset;
  initializeBrinPage(page, BRIN_PAGETYPE_META);
  const { view } = page;
  view.setUint32(BRIN_META_MAGIC_OFFSET, BRIN_META_MAGIC, true);
  view.setUint32(BRIN_META_VERSION, record.view.getUint16(main + BRIN_CREATE_VERSION, true), true);
  view.setUint32(
    BRIN_META_PAGES_PER_RANGE,
    record.view.getUint32(main + BRIN_CREATE_PAGES_PER_RANGE, true),
    true,
  );
  view.setUint32(BRIN_META_LAST_REVMAP_PAGE, 0, true);
  view.setUint16(PAGE_LOWER, BRIN_META_LOWER, true);
  return true;
}

/** brin_xlog_insert_update: the page for the tuple. The xl_brin_insert begins at `start` of the main data. */
function insertTuple(page: Page, record: DecodedRecord, start: number): boolean {
  const main = record.mainDataOffset + start;
  const tuple = record.blockDataOffset[0] as number;
  const length = record.blockDataLength[0] as number;
  requireRedo(length >= BRIN_TUPLE_HEADER_BYTES, 'the tuple is cut off');
  requireRedo(
    record.view.getUint32(tuple + BRIN_TUPLE_BLOCK, true) ===
      record.view.getUint32(main + BRIN_INSERT_HEAP_BLOCK, true),
    'the tuple is of another range',
  );
  if ((record.info & XLOG_BRIN_INIT_PAGE) !== 0) {
    requireInitialized(record, 0);
    initializeBrinPage(page, BRIN_PAGETYPE_REGULAR);
  } else {
    requireOldBrinPage(page, record, 0, BRIN_PAGETYPE_REGULAR);
  }
  const offsetNumber = record.view.getUint16(main + BRIN_INSERT_OFFSET, true);
  const target = reserveItem(page, offsetNumber, length, true, false);
  copyBytes(page.bytes, page.view, target, record.bytes, record.view, tuple, length);
  return true;
}

/** brin_xlog_insert_update: the revmap page gets to know where the range's tuple is, namely in block 0. */
function setTupleOfRange(page: Page, record: DecodedRecord, start: number): boolean {
  const main = record.mainDataOffset + start;
  requireRedo(record.hasBlock(0), 'the page of the tuple is missing');
  const heapBlock = record.view.getUint32(main + BRIN_INSERT_HEAP_BLOCK, true);
  const pagesPerRange = record.view.getUint32(main + BRIN_INSERT_PAGES_PER_RANGE, true);
  const offsetNumber = record.view.getUint16(main + BRIN_INSERT_OFFSET, true);
  requireRedo(offsetNumber !== INVALID_OFFSET_NUMBER, 'the tuple has no line');
  requireOldBrinPage(page, record, 1, BRIN_PAGETYPE_REVMAP);
  setRevmapItem(page, pagesPerRange, heapBlock, record.blockNumber[0] as number, offsetNumber);
  return true;
}

/** brinSetHeapBlockItemptr (brin_revmap.c). */
function setRevmapItem(
  page: Page,
  pagesPerRange: number,
  heapBlock: number,
  blockNumber: number,
  offsetNumber: number,
): void {
  requireRedo(pagesPerRange !== 0, 'a range has no pages');
  const index = Math.floor(heapBlock / pagesPerRange) % REVMAP_PAGE_MAXITEMS;
  setItemPointer(page.view, BRIN_REVMAP_TIDS + index * ITEM_POINTER_BYTES, blockNumber, offsetNumber);
}

/** The page that loses a tuple, whose offset number stands at `field` of the main data. */
function deleteTuple(page: Page, record: DecodedRecord, blockId: number, field: number): boolean {
  requireOldBrinPage(page, record, blockId, BRIN_PAGETYPE_REGULAR);
  deleteIndexItemKeepingLine(page, record.view.getUint16(record.mainDataOffset + field, true));
  return true;
}

/** brin_xlog_samepage_update. */
function replaceTuple(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, BRIN_SAMEPAGE_UPDATE_BYTES);
  const tuple = record.blockDataOffset[0] as number;
  const length = record.blockDataLength[0] as number;
  requireRedo(length >= BRIN_TUPLE_HEADER_BYTES, 'the tuple is cut off');
  requireOldBrinPage(page, record, 0, BRIN_PAGETYPE_REGULAR);
  const offsetNumber = record.view.getUint16(record.mainDataOffset + BRIN_SAMEPAGE_UPDATE_OFFSET, true);
  const target = reserveOverwrite(page, offsetNumber, length);
  copyBytes(page.bytes, page.view, target, record.bytes, record.view, tuple, length);
  return true;
}

/** The block that becomes the last of the revmap, which is also the number of block reference 1. */
function revmapTarget(record: DecodedRecord): number {
  const target = record.view.getUint32(record.mainDataOffset + BRIN_REVMAP_EXTEND_TARGET, true);
  requireRedo(
    record.hasBlock(1) && record.blockNumber[1] === target,
    'the record is at odds on the new revmap page',
  );
  return target;
}

/** brin_xlog_revmap_extend: the meta page. Its pd_lower may be wrong if a version before 11 wrote it. */
function extendRevmap(page: Page, record: DecodedRecord): boolean {
  const target = revmapTarget(record);
  requireOldBrinPage(page, record, 0, BRIN_PAGETYPE_META);
  const last = page.view.getUint32(BRIN_META_LAST_REVMAP_PAGE, true);
  if (target - 1 !== last) failRedo(`the revmap is extended by block ${target} after block ${last}`);
  page.view.setUint32(BRIN_META_LAST_REVMAP_PAGE, target, true);
  page.view.setUint16(PAGE_LOWER, BRIN_META_LOWER, true);
  return true;
}

function createRevmapPage(page: Page, record: DecodedRecord): boolean {
  revmapTarget(record);
  requireInitialized(record, 1);
  initializeBrinPage(page, BRIN_PAGETYPE_REVMAP);
  return true;
}

/** brin_xlog_desummarize_page: the revmap page. */
function forgetRange(page: Page, record: DecodedRecord): boolean {
  const main = record.mainDataOffset;
  const pagesPerRange = record.view.getUint32(main + BRIN_DESUMMARIZE_PAGES_PER_RANGE, true);
  const heapBlock = record.view.getUint32(main + BRIN_DESUMMARIZE_HEAP_BLOCK, true);
  requireOldBrinPage(page, record, 0, BRIN_PAGETYPE_REVMAP);
  setRevmapItem(page, pagesPerRange, heapBlock, INVALID_BLOCK_NUMBER, INVALID_OFFSET_NUMBER);
  return true;
}
