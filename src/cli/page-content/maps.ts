import {
  FSM_NEXT_SLOT,
  firstHeapBlockOfFsmPage,
  getFreeSpace,
  getGreatestFreeSpace,
  SLOTS_PER_FSM_PAGE,
} from '../../postgres/page/free-space-map.ts';
import type { Page } from '../../postgres/page/page.ts';
import {
  getVisibility,
  HEAP_BLOCKS_PER_MAP_PAGE,
  VISIBILITYMAP_ALL_FROZEN,
  VISIBILITYMAP_ALL_VISIBLE,
} from '../../postgres/page/visibility-map.ts';
import type { PageContent } from './page-content.ts';

/** Which heap blocks are visible and frozen, as ranges. */
export function describeVisibilityMap(page: Page, block: number): PageContent {
  const first = block * HEAP_BLOCKS_PER_MAP_PAGE;
  const has = (flag: number) => (index: number) => (getVisibility(page, first + index) & flag) !== 0;
  return {
    contents: {
      firstHeapBlock: first,
      allVisible: findRanges(HEAP_BLOCKS_PER_MAP_PAGE, first, has(VISIBILITYMAP_ALL_VISIBLE)),
      allFrozen: findRanges(HEAP_BLOCKS_PER_MAP_PAGE, first, has(VISIBILITYMAP_ALL_FROZEN)),
    },
  };
}

/** On the lowest level the categories of the heap blocks, elsewhere the greatest of each page below. */
export function describeFreeSpaceMap(page: Page, block: number): PageContent {
  const firstHeapBlock = firstHeapBlockOfFsmPage(block);
  const slots: Record<string, number> = {};
  for (let slot = 0; slot < SLOTS_PER_FSM_PAGE; slot++) {
    const category = getFreeSpace(page, slot);
    if (category !== 0) slots[String((firstHeapBlock ?? 0) + slot)] = category;
  }
  return {
    contents: {
      level: firstHeapBlock === undefined ? 'upper' : 'lowest',
      nextSlot: page.view.getUint32(FSM_NEXT_SLOT, true),
      greatestCategory: getGreatestFreeSpace(page),
      [firstHeapBlock === undefined ? 'categoriesBySlot' : 'categoriesByHeapBlock']: slots,
    },
  };
}

/** `3-17` for each run of numbers that fulfil the condition. */
function findRanges(count: number, first: number, fulfils: (index: number) => boolean): string[] {
  const ranges: string[] = [];
  let start = -1;
  for (let index = 0; index <= count; index++) {
    const isIn = index < count && fulfils(index);
    if (isIn && start < 0) start = index;
    if (isIn || start < 0) continue;
    ranges.push(start === index - 1 ? String(first + start) : `${first + start}-${first + index - 1}`);
    start = -1;
  }
  return ranges;
}
