/** The meta page and the bitmap pages of a hash index (hash_xlog.c, hashpage.c, hashovfl.c). */
import {
  HASH_BITMAP,
  HASH_BITMAP_BYTES_MAX,
  HASH_BITMAP_PAGE,
  HASH_BITMAPS_MAX,
  HASH_GROUPS_WITH_ONE_PHASE,
  HASH_MAGIC,
  HASH_META_BITMAP_BLOCKS,
  HASH_META_BITMAP_BYTES,
  HASH_META_BITMAP_SHIFT,
  HASH_META_BITMAPS,
  HASH_META_FILL_FACTOR,
  HASH_META_FIRST_FREE,
  HASH_META_HIGH_MASK,
  HASH_META_LOW_MASK,
  HASH_META_LOWER,
  HASH_META_MAGIC,
  HASH_META_MAX_BUCKET,
  HASH_META_OVERFLOW_POINT,
  HASH_META_PAGE,
  HASH_META_PAGE_BYTES,
  HASH_META_PROCEDURE,
  HASH_META_SPARES,
  HASH_META_TUPLES,
  HASH_META_VERSION,
  HASH_OPAQUE,
  HASH_PHASE_BITS,
  HASH_SPLITPOINTS_MAX,
  HASH_VERSION,
  INVALID_BUCKET,
  initializeHashPage,
} from '../postgres/page/hash-page.ts';
import { INVALID_BLOCK_NUMBER } from '../postgres/page/item-pointer.ts';
import { PAGE_LOWER, type Page } from '../postgres/page/page.ts';
import {
  HASH_ADD_OVERFLOW_BITMAP_FOUND,
  HASH_ADD_OVERFLOW_BYTES,
  HASH_INIT_META_BYTES,
  HASH_INIT_META_FILL_FACTOR,
  HASH_INIT_META_PROCEDURE,
  HASH_INIT_META_TUPLES,
  HASH_SPLIT_ALLOCATE_BYTES,
  HASH_SPLIT_ALLOCATE_FLAGS,
  HASH_SPLIT_ALLOCATE_NEW_BUCKET,
  HASH_UPDATE_META_BYTES,
  HASH_UPDATE_META_TUPLES,
  XLH_SPLIT_META_UPDATE_MASKS,
  XLH_SPLIT_META_UPDATE_SPLITPOINT,
} from '../postgres/rmgr/hash-layout.ts';
import type { DecodedRecord } from '../postgres/wal/decoded-record.ts';
import {
  requireBlockData,
  requireInitialized,
  requireMainData,
  requireSpecialSpace,
} from './index-tuples.ts';
import { failRedo, requireRedo } from './redo-failure.ts';

function requireMetaPage(page: Page): void {
  requireSpecialSpace(page, HASH_OPAQUE);
  requireRedo(
    page.view.getUint32(HASH_META_MAGIC, true) === HASH_MAGIC,
    "the page is not a hash index's meta page",
  );
}

/** The u32 that is all of a block reference's data. */
export function readBlockNumberData(record: DecodedRecord, blockId: number): number {
  requireBlockData(record, blockId, 4);
  return record.view.getUint32(record.blockDataOffset[blockId] as number, true);
}

/** pg_ceil_log2_32. */
function ceilLog2(value: number): number {
  return value < 2 ? 0 : 32 - Math.clz32(value - 1);
}

/** _hash_spareindex (hashutil.c): the splitpoint to which a number of buckets belongs. */
export function spareIndex(bucketCount: number): number {
  const group = ceilLog2(bucketCount);
  if (group < HASH_GROUPS_WITH_ONE_PHASE) return group;
  const before = (group - HASH_GROUPS_WITH_ONE_PHASE) << HASH_PHASE_BITS;
  const phase = ((bucketCount - 1) >>> (group - (HASH_PHASE_BITS + 1))) & ((1 << HASH_PHASE_BITS) - 1);
  return HASH_GROUPS_WITH_ONE_PHASE + before + phase;
}

/** _hash_get_totalbuckets (hashutil.c): how many buckets there are once a splitpoint is complete. */
export function totalBuckets(splitpoint: number): number {
  if (splitpoint < HASH_GROUPS_WITH_ONE_PHASE) return 2 ** splitpoint;
  const phases = splitpoint - HASH_GROUPS_WITH_ONE_PHASE;
  const before = 2 ** (HASH_GROUPS_WITH_ONE_PHASE + (phases >> HASH_PHASE_BITS) - 1);
  const phasesInGroup = (phases & ((1 << HASH_PHASE_BITS) - 1)) + 1;
  return before + (before / (1 << HASH_PHASE_BITS)) * phasesInGroup;
}

