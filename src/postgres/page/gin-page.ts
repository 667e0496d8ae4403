/** Layout of a GIN index page (access/ginblock.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { INVALID_BLOCK_NUMBER, ITEM_POINTER_BYTES } from './item-pointer.ts';
import { initializePage, maxAlign, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** GIN_METAPAGE_BLKNO. */
export const GIN_META_BLOCK = 0;

/** sizeof(GinPageOpaqueData): rightlink 4 + maxoff 2 + flags 2. */
export const GIN_OPAQUE_BYTES: number = 4 + 2 + 2;
/** Where the special space begins on every GIN page. */
export const GIN_OPAQUE: number = BLOCK_BYTES - GIN_OPAQUE_BYTES;

/** Offsets on the page. */
export const GIN_RIGHT_LINK = GIN_OPAQUE;
/** Posting items of an inner posting tree page, heap tuples of a list page; items of a leaf of before 9.4. */
export const GIN_MAXOFF: number = GIN_OPAQUE + 4;
export const GIN_FLAGS: number = GIN_OPAQUE + 6;

/** Bits of the flags. */
export const GIN_DATA = 1 << 0;
export const GIN_LEAF = 1 << 1;
export const GIN_DELETED = 1 << 2;
export const GIN_META = 1 << 3;
export const GIN_LIST = 1 << 4;
export const GIN_LIST_FULLROW = 1 << 5;
export const GIN_INCOMPLETE_SPLIT = 1 << 6;
export const GIN_COMPRESSED = 1 << 7;

/** PageGetContents: what pages without line pointers begin with after the header. */
const GIN_CONTENTS: number = maxAlign(PAGE_HEADER_BYTES);

/** GinMetaPageData: where it stands on the meta page, and its length with padding after nDataPages and ginVersion. */
export const GIN_META_DATA = GIN_CONTENTS;
export const GIN_META_HEAD = 0;
export const GIN_META_TAIL = 4;
export const GIN_META_TAIL_FREE_SIZE = 8;
export const GIN_META_PENDING_PAGES = 12;
export const GIN_META_PENDING_HEAP_TUPLES = 16;
export const GIN_META_TOTAL_PAGES = 24;
export const GIN_META_ENTRY_PAGES = 28;
export const GIN_META_DATA_PAGES = 32;
export const GIN_META_ENTRIES = 40;
export const GIN_META_VERSION = 48;
export const GIN_META_DATA_BYTES = 56;

/** GinDataPageGetRightBound: a posting tree page begins with the highest item that belongs on it. */
export const GIN_DATA_RIGHT_BOUND = GIN_CONTENTS;
/** GinDataPageGetData, GinDataLeafPageGetPostingList: posting items or segments begin here. */
export const GIN_DATA_CONTENTS: number = GIN_CONTENTS + maxAlign(ITEM_POINTER_BYTES);
/** GinDataPageMaxDataSize. */
export const GIN_DATA_CONTENTS_BYTES_MAX: number = GIN_OPAQUE - GIN_DATA_CONTENTS;

/** PostingItem: child_blkno, as two half-words like in an item pointer, and key. */
export const POSTING_ITEM_CHILD_BLOCK = 0;
export const POSTING_ITEM_KEY = 4;
export const POSTING_ITEM_BYTES: number = 4 + ITEM_POINTER_BYTES;

/** GinPostingList, a segment: its first item, nbytes, and the other items as differences; even length in all. */
export const POSTING_LIST_FIRST = 0;
export const POSTING_LIST_NBYTES: number = ITEM_POINTER_BYTES;
export const POSTING_LIST_BYTES: number = ITEM_POINTER_BYTES + 2;

/** SizeOfGinPostingList of a segment with `nbytes`. */
export function postingListSize(nbytes: number): number {
  return POSTING_LIST_BYTES + nbytes + (nbytes & 1);
}

/** GinInitPage (ginutil.c): an empty page without a right sibling. */
export function initializeGinPage(page: Page, flags: number): void {
  initializePage(page, GIN_OPAQUE_BYTES);
  page.view.setUint32(GIN_RIGHT_LINK, INVALID_BLOCK_NUMBER, true);
  page.view.setUint16(GIN_FLAGS, flags, true);
}
