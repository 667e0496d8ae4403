/** Layouts of the records of hash indexes (access/hash_xlog.h). */

/** Kinds of record: high four bits of the info byte. */
export const XLOG_HASH_INIT_META_PAGE = 0x00;
export const XLOG_HASH_INIT_BITMAP_PAGE = 0x10;
export const XLOG_HASH_INSERT = 0x20;
export const XLOG_HASH_ADD_OVFL_PAGE = 0x30;
export const XLOG_HASH_SPLIT_ALLOCATE_PAGE = 0x40;
export const XLOG_HASH_SPLIT_PAGE = 0x50;
export const XLOG_HASH_SPLIT_COMPLETE = 0x60;
export const XLOG_HASH_MOVE_PAGE_CONTENTS = 0x70;
export const XLOG_HASH_SQUEEZE_PAGE = 0x80;
export const XLOG_HASH_DELETE = 0x90;
export const XLOG_HASH_SPLIT_CLEANUP = 0xa0;
export const XLOG_HASH_UPDATE_META_PAGE = 0xb0;
export const XLOG_HASH_VACUUM_ONE_PAGE = 0xc0;

/** xl_hash_init_meta_page: a double, then procid and ffactor. Block 0: the meta page. */
export const HASH_INIT_META_TUPLES = 0;
export const HASH_INIT_META_PROCEDURE = 8;
export const HASH_INIT_META_FILL_FACTOR = 12;
export const HASH_INIT_META_BYTES = 14;

/** xl_hash_init_bitmap_page. Block 0: the bitmap page, 1: the meta page. */
export const HASH_INIT_BITMAP_BITMAP_BYTES = 0;
export const HASH_INIT_BITMAP_BYTES = 2;

/** xl_hash_insert. Block 0: the page, 1: the meta page. */
export const HASH_INSERT_OFFSET_NUMBER = 0;
export const HASH_INSERT_BYTES = 2;

/**
 * xl_hash_add_ovfl_page. Block 0: the new page, 1: the one before it, 2: the bitmap page, 3: a new bitmap page,
 * 4: the meta page.
 */
export const HASH_ADD_OVERFLOW_BITMAP_BYTES = 0;
export const HASH_ADD_OVERFLOW_BITMAP_FOUND = 2;
export const HASH_ADD_OVERFLOW_BYTES = 3;

/** xl_hash_split_allocate_page. Block 0: the old bucket, 1: the new one, 2: the meta page. */
export const HASH_SPLIT_ALLOCATE_NEW_BUCKET = 0;
export const HASH_SPLIT_ALLOCATE_OLD_FLAG = 4;
export const HASH_SPLIT_ALLOCATE_NEW_FLAG = 6;
export const HASH_SPLIT_ALLOCATE_FLAGS = 8;
export const HASH_SPLIT_ALLOCATE_BYTES = 9;
/** Its flags: what the data of block 2 have, two u32 for each. */
export const XLH_SPLIT_META_UPDATE_MASKS = 1 << 0;
export const XLH_SPLIT_META_UPDATE_SPLITPOINT = 1 << 1;

/** xl_hash_split_complete. Block 0: the old bucket, 1: the new one. */
export const HASH_SPLIT_COMPLETE_OLD_FLAG = 0;
export const HASH_SPLIT_COMPLETE_NEW_FLAG = 2;
export const HASH_SPLIT_COMPLETE_BYTES = 4;

/** xl_hash_move_page_contents. Block 0: the bucket's first page, 1: where tuples go, 2: where they come from. */
export const HASH_MOVE_TUPLES = 0;
export const HASH_MOVE_IS_PRIMARY = 2;
export const HASH_MOVE_BYTES = 3;

/**
 * xl_hash_squeeze_page. Block 0: the bucket's first page, 1: where tuples go, 2: the page that is freed, 3: the one
 * before it, 4: the one after it, 5: the bitmap page, 6: the meta page.
 */
export const HASH_SQUEEZE_PREVIOUS_BLOCK = 0;
export const HASH_SQUEEZE_NEXT_BLOCK = 4;
export const HASH_SQUEEZE_TUPLES = 8;
export const HASH_SQUEEZE_IS_PRIMARY = 10;
export const HASH_SQUEEZE_IS_PREVIOUS = 11;
export const HASH_SQUEEZE_BYTES = 12;

/** xl_hash_delete. Block 0: the bucket's first page, 1: the page. */
export const HASH_DELETE_CLEAR_DEAD = 0;
export const HASH_DELETE_IS_PRIMARY = 1;
export const HASH_DELETE_BYTES = 2;

/** xl_hash_update_meta_page: a double. */
export const HASH_UPDATE_META_TUPLES = 0;
export const HASH_UPDATE_META_BYTES = 8;

/** xl_hash_vacuum_one_page; offset numbers follow at its end, after a byte of padding. Block 0: page, 1: meta page. */
export const HASH_VACUUM_CONFLICT_HORIZON = 0;
export const HASH_VACUUM_TUPLES = 4;
export const HASH_VACUUM_IS_CATALOG = 6;
export const HASH_VACUUM_BYTES = 8;
