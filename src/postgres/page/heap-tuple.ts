/** The header of a heap tuple (access/htup_details.h: HeapTupleHeaderData). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { LINE_POINTER_BYTES, maxAlign, PAGE_HEADER_BYTES } from './page.ts';

export const TUPLE_XMIN = 0;
export const TUPLE_XMAX = 4;
/** t_field3: t_cid, or t_xvac of a tuple that an old VACUUM FULL moved. */
export const TUPLE_CID = 8;
export const TUPLE_CTID = 12;
export const TUPLE_INFOMASK2 = 18;
export const TUPLE_INFOMASK = 20;
export const TUPLE_HOFF = 22;
/** SizeofHeapTupleHeader: here the null bitmap, or padding, begins. */
export const TUPLE_HEADER_BYTES = 23;
/** MaxHeapTupleSize: with one line pointer, nothing longer fits on a page. */
export const TUPLE_BYTES_MAX: number = BLOCK_BYTES - maxAlign(PAGE_HEADER_BYTES + LINE_POINTER_BYTES);

/** t_infomask. */
export const HEAP_HASNULL = 0x0001;
export const HEAP_HASVARWIDTH = 0x0002;
export const HEAP_HASEXTERNAL = 0x0004;
export const HEAP_HASOID_OLD = 0x0008;
export const HEAP_XMAX_KEYSHR_LOCK = 0x0010;
export const HEAP_COMBOCID = 0x0020;
export const HEAP_XMAX_EXCL_LOCK = 0x0040;
export const HEAP_XMAX_LOCK_ONLY = 0x0080;
/** HEAP_XMAX_SHR_LOCK and HEAP_LOCK_MASK are the same two bits. */
export const HEAP_LOCK_MASK: number = HEAP_XMAX_EXCL_LOCK | HEAP_XMAX_KEYSHR_LOCK;
export const HEAP_XMIN_COMMITTED = 0x0100;
export const HEAP_XMIN_INVALID = 0x0200;
export const HEAP_XMIN_FROZEN: number = HEAP_XMIN_COMMITTED | HEAP_XMIN_INVALID;
export const HEAP_XMAX_COMMITTED = 0x0400;
export const HEAP_XMAX_INVALID = 0x0800;
export const HEAP_XMAX_IS_MULTI = 0x1000;
export const HEAP_UPDATED = 0x2000;
export const HEAP_MOVED_OFF = 0x4000;
export const HEAP_MOVED_IN = 0x8000;
export const HEAP_MOVED: number = HEAP_MOVED_OFF | HEAP_MOVED_IN;
/** All bits that speak of visibility. */
export const HEAP_XACT_MASK = 0xfff0;
/** All bits that must go when xmax changes. */
export const HEAP_XMAX_BITS: number =
  HEAP_XMAX_COMMITTED | HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI | HEAP_LOCK_MASK | HEAP_XMAX_LOCK_ONLY;

/** t_infomask2. */
export const HEAP_NATTS_MASK = 0x07ff;
export const HEAP_KEYS_UPDATED = 0x2000;
export const HEAP_HOT_UPDATED = 0x4000;
export const HEAP_ONLY_TUPLE = 0x8000;

export const INVALID_TRANSACTION_ID = 0;
export const FROZEN_TRANSACTION_ID = 2;
export const FIRST_NORMAL_TRANSACTION_ID = 3;
export const FIRST_COMMAND_ID = 0;

/** Offset number of a speculative insertion's token. */
export const SPECULATIVE_TOKEN_OFFSET_NUMBER = 0xfffe;
/** t_ctid of a tuple that an UPDATE moved to another partition. */
export const MOVED_PARTITIONS_OFFSET_NUMBER = 0xfffd;

/** HEAP_XMAX_IS_LOCKED_ONLY: xmax has locked the tuple but not changed it. */
export function isXmaxLockedOnly(infomask: number): boolean {
  return (
    (infomask & HEAP_XMAX_LOCK_ONLY) !== 0 ||
    (infomask & (HEAP_XMAX_IS_MULTI | HEAP_LOCK_MASK)) === HEAP_XMAX_EXCL_LOCK
  );
}

/** TransactionIdPrecedes (transam.c): normal ids wrap around, permanent ones come before all normal ones. */
export function transactionIdPrecedes(first: number, second: number): boolean {
  if (first < FIRST_NORMAL_TRANSACTION_ID || second < FIRST_NORMAL_TRANSACTION_ID) return first < second;
  return ((first - second) | 0) < 0;
}