/** How many buckets a new index begins with (_hash_init_metabuffer). */
function initialBuckets(tupleCount: number, fillFactor: number): number {
  const wanted = tupleCount / fillFactor;
  if (wanted <= 2) return 2;
  if (wanted >= 0x4000_0000) return 0x4000_0000;
  return totalBuckets(spareIndex(Math.trunc(wanted)));
}

/** hash_xlog_init_meta_page, block 0 (_hash_init_metabuffer). */
export function initializeMetaPage(page: Page, record: DecodedRecord): boolean {
  requireInitialized(record, 0);
  requireMainData(record, HASH_INIT_META_BYTES);
  const { view: from, mainDataOffset } = record;
  const tupleCount = from.getFloat64(mainDataOffset + HASH_INIT_META_TUPLES, true);
  const fillFactor = from.getUint16(mainDataOffset + HASH_INIT_META_FILL_FACTOR, true);
  requireRedo(fillFactor > 0 && !Number.isNaN(tupleCount), 'the number of buckets cannot be told');
  const buckets = initialBuckets(tupleCount, fillFactor);
  const splitpoint = spareIndex(buckets);
  const highMask = 2 ** ceilLog2(buckets + 1) - 1;
  const bitmapShift = 31 - Math.clz32(HASH_BITMAP_BYTES_MAX);
  initializeHashPage(page, INVALID_BLOCK_NUMBER, INVALID_BLOCK_NUMBER, INVALID_BUCKET, HASH_META_PAGE);
  const { view } = page;
  view.setUint32(HASH_META_MAGIC, HASH_MAGIC, true);
  view.setUint32(HASH_META_VERSION, HASH_VERSION, true);
  view.setUint16(HASH_META_FILL_FACTOR, fillFactor, true);
  view.setUint16(HASH_META_PAGE_BYTES, HASH_BITMAP_BYTES_MAX, true);
  view.setUint16(HASH_META_BITMAP_BYTES, 1 << bitmapShift, true);
  // In bits, hence three more than in bytes.
  view.setUint16(HASH_META_BITMAP_SHIFT, bitmapShift + 3, true);
  view.setUint32(HASH_META_PROCEDURE, from.getUint32(mainDataOffset + HASH_INIT_META_PROCEDURE, true), true);
  view.setUint32(HASH_META_MAX_BUCKET, buckets - 1, true);
  view.setUint32(HASH_META_HIGH_MASK, highMask, true);
  view.setUint32(HASH_META_LOW_MASK, highMask >>> 1, true);
  view.setUint32(HASH_META_SPARES + splitpoint * 4, 1, true);
  view.setUint32(HASH_META_OVERFLOW_POINT, splitpoint, true);
  view.setUint16(PAGE_LOWER, HASH_META_LOWER, true);
  return true;
}

/** _hash_initbitmapbuffer: `bitmapBytes` bytes of ones. */
export function initializeBitmapPage(
  page: Page,
  record: DecodedRecord,
  blockId: number,
  bitmapBytes: number,
): boolean {
  requireInitialized(record, blockId);
  requireRedo(bitmapBytes <= HASH_BITMAP_BYTES_MAX, 'the bitmap does not fit on its page');
  initializeHashPage(page, INVALID_BLOCK_NUMBER, INVALID_BLOCK_NUMBER, INVALID_BUCKET, HASH_BITMAP_PAGE);
  page.bytes.fill(0xff, HASH_BITMAP, HASH_BITMAP + bitmapBytes);
  page.view.setUint16(PAGE_LOWER, HASH_BITMAP + bitmapBytes, true);
  return true;
}

/** SETBIT, CLRBIT: an overflow page is in use, or no longer. The bit's number is the data of the block reference. */
export function changeBitmap(page: Page, record: DecodedRecord, blockId: number, used: boolean): boolean {
  const bit = readBlockNumberData(record, blockId);
  requireSpecialSpace(page, HASH_OPAQUE);
  requireRedo(bit < HASH_BITMAP_BYTES_MAX * 8, `the bitmap page has no bit ${bit}`);
  const { view } = page;
  const offset = HASH_BITMAP + (bit >>> 5) * 4;
  const mask = 1 << (bit & 31);
  const word = view.getUint32(offset, true);
  view.setUint32(offset, used ? word | mask : word & ~mask, true);
  return true;
}

/** Appends a bitmap page to hashm_mapp. */
function addBitmapBlock(page: Page, blockNumber: number): void {
  const { view } = page;
  const count = view.getUint32(HASH_META_BITMAPS, true);
  if (count >= HASH_BITMAPS_MAX) failRedo(`the meta page has ${count} bitmap pages`);
  view.setUint32(HASH_META_BITMAP_BLOCKS + count * 4, blockNumber, true);
  view.setUint32(HASH_META_BITMAPS, count + 1, true);
}

