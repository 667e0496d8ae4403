/**
 * The visibility map (access/heap/visibilitymap.c): two bits for each heap block, behind a standard page header
 * that never has line pointers or items.
 */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { initializePage, isNewPage, maxAlign, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** visibilitymapdefs.h. */
export const VISIBILITYMAP_ALL_VISIBLE = 0x01;
export const VISIBILITYMAP_ALL_FROZEN = 0x02;
export const VISIBILITYMAP_VALID_BITS: number = VISIBILITYMAP_ALL_VISIBLE | VISIBILITYMAP_ALL_FROZEN;
/** Only in WAL: the relation is a catalog for logical decoding. */
export const VISIBILITYMAP_XLOG_CATALOG_REL = 0x04;
export const VISIBILITYMAP_XLOG_VALID_BITS: number =
  VISIBILITYMAP_VALID_BITS | VISIBILITYMAP_XLOG_CATALOG_REL;

const BITS_PER_HEAP_BLOCK = 2;
const HEAP_BLOCKS_PER_BYTE = 8 / BITS_PER_HEAP_BLOCK;
const MAP_OFFSET = maxAlign(PAGE_HEADER_BYTES);
const MAP_BYTES = BLOCK_BYTES - MAP_OFFSET;
/** How many heap blocks one page of the map speaks of. */
export const HEAP_BLOCKS_PER_MAP_PAGE: number = MAP_BYTES * HEAP_BLOCKS_PER_BYTE;

/** Block of the map that holds the bits of a heap block. */
export function visibilityMapBlock(heapBlock: number): number {
  return Math.floor(heapBlock / HEAP_BLOCKS_PER_MAP_PAGE);
}

/** Offset on the map's page of the byte with the bits of a heap block. */
export function visibilityMapByte(heapBlock: number): number {
  return MAP_OFFSET + Math.floor((heapBlock % HEAP_BLOCKS_PER_MAP_PAGE) / HEAP_BLOCKS_PER_BYTE);
}

/** By how many bits the bits of a heap block are shifted within their byte. */
export function visibilityMapShift(heapBlock: number): number {
  return (heapBlock % HEAP_BLOCKS_PER_BYTE) * BITS_PER_HEAP_BLOCK;
}

/** visibilitymap_truncation_length: blocks that the map keeps at most for a heap of `heapBlocks` blocks. */
export function visibilityMapBlocks(heapBlocks: number): number {
  return Math.ceil(heapBlocks / HEAP_BLOCKS_PER_MAP_PAGE);
}

/**
 * VISIBILITYMAP_ALL_VISIBLE and/or VISIBILITYMAP_ALL_FROZEN of a heap block. `page` must be the block of the map
 * that speaks of it.
 */
export function getVisibility(page: Page, heapBlock: number): number {
  return (
    (page.view.getUint8(visibilityMapByte(heapBlock)) >>> visibilityMapShift(heapBlock)) &
    VISIBILITYMAP_VALID_BITS
  );
}

/**
 * vm_readbuf: whoever reads a page of the map that was never written gets an empty one. Replay makes it so too,
 * with LSN zero. Returns whether there was something to do.
 */
export function initializeNewMapPage(page: Page): boolean {
  if (!isNewPage(page)) return false;
  initializePage(page, 0);
  return true;
}

/**
 * visibilitymap_set in recovery. Sets the flags, but clears none. Returns whether the page's LSN is to be stamped,
 * which PostgreSQL does even if the block had these flags and others beside.
 */
export function setVisibility(page: Page, heapBlock: number, flags: number): boolean {
  if (getVisibility(page, heapBlock) === flags) return false;
  const offset = visibilityMapByte(heapBlock);
  page.view.setUint8(offset, page.view.getUint8(offset) | (flags << visibilityMapShift(heapBlock)));
  return true;
}

/** visibilitymap_clear: returns whether any of the flags was set. */
export function clearVisibility(page: Page, heapBlock: number, flags: number): boolean {
  const offset = visibilityMapByte(heapBlock);
  const mask = flags << visibilityMapShift(heapBlock);
  const bits = page.view.getUint8(offset);
  if ((bits & mask) === 0) return false;
  page.view.setUint8(offset, bits & ~mask);
  return true;
}

/**
 * visibilitymap_prepare_truncate: clears the bits of all heap blocks from `heapBlocks` on, which is the new size
 * of the heap, in `page`. That must be block `visibilityMapBlock(heapBlocks)` of the map; later blocks of the map
 * go altogether (`visibilityMapBlocks`). Replay stamps no LSN. Returns whether the page changed.
 */
export function truncateVisibilityMapPage(page: Page, heapBlocks: number): boolean {
  let changed = initializeNewMapPage(page);
  const offset = visibilityMapByte(heapBlocks);
  const kept = page.view.getUint8(offset) & ((1 << visibilityMapShift(heapBlocks)) - 1);
  if (kept !== page.view.getUint8(offset)) changed = true;
  page.view.setUint8(offset, kept);
  for (let index = offset + 1; index < BLOCK_BYTES; index++) {
    if (page.bytes[index] === 0) continue;
    page.bytes[index] = 0;
    changed = true;
  }
  return changed;
}
