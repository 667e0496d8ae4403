/** Layout of the records of the resource manager Heap (access/heapam_xlog.h). */

/** Info values. */
export const XLOG_HEAP_INSERT = 0x00;
export const XLOG_HEAP_DELETE = 0x10;
export const XLOG_HEAP_UPDATE = 0x20;
export const XLOG_HEAP_TRUNCATE = 0x30;
export const XLOG_HEAP_HOT_UPDATE = 0x40;
export const XLOG_HEAP_CONFIRM = 0x50;
export const XLOG_HEAP_LOCK = 0x60;
export const XLOG_HEAP_INPLACE = 0x70;
/** Added to INSERT, UPDATE, HOT_UPDATE and MULTI_INSERT: the new tuple's page is made anew. */
export const XLOG_HEAP_INIT_PAGE = 0x80;

/** xl_heap_insert. */
export const HEAP_INSERT_OFFSET_NUMBER = 0;
export const HEAP_INSERT_FLAGS = 2;
export const HEAP_INSERT_BYTES = 3;
/** Flags of xl_heap_insert and xl_heap_multi_insert. */
export const XLH_INSERT_ALL_VISIBLE_CLEARED = 0x01;
export const XLH_INSERT_LAST_IN_MULTI = 0x02;
export const XLH_INSERT_IS_SPECULATIVE = 0x04;
export const XLH_INSERT_CONTAINS_NEW_TUPLE = 0x08;
export const XLH_INSERT_ON_TOAST_RELATION = 0x10;
export const XLH_INSERT_ALL_FROZEN_SET = 0x20;

/** xl_heap_delete. */
export const HEAP_DELETE_XMAX = 0;
export const HEAP_DELETE_OFFSET_NUMBER = 4;
export const HEAP_DELETE_INFOBITS = 6;
export const HEAP_DELETE_FLAGS = 7;
export const HEAP_DELETE_BYTES = 8;
export const XLH_DELETE_ALL_VISIBLE_CLEARED = 0x01;
export const XLH_DELETE_CONTAINS_OLD_TUPLE = 0x02;
export const XLH_DELETE_CONTAINS_OLD_KEY = 0x04;
export const XLH_DELETE_IS_SUPER = 0x08;
export const XLH_DELETE_IS_PARTITION_MOVE = 0x10;
export const XLH_DELETE_CONTAINS_OLD: number = XLH_DELETE_CONTAINS_OLD_TUPLE | XLH_DELETE_CONTAINS_OLD_KEY;

/** xl_heap_update. */
export const HEAP_UPDATE_OLD_XMAX = 0;
export const HEAP_UPDATE_OLD_OFFSET_NUMBER = 4;
export const HEAP_UPDATE_OLD_INFOBITS = 6;
export const HEAP_UPDATE_FLAGS = 7;
export const HEAP_UPDATE_NEW_XMAX = 8;
export const HEAP_UPDATE_NEW_OFFSET_NUMBER = 12;
export const HEAP_UPDATE_BYTES = 14;
export const XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED = 0x01;
export const XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED = 0x02;
export const XLH_UPDATE_CONTAINS_OLD_TUPLE = 0x04;
export const XLH_UPDATE_CONTAINS_OLD_KEY = 0x08;
export const XLH_UPDATE_CONTAINS_NEW_TUPLE = 0x10;
export const XLH_UPDATE_PREFIX_FROM_OLD = 0x20;
export const XLH_UPDATE_SUFFIX_FROM_OLD = 0x40;
export const XLH_UPDATE_CONTAINS_OLD: number = XLH_UPDATE_CONTAINS_OLD_TUPLE | XLH_UPDATE_CONTAINS_OLD_KEY;

/** xl_heap_lock, and xl_heap_lock_updated of Heap2. */
export const HEAP_LOCK_XMAX = 0;
export const HEAP_LOCK_OFFSET_NUMBER = 4;
export const HEAP_LOCK_INFOBITS = 6;
export const HEAP_LOCK_FLAGS = 7;
export const HEAP_LOCK_BYTES = 8;
export const XLH_LOCK_ALL_FROZEN_CLEARED = 0x01;

/** xl_heap_confirm and xl_heap_inplace: an offset number. */
export const HEAP_CONFIRM_BYTES = 2;
export const HEAP_INPLACE_BYTES = 2;
/** xl_heap_truncate: three bytes of padding follow the flags. */
export const HEAP_TRUNCATE_RELATIONS = 12;

/** infobits_set. */
export const XLHL_XMAX_IS_MULTI = 0x01;
export const XLHL_XMAX_LOCK_ONLY = 0x02;
export const XLHL_XMAX_EXCL_LOCK = 0x04;
export const XLHL_XMAX_KEYSHR_LOCK = 0x08;
export const XLHL_KEYS_UPDATED = 0x10;

/** xl_heap_header, which stands before a tuple's data: the same three fields, in the same order, as in a tuple. */
export const HEAP_HEADER_INFOMASK2 = 0;
export const HEAP_HEADER_INFOMASK = 2;
export const HEAP_HEADER_HOFF = 4;
export const HEAP_HEADER_BYTES = 5;

/**
 * Block references. Those of the visibility map exist since 17.11, and only where bits were indeed cleared; before,
 * the map was changed without being named (see redo/visibility.ts).
 */
export const HEAP_BLKREF_HEAP = 0;
export const HEAP_BLKREF_VM = 1;
export const HEAP_UPDATE_BLKREF_HEAP_NEW = 0;
export const HEAP_UPDATE_BLKREF_HEAP_OLD = 1;
export const HEAP_UPDATE_BLKREF_VM_NEW = 2;
export const HEAP_UPDATE_BLKREF_VM_OLD = 3;
