/** Layout of a btree index page and of its tuples (access/nbtree.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { initializePage, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** BTREE_METAPAGE: the meta page's block number. */
export const BTREE_META_BLOCK = 0;
/** P_NONE: stands for no sibling, as no link ever leads to the meta page. */
export const BTREE_NO_BLOCK = 0;

/** sizeof(BTPageOpaqueData): prev 4 + next 4 + level 4 + flags 2 + cycleid 2. */
export const BTREE_OPAQUE_BYTES: number = 4 + 4 + 4 + 2 + 2;
/** Where the special space begins on every btree page. */
export const BTREE_OPAQUE: number = BLOCK_BYTES - BTREE_OPAQUE_BYTES;

/** Offsets on the page: btpo_prev and so on. */
export const BTREE_PREVIOUS = BTREE_OPAQUE;
export const BTREE_NEXT: number = BTREE_OPAQUE + 4;
export const BTREE_LEVEL: number = BTREE_OPAQUE + 8;
export const BTREE_FLAGS: number = BTREE_OPAQUE + 12;
export const BTREE_CYCLE_ID: number = BTREE_OPAQUE + 14;

/** Bits of btpo_flags (BTP_LEAF and so on). */
export const BTREE_LEAF = 1 << 0;
export const BTREE_ROOT = 1 << 1;
export const BTREE_DELETED = 1 << 2;
export const BTREE_META = 1 << 3;
export const BTREE_HALF_DEAD = 1 << 4;
export const BTREE_SPLIT_END = 1 << 5;
export const BTREE_HAS_GARBAGE = 1 << 6;
export const BTREE_INCOMPLETE_SPLIT = 1 << 7;
export const BTREE_HAS_FULL_XID = 1 << 8;

/** P_HIKEY: line of the high key, on every page but the rightmost of its level, where data begins there. */
export const BTREE_HIGH_KEY_LINE = 1;

/** BTREE_MAGIC, and the oldest version that has all fields of the meta page (BTREE_NOVAC_VERSION). */
export const BTREE_MAGIC = 0x05_3162;
export const BTREE_NOVAC_VERSION = 3;
/** BTREE_VERSION: the newest. */
export const BTREE_VERSION = 4;

/** BTMetaPageData, in the place of line pointers: offsets on the page of btm_magic and so on. */
export const BTREE_META_MAGIC: number = PAGE_HEADER_BYTES;
export const BTREE_META_VERSION: number = PAGE_HEADER_BYTES + 4;
export const BTREE_META_ROOT: number = PAGE_HEADER_BYTES + 8;
export const BTREE_META_LEVEL: number = PAGE_HEADER_BYTES + 12;
export const BTREE_META_FAST_ROOT: number = PAGE_HEADER_BYTES + 16;
export const BTREE_META_FAST_LEVEL: number = PAGE_HEADER_BYTES + 20;
export const BTREE_META_LAST_CLEANUP_DELETED_PAGES: number = PAGE_HEADER_BYTES + 24;
/** A double, hence aligned to eight bytes after four of padding. */
export const BTREE_META_LAST_CLEANUP_HEAP_TUPLES: number = PAGE_HEADER_BYTES + 32;
export const BTREE_META_ALL_EQUAL_IMAGE: number = PAGE_HEADER_BYTES + 40;
/** Where BTMetaPageData ends: one byte for the last field and seven of padding. */
export const BTREE_META_LOWER: number = PAGE_HEADER_BYTES + 48;

/** BTDeletedPageData: the full xid of a deleted page in the place of line pointers, and pd_lower after that. */
export const BTREE_SAFE_XID: number = PAGE_HEADER_BYTES;
export const BTREE_DELETED_LOWER: number = BTREE_SAFE_XID + 8;

/** INDEX_ALT_TID_MASK, a bit of t_info: the tuple is a pivot or has a posting list; t_tid is no heap TID. */
export const BTREE_ALTERNATIVE_TID = 0x2000;
/** BT_OFFSET_MASK: bits of such a t_tid's offset number that count key columns or heap TIDs. */
export const BTREE_OFFSET_MASK = 0x0fff;
/** BT_IS_POSTING, in such a t_tid's offset number: its block number is the offset of the posting list in the tuple. */
export const BTREE_IS_POSTING = 0x2000;

/** BTMaxItemSize: a third of a page with three line pointers, less the room for a heap TID, all aligned to eight. */
export const BTREE_ITEM_BYTES_MAX: number =
  (Math.floor((BLOCK_BYTES - 40 - BTREE_OPAQUE_BYTES) / 3) & ~7) - 8;

/** _bt_pageinit (nbtpage.c): an empty page. */
export function initializeBtreePage(page: Page): void {
  initializePage(page, BTREE_OPAQUE_BYTES);
}
