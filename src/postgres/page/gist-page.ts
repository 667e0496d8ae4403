/** Layout of a GiST index page (access/gist.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { INVALID_BLOCK_NUMBER } from './item-pointer.ts';
import { initializePage, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** GIST_ROOT_BLKNO. */
export const GIST_ROOT_BLOCK = 0;

/** sizeof(GISTPageOpaqueData): nsn 8 + rightlink 4 + flags 2 + gist_page_id 2. */
export const GIST_OPAQUE_BYTES: number = 8 + 4 + 2 + 2;
/** Where the special space begins on every GiST page. */
export const GIST_OPAQUE: number = BLOCK_BYTES - GIST_OPAQUE_BYTES;

/** Offsets on the page. The NSN is kept like the page's LSN: the high half first. */
export const GIST_NSN_HIGH = GIST_OPAQUE;
export const GIST_NSN_LOW: number = GIST_OPAQUE + 4;
export const GIST_RIGHT_LINK: number = GIST_OPAQUE + 8;
export const GIST_FLAGS: number = GIST_OPAQUE + 12;
export const GIST_PAGE_ID_OFFSET: number = GIST_OPAQUE + 14;

/** F_LEAF and the other flags. */
export const GIST_LEAF = 1 << 0;
export const GIST_DELETED = 1 << 1;
export const GIST_TUPLES_DELETED = 1 << 2;
export const GIST_FOLLOW_RIGHT = 1 << 3;
export const GIST_HAS_GARBAGE = 1 << 4;

/** GIST_PAGE_ID. */
export const GIST_PAGE_ID = 0xff81;

/** GISTDeletedPageContents: a deleted page has its deleteXid in the place of line pointers, and pd_lower after that. */
export const GIST_DELETE_XID: number = PAGE_HEADER_BYTES;
export const GIST_DELETED_LOWER: number = GIST_DELETE_XID + 8;

/** gistinitpage (gistutil.c): an empty page without a right sibling. */
export function initializeGistPage(page: Page, flags: number): void {
  initializePage(page, GIST_OPAQUE_BYTES);
  page.view.setUint32(GIST_RIGHT_LINK, INVALID_BLOCK_NUMBER, true);
  page.view.setUint16(GIST_FLAGS, flags, true);
  page.view.setUint16(GIST_PAGE_ID_OFFSET, GIST_PAGE_ID, true);
}
