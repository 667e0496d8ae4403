/** Layouts of the records of btree indexes (access/nbtxlog.h). */

/** Kinds of record: high four bits of the info byte. */
export const XLOG_BTREE_INSERT_LEAF = 0x00;
export const XLOG_BTREE_INSERT_UPPER = 0x10;
export const XLOG_BTREE_INSERT_META = 0x20;
export const XLOG_BTREE_SPLIT_L = 0x30;
export const XLOG_BTREE_SPLIT_R = 0x40;
export const XLOG_BTREE_INSERT_POST = 0x50;
export const XLOG_BTREE_DEDUP = 0x60;
export const XLOG_BTREE_DELETE = 0x70;
export const XLOG_BTREE_UNLINK_PAGE = 0x80;
export const XLOG_BTREE_UNLINK_PAGE_META = 0x90;
export const XLOG_BTREE_NEWROOT = 0xa0;
export const XLOG_BTREE_MARK_PAGE_HALFDEAD = 0xb0;
export const XLOG_BTREE_VACUUM = 0xc0;
export const XLOG_BTREE_REUSE_PAGE = 0xd0;
export const XLOG_BTREE_META_CLEANUP = 0xe0;

/** xl_btree_metadata: six u32, a bool and padding. It is the data of the meta page's block reference. */
export const BTREE_METADATA_VERSION = 0;
export const BTREE_METADATA_ROOT = 4;
export const BTREE_METADATA_LEVEL = 8;
export const BTREE_METADATA_FAST_ROOT = 12;
export const BTREE_METADATA_FAST_LEVEL = 16;
export const BTREE_METADATA_LAST_CLEANUP_DELETED_PAGES = 20;
export const BTREE_METADATA_ALL_EQUAL_IMAGE = 24;
export const BTREE_METADATA_BYTES = 28;

/** xl_btree_insert. Block 0: the page, 1: the child whose split is done, 2: the meta page. */
export const BTREE_INSERT_OFFSET_NUMBER = 0;
export const BTREE_INSERT_BYTES = 2;

/** xl_btree_split. Block 0: the left page, 1: the right one, 2: the page after it, 3: the child whose split is done. */
export const BTREE_SPLIT_LEVEL = 0;
export const BTREE_SPLIT_FIRST_RIGHT_OFFSET = 4;
export const BTREE_SPLIT_NEW_ITEM_OFFSET = 6;
export const BTREE_SPLIT_POSTING_OFFSET = 8;
export const BTREE_SPLIT_BYTES = 10;

/** xl_btree_dedup; the data of block 0 are BTDedupInterval: baseoff 2 + nitems 2. */
export const BTREE_DEDUP_INTERVALS = 0;
export const BTREE_DEDUP_BYTES = 2;
export const BTREE_DEDUP_INTERVAL_BYTES = 4;

/** xl_btree_vacuum. */
export const BTREE_VACUUM_DELETED = 0;
export const BTREE_VACUUM_UPDATED = 2;
export const BTREE_VACUUM_BYTES = 4;

/** xl_btree_delete. */
export const BTREE_DELETE_CONFLICT_HORIZON = 0;
export const BTREE_DELETE_DELETED = 4;
export const BTREE_DELETE_UPDATED = 6;
export const BTREE_DELETE_IS_CATALOG = 8;
export const BTREE_DELETE_BYTES = 9;

/** xl_btree_mark_page_halfdead. Block 0: the leaf, 1: the page above the subtree. */
export const BTREE_HALFDEAD_PARENT_OFFSET = 0;
export const BTREE_HALFDEAD_LEAF_BLOCK = 4;
export const BTREE_HALFDEAD_LEFT_BLOCK = 8;
export const BTREE_HALFDEAD_RIGHT_BLOCK = 12;
export const BTREE_HALFDEAD_TOP_PARENT = 16;
export const BTREE_HALFDEAD_BYTES = 20;

/** xl_btree_unlink_page. Block 0: the page, 1: its left sibling, 2: its right one, 3: the leaf, 4: the meta page. */
export const BTREE_UNLINK_LEFT_SIBLING = 0;
export const BTREE_UNLINK_RIGHT_SIBLING = 4;
export const BTREE_UNLINK_LEVEL = 8;
export const BTREE_UNLINK_SAFE_XID = 16;
export const BTREE_UNLINK_LEAF_LEFT_SIBLING = 24;
export const BTREE_UNLINK_LEAF_RIGHT_SIBLING = 28;
export const BTREE_UNLINK_LEAF_TOP_PARENT = 32;
export const BTREE_UNLINK_BYTES = 36;

/** xl_btree_newroot. Block 0: the root, 1: its left child, 2: the meta page. */
export const BTREE_NEWROOT_ROOT_BLOCK = 0;
export const BTREE_NEWROOT_LEVEL = 4;
export const BTREE_NEWROOT_BYTES = 8;

/** xl_btree_reuse_page: locator 12 + block 4 + full xid 8 + bool 1. */
export const BTREE_REUSE_BYTES = 25;
