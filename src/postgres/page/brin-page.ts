/** Layout of a BRIN index page (access/brin_page.h, brin_tuple.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { ITEM_POINTER_BYTES } from './item-pointer.ts';
import { initializePage, maxAlign, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** sizeof(BrinSpecialSpace): four half-words, of which the last two are in use. */
export const BRIN_SPECIAL_BYTES = 8;
/** Where the special space begins on every BRIN page. */
export const BRIN_SPECIAL: number = BLOCK_BYTES - BRIN_SPECIAL_BYTES;
/** Offsets on the page. */
export const BRIN_PAGE_FLAGS: number = BRIN_SPECIAL + 4;
export const BRIN_PAGE_TYPE: number = BRIN_SPECIAL + 6;

export const BRIN_PAGETYPE_META = 0xf091;
export const BRIN_PAGETYPE_REVMAP = 0xf092;
export const BRIN_PAGETYPE_REGULAR = 0xf093;

/** The only flag; it is never logged. */
export const BRIN_EVACUATE_PAGE = 1 << 0;

/** PageGetContents: what pages without line pointers begin with after the header. */
const BRIN_CONTENTS: number = maxAlign(PAGE_HEADER_BYTES);

/** BrinMetaPageData: offsets on the meta page, and where pd_lower points. */
export const BRIN_META_MAGIC_OFFSET = BRIN_CONTENTS;
export const BRIN_META_VERSION: number = BRIN_CONTENTS + 4;
export const BRIN_META_PAGES_PER_RANGE: number = BRIN_CONTENTS + 8;
export const BRIN_META_LAST_REVMAP_PAGE: number = BRIN_CONTENTS + 12;
export const BRIN_META_LOWER: number = BRIN_CONTENTS + 16;
export const BRIN_META_MAGIC = 0xa8109cfa;

/** RevmapContents: one item pointer for each range of heap pages. */
export const BRIN_REVMAP_TIDS = BRIN_CONTENTS;
export const REVMAP_PAGE_MAXITEMS: number = Math.floor((BRIN_SPECIAL - BRIN_CONTENTS) / ITEM_POINTER_BYTES);

/** BrinTuple: first heap block of its range, flags with the offset of its data. */
export const BRIN_TUPLE_BLOCK = 0;
export const BRIN_TUPLE_INFO = 4;
/** SizeOfBrinTuple. */
export const BRIN_TUPLE_HEADER_BYTES: number = 4 + 1;

/** brin_page_init (brin_pageops.c). */
export function initializeBrinPage(page: Page, type: number): void {
  initializePage(page, BRIN_SPECIAL_BYTES);
  page.view.setUint16(BRIN_PAGE_TYPE, type, true);
}