/** hash_xlog_init_bitmap_page, block 1: the first bitmap page comes after all buckets, which begin at block 1. */
export function addFirstBitmap(page: Page): boolean {
  requireMetaPage(page);
  addBitmapBlock(page, page.view.getUint32(HASH_META_MAX_BUCKET, true) + 2);
  return true;
}

/** hashm_ntuples changes by so many, up or down. */
export function changeTupleCount(page: Page, change: number): boolean {
  requireMetaPage(page);
  page.view.setFloat64(HASH_META_TUPLES, page.view.getFloat64(HASH_META_TUPLES, true) + change, true);
  return true;
}

/** hash_xlog_update_meta_page, block 0: hashm_ntuples becomes what the record says, bit by bit. */
export function setTupleCount(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_UPDATE_META_BYTES);
  requireMetaPage(page);
  const from = record.mainDataOffset + HASH_UPDATE_META_TUPLES;
  page.view.setUint32(HASH_META_TUPLES, record.view.getUint32(from, true), true);
  page.view.setUint32(HASH_META_TUPLES + 4, record.view.getUint32(from + 4, true), true);
  return true;
}

/** hash_xlog_squeeze_page, block 6: hashm_firstfree. */
export function setFirstFree(page: Page, record: DecodedRecord, blockId: number): boolean {
  const firstFree = readBlockNumberData(record, blockId);
  requireMetaPage(page);
  page.view.setUint32(HASH_META_FIRST_FREE, firstFree, true);
  return true;
}

/**
 * hash_xlog_add_ovfl_page, block 4. A page that was free already is only taken from the bitmap; else the index has
 * one more overflow page, or two with a new bitmap page (block 3).
 */
export function addOverflowToMeta(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_ADD_OVERFLOW_BYTES);
  setFirstFree(page, record, 4);
  const { view } = page;
  if (record.view.getUint8(record.mainDataOffset + HASH_ADD_OVERFLOW_BITMAP_FOUND) !== 0) return true;
  const splitpoint = view.getUint32(HASH_META_OVERFLOW_POINT, true);
  if (splitpoint >= HASH_SPLITPOINTS_MAX) failRedo(`the meta page stands at splitpoint ${splitpoint}`);
  let added = 1;
  if (record.hasBlock(3)) {
    addBitmapBlock(page, record.blockNumber[3] as number);
    added = 2;
  }
  const spares = HASH_META_SPARES + splitpoint * 4;
  view.setUint32(spares, view.getUint32(spares, true) + added, true);
  return true;
}

/** hash_xlog_split_allocate_page, block 2. What the block data have depends on the record's flags. */
export function addBucketToMeta(page: Page, record: DecodedRecord): boolean {
  requireMainData(record, HASH_SPLIT_ALLOCATE_BYTES);
  requireMetaPage(page);
  const { view: from, mainDataOffset } = record;
  const { view } = page;
  const flags = from.getUint8(mainDataOffset + HASH_SPLIT_ALLOCATE_FLAGS);
  const hasMasks = (flags & XLH_SPLIT_META_UPDATE_MASKS) !== 0;
  const hasSplitpoint = (flags & XLH_SPLIT_META_UPDATE_SPLITPOINT) !== 0;
  if ((flags & ~(XLH_SPLIT_META_UPDATE_MASKS | XLH_SPLIT_META_UPDATE_SPLITPOINT)) !== 0) {
    failRedo(`the record has unknown flags ${flags}`);
  }
  requireBlockData(record, 2, (hasMasks ? 8 : 0) + (hasSplitpoint ? 8 : 0));
  let data = record.blockDataOffset[2] as number;
  view.setUint32(
    HASH_META_MAX_BUCKET,
    from.getUint32(mainDataOffset + HASH_SPLIT_ALLOCATE_NEW_BUCKET, true),
    true,
  );
  if (hasMasks) {
    view.setUint32(HASH_META_LOW_MASK, from.getUint32(data, true), true);
    view.setUint32(HASH_META_HIGH_MASK, from.getUint32(data + 4, true), true);
    data += 8;
  }
  if (hasSplitpoint) {
    const splitpoint = from.getUint32(data, true);
    if (splitpoint >= HASH_SPLITPOINTS_MAX) failRedo(`there is no splitpoint ${splitpoint}`);
    view.setUint32(HASH_META_SPARES + splitpoint * 4, from.getUint32(data + 4, true), true);
    view.setUint32(HASH_META_OVERFLOW_POINT, splitpoint, true);
  }
  return true;
}
