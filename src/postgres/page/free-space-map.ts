/**
 * The free space map (storage/freespace/freespace.c, fsmpage.c, indexfsm.c): a tree of three levels of pages, each
 * of which holds a binary tree of bytes in which every node is the greater of its children. WAL does not hold it.
 */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { TUPLE_BYTES_MAX } from './heap-tuple.ts';
import { maxAlign, PAGE_HEADER_BYTES, type Page } from './page.ts';

/** FSMPageData: where the next search begins, a hint. */
export const FSM_NEXT_SLOT: number = maxAlign(PAGE_HEADER_BYTES);
/** fp_nodes: one byte a node, the root first. */
export const FSM_NODES: number = FSM_NEXT_SLOT + 4;
export const NODES_PER_PAGE: number = BLOCK_BYTES - FSM_NODES;
export const NON_LEAF_NODES_PER_PAGE: number = BLOCK_BYTES / 2 - 1;
/** SlotsPerFSMPage: leaves of a page. On the lowest level of pages each stands for a heap block. */
export const SLOTS_PER_FSM_PAGE: number = NODES_PER_PAGE - NON_LEAF_NODES_PER_PAGE;

const FSM_TREE_DEPTH = 3;
/** FSM_CAT_STEP: bytes of free space that one category spans. */
const CATEGORY_BYTES = BLOCK_BYTES / 256;

/** fsm_space_avail_to_cat: the category of a page with so many free bytes. */
export function freeSpaceCategory(freeBytes: number): number {
  if (freeBytes >= TUPLE_BYTES_MAX) return 255;
  return Math.min(Math.floor(freeBytes / CATEGORY_BYTES), 254);
}

/** fsm_space_cat_to_avail: free bytes that a page of this category has at least. */
export function categoryFreeBytes(category: number): number {
  return category === 255 ? TUPLE_BYTES_MAX : category * CATEGORY_BYTES;
}

/** The category with which indexes mark a page that is free altogether (RecordFreeIndexPage). */
export const FREE_INDEX_PAGE_CATEGORY: number = freeSpaceCategory(BLOCK_BYTES - 1);

/**
 * fsm_logical_to_physical: the block of the fork that holds page `pageNumber` of `level` (0 is the lowest, 2 the
 * root). Pages lie in depth-first order.
 */
export function freeSpaceMapPageBlock(level: number, pageNumber: number): number {
  let leaf = pageNumber * SLOTS_PER_FSM_PAGE ** level;
  let pages = 0;
  for (let depth = 0; depth < FSM_TREE_DEPTH; depth++) {
    pages += leaf + 1;
    leaf = Math.floor(leaf / SLOTS_PER_FSM_PAGE);
  }
  return pages - level - 1;
}

/** Block of the fork with the leaf of a heap block. */
export function freeSpaceMapBlock(heapBlock: number): number {
  return freeSpaceMapPageBlock(0, Math.floor(heapBlock / SLOTS_PER_FSM_PAGE));
}

/** Slot on that page. */
export function freeSpaceMapSlot(heapBlock: number): number {
  return heapBlock % SLOTS_PER_FSM_PAGE;
}

/**
 * The first heap block that block `mapBlock` of the fork speaks of (its slot 0), or undefined where that block
 * belongs to an upper level. The opposite of `freeSpaceMapBlock`.
 */
export function firstHeapBlockOfFsmPage(mapBlock: number): number | undefined {
  // The root, then for each page of the middle level that page and its leaves.
  if (mapBlock === 0) return undefined;
  const middle = Math.floor((mapBlock - 1) / (SLOTS_PER_FSM_PAGE + 1));
  const place = (mapBlock - 1) % (SLOTS_PER_FSM_PAGE + 1);
  if (place === 0) return undefined;
  return (middle * SLOTS_PER_FSM_PAGE + place - 1) * SLOTS_PER_FSM_PAGE;
}

/** FreeSpaceMapPrepareTruncateRel: blocks that the map keeps at most for a heap of `heapBlocks` blocks. */
export function freeSpaceMapBlocks(heapBlocks: number): number {
  const block = freeSpaceMapBlock(heapBlocks);
  return freeSpaceMapSlot(heapBlocks) > 0 ? block + 1 : block;
}

/** fsm_get_avail: the category in a slot. */
export function getFreeSpace(page: Page, slot: number): number {
  return page.view.getUint8(FSM_NODES + NON_LEAF_NODES_PER_PAGE + slot);
}

/** fsm_get_max_avail: the greatest category on the page. */
export function getGreatestFreeSpace(page: Page): number {
  return page.view.getUint8(FSM_NODES);
}

function greaterChild(page: Page, node: number): number {
  const left = 2 * node + 1;
  const right = left + 1;
  const leftValue = left < NODES_PER_PAGE ? page.view.getUint8(FSM_NODES + left) : 0;
  const rightValue = right < NODES_PER_PAGE ? page.view.getUint8(FSM_NODES + right) : 0;
  return leftValue > rightValue ? leftValue : rightValue;
}

/** fsm_set_avail: puts a category into a slot and corrects the nodes above. Returns whether the page changed. */
export function setFreeSpace(page: Page, slot: number, category: number): boolean {
  const { view } = page;
  let node = NON_LEAF_NODES_PER_PAGE + slot;
  if (view.getUint8(FSM_NODES + node) === category && category <= getGreatestFreeSpace(page)) return false;
  view.setUint8(FSM_NODES + node, category);
  while (node > 0) {
    node = (node - 1) >>> 1;
    const value = greaterChild(page, node);
    if (view.getUint8(FSM_NODES + node) === value) break;
    view.setUint8(FSM_NODES + node, value);
  }
  // A root that is still too low shows that the tree was damaged, by a torn write say.
  if (category > getGreatestFreeSpace(page)) rebuildFreeSpace(page);
  return true;
}

/** fsm_rebuild_page: computes all upper nodes anew. Returns whether one changed. */
export function rebuildFreeSpace(page: Page): boolean {
  let changed = false;
  for (let node = NON_LEAF_NODES_PER_PAGE - 1; node >= 0; node--) {
    const value = greaterChild(page, node);
    if (page.view.getUint8(FSM_NODES + node) === value) continue;
    page.view.setUint8(FSM_NODES + node, value);
    changed = true;
  }
  return changed;
}

/**
 * fsm_truncate_avail: forgets all slots from `slot` on, for a heap that was truncated. `page` must be block
 * `freeSpaceMapBlock(heapBlocks)` and `slot` be `freeSpaceMapSlot(heapBlocks)`. Returns whether the page changed.
 */
export function truncateFreeSpace(page: Page, slot: number): boolean {
  let changed = false;
  for (let offset = FSM_NODES + NON_LEAF_NODES_PER_PAGE + slot; offset < BLOCK_BYTES; offset++) {
    if (page.bytes[offset] === 0) continue;
    page.bytes[offset] = 0;
    changed = true;
  }
  if (changed) rebuildFreeSpace(page);
  return changed;
}
