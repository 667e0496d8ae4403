/** Layout of a hash index page (access/hash.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { initializePage, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** sizeof(HashPageOpaqueData): prevblkno 4 + nextblkno 4 + bucket 4 + flag 2 + page_id 2. */
export const HASH_OPAQUE_BYTES: number = 4 + 4 + 4 + 2 + 2;
/** Where the special space begins on every hash index page. */
export const HASH_OPAQUE: number = BLOCK_BYTES - HASH_OPAQUE_BYTES;

/** Offsets on the page: hasho_prevblkno and so on. In a bucket's first page the former is a bucket number. */
export const HASH_PREVIOUS_BLOCK = HASH_OPAQUE;
export const HASH_NEXT_BLOCK: number = HASH_OPAQUE + 4;
export const HASH_BUCKET: number = HASH_OPAQUE + 8;
export const HASH_FLAG: number = HASH_OPAQUE + 12;
export const HASH_PAGE_ID_OFFSET: number = HASH_OPAQUE + 14;

/** HASHO_PAGE_ID. */
export const HASH_PAGE_ID = 0xff80;
/** InvalidBucket. */
export const INVALID_BUCKET = 0xffff_ffff;

/** Bits of hasho_flag (LH_UNUSED_PAGE and so on). */
export const HASH_UNUSED_PAGE = 0;
export const HASH_OVERFLOW_PAGE = 1 << 0;
export const HASH_BUCKET_PAGE = 1 << 1;
export const HASH_BITMAP_PAGE = 1 << 2;
export const HASH_META_PAGE = 1 << 3;
export const HASH_BUCKET_BEING_POPULATED = 1 << 4;
export const HASH_BUCKET_BEING_SPLIT = 1 << 5;
export const HASH_BUCKET_NEEDS_SPLIT_CLEANUP = 1 << 6;
export const HASH_PAGE_HAS_DEAD_TUPLES = 1 << 7;
/** LH_PAGE_TYPE. */
export const HASH_PAGE_TYPE: number =
  HASH_OVERFLOW_PAGE | HASH_BUCKET_PAGE | HASH_BITMAP_PAGE | HASH_META_PAGE;

/** HASH_MAGIC, HASH_VERSION. */
export const HASH_MAGIC = 0x644_0640;
export const HASH_VERSION = 4;

/** HASH_SPLITPOINT_GROUPS_WITH_ONE_PHASE, HASH_SPLITPOINT_PHASE_BITS. */
export const HASH_GROUPS_WITH_ONE_PHASE = 10;
export const HASH_PHASE_BITS = 2;
/** HASH_MAX_SPLITPOINTS: of 32 groups, the first ten have one phase and the others four each. */
export const HASH_SPLITPOINTS_MAX: number =
  (32 - HASH_GROUPS_WITH_ONE_PHASE) * (1 << HASH_PHASE_BITS) + HASH_GROUPS_WITH_ONE_PHASE;
/** HASH_MAX_BITMAPS. */
export const HASH_BITMAPS_MAX: number = Math.min(BLOCK_BYTES / 8, 1024);

/** HashMetaPageData, in the place of line pointers: offsets on the page of hashm_magic and so on. */
export const HASH_META_MAGIC: number = PAGE_HEADER_BYTES;
export const HASH_META_VERSION: number = PAGE_HEADER_BYTES + 4;
/** A double. */
export const HASH_META_TUPLES: number = PAGE_HEADER_BYTES + 8;
export const HASH_META_FILL_FACTOR: number = PAGE_HEADER_BYTES + 16;
export const HASH_META_PAGE_BYTES: number = PAGE_HEADER_BYTES + 18;
export const HASH_META_BITMAP_BYTES: number = PAGE_HEADER_BYTES + 20;
export const HASH_META_BITMAP_SHIFT: number = PAGE_HEADER_BYTES + 22;
export const HASH_META_MAX_BUCKET: number = PAGE_HEADER_BYTES + 24;
export const HASH_META_HIGH_MASK: number = PAGE_HEADER_BYTES + 28;
export const HASH_META_LOW_MASK: number = PAGE_HEADER_BYTES + 32;
export const HASH_META_OVERFLOW_POINT: number = PAGE_HEADER_BYTES + 36;
export const HASH_META_FIRST_FREE: number = PAGE_HEADER_BYTES + 40;
export const HASH_META_BITMAPS: number = PAGE_HEADER_BYTES + 44;
export const HASH_META_PROCEDURE: number = PAGE_HEADER_BYTES + 48;
/** hashm_spares: one u32 for each splitpoint. */
export const HASH_META_SPARES: number = PAGE_HEADER_BYTES + 52;
/** hashm_mapp: the block number of each bitmap page. */
export const HASH_META_BITMAP_BLOCKS: number = HASH_META_SPARES + HASH_SPLITPOINTS_MAX * 4;
/** Where HashMetaPageData ends, aligned to eight bytes because of its double. */
export const HASH_META_LOWER: number = (HASH_META_BITMAP_BLOCKS + HASH_BITMAPS_MAX * 4 + 7) & ~7;

/** HashPageGetBitmap: where the bits of a bitmap page begin. */
export const HASH_BITMAP: number = PAGE_HEADER_BYTES;
/** HashGetMaxBitmapSize. */
export const HASH_BITMAP_BYTES_MAX: number = HASH_OPAQUE - HASH_BITMAP;

/** _hash_initbuf (hashpage.c): an empty page with its special space filled in. `previousBlock`: see above. */
export function initializeHashPage(
  page: Page,
  previousBlock: number,
  nextBlock: number,
  bucket: number,
  flag: number,
): void {
  const { view } = page;
  initializePage(page, HASH_OPAQUE_BYTES);
  view.setUint32(HASH_PREVIOUS_BLOCK, previousBlock, true);
  view.setUint32(HASH_NEXT_BLOCK, nextBlock, true);
  view.setUint32(HASH_BUCKET, bucket, true);
  view.setUint16(HASH_FLAG, flag, true);
  view.setUint16(HASH_PAGE_ID_OFFSET, HASH_PAGE_ID, true);
}
