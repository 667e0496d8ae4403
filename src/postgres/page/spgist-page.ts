/** Layout of an SP-GiST index page and of its tuples (access/spgist_private.h). */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { initializePage, type Page } from './page.ts';

/** SPGIST_METAPAGE_BLKNO, SPGIST_ROOT_BLKNO, SPGIST_NULL_BLKNO. */
export const SPGIST_META_BLOCK = 0;
export const SPGIST_ROOT_BLOCK = 1;
export const SPGIST_NULL_BLOCK = 2;

/** sizeof(SpGistPageOpaqueData): flags 2 + nRedirection 2 + nPlaceholder 2 + spgist_page_id 2. */
export const SPGIST_OPAQUE_BYTES: number = 2 + 2 + 2 + 2;
/** Where the special space begins on every SP-GiST page. */
export const SPGIST_OPAQUE: number = BLOCK_BYTES - SPGIST_OPAQUE_BYTES;

/** Offsets on the page. */
export const SPGIST_FLAGS = SPGIST_OPAQUE;
export const SPGIST_REDIRECTION_COUNT: number = SPGIST_OPAQUE + 2;
export const SPGIST_PLACEHOLDER_COUNT: number = SPGIST_OPAQUE + 4;
export const SPGIST_PAGE_ID_OFFSET: number = SPGIST_OPAQUE + 6;

/** Flags of a page. */
export const SPGIST_META = 1 << 0;
export const SPGIST_DELETED = 1 << 1;
export const SPGIST_LEAF = 1 << 2;
export const SPGIST_NULLS = 1 << 3;

/** SPGIST_PAGE_ID. */
export const SPGIST_PAGE_ID = 0xff82;

/** tupstate: the low two bits of the first word of every tuple. */
export const SPGIST_TUPLE_STATE_MASK = 3;
export const SPGIST_LIVE = 0;
export const SPGIST_REDIRECT = 1;
export const SPGIST_DEAD = 2;
export const SPGIST_PLACEHOLDER = 3;

/** SpGistLeafTupleData: tupstate 2 bits + size 30 bits, t_info 2, heapPtr 6; nulls bitmap and datums follow. */
export const SPGIST_LEAF_STATE_SIZE = 0;
export const SPGIST_LEAF_INFO = 4;
export const SPGIST_LEAF_HEAP_POINTER = 6;
export const SPGIST_LEAF_HEADER_BYTES: number = 4 + 2 + 6;
/** Bits of a leaf tuple's t_info that hold nextOffset, the next tuple of its chain. */
export const SPGIST_NEXT_OFFSET_MASK = 0x3fff;

/** SpGistDeadTupleData: as the leaf tuple's header, with a redirection for heapPtr, and xid 4 after it. */
export const SPGIST_DEAD_POINTER = SPGIST_LEAF_HEAP_POINTER;
export const SPGIST_DEAD_XID: number = SPGIST_LEAF_HEADER_BYTES;
/** SGDTSIZE: no tuple is smaller, so that each can be replaced by a dead one. */
export const SPGIST_DEAD_TUPLE_BYTES: number = SPGIST_LEAF_HEADER_BYTES + 4;

/**
 * SpGistInnerTupleData: tupstate 2 bits + allTheSame 1 bit + nNodes 13 bits + prefixSize 16 bits, size 2, padding 2;
 * the prefix and the nodes, which are index tuples, follow.
 */
export const SPGIST_INNER_STATE_NODES_PREFIX = 0;
export const SPGIST_INNER_SIZE = 4;
/** SGITHDRSZ. */
export const SPGIST_INNER_HEADER_BYTES: number = 4 + 2 + 2;

/** The size that a leaf tuple or a dead tuple gives itself. */
export function spgistLeafTupleSize(view: DataView, offset: number): number {
  return view.getUint32(offset + SPGIST_LEAF_STATE_SIZE, true) >>> 2;
}

/** The size that an inner tuple gives itself. */
export function spgistInnerTupleSize(view: DataView, offset: number): number {
  return view.getUint16(offset + SPGIST_INNER_SIZE, true);
}

/** nNodes of an inner tuple. */
export function spgistInnerNodeCount(view: DataView, offset: number): number {
  return (view.getUint32(offset + SPGIST_INNER_STATE_NODES_PREFIX, true) >>> 3) & 0x1fff;
}

/** prefixSize of an inner tuple. */
export function spgistInnerPrefixSize(view: DataView, offset: number): number {
  return view.getUint32(offset + SPGIST_INNER_STATE_NODES_PREFIX, true) >>> 16;
}

/** SpGistInitPage (spgutils.c): an empty page. */
export function initializeSpgistPage(page: Page, flags: number): void {
  initializePage(page, SPGIST_OPAQUE_BYTES);
  page.view.setUint16(SPGIST_FLAGS, flags, true);
  page.view.setUint16(SPGIST_PAGE_ID_OFFSET, SPGIST_PAGE_ID, true);
}
