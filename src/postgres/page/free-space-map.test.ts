import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  categoryFreeBytes,
  FREE_INDEX_PAGE_CATEGORY,
  FSM_NODES,
  firstHeapBlockOfFsmPage,
  freeSpaceCategory,
  freeSpaceMapBlock,
  freeSpaceMapBlocks,
  freeSpaceMapPageBlock,
  freeSpaceMapSlot,
  getFreeSpace,
  getGreatestFreeSpace,
  NODES_PER_PAGE,
  NON_LEAF_NODES_PER_PAGE,
  rebuildFreeSpace,
  SLOTS_PER_FSM_PAGE,
  setFreeSpace,
  truncateFreeSpace,
} from './free-space-map.ts';
import { initializePage, Page } from './page.ts';

function emptyPage(): Page {
  const page = new Page();
  initializePage(page, 0);
  return page;
}

test('a page has 4069 slots', () => {
  expect([NODES_PER_PAGE, NON_LEAF_NODES_PER_PAGE, SLOTS_PER_FSM_PAGE, FSM_NODES]).toEqual([
    8164, 4095, 4069, 28,
  ]);
});

test('free bytes and categories', () => {
  expect([0, 31, 32, 8127, 8128, 8159, 8160, 8191].map(freeSpaceCategory)).toEqual([
    0, 0, 1, 253, 254, 254, 255, 255,
  ]);
  expect([0, 1, 254, 255].map(categoryFreeBytes)).toEqual([0, 32, 8128, 8160]);
  expect(FREE_INDEX_PAGE_CATEGORY).toBe(255);
});

test('pages lie in depth-first order', () => {
  expect(freeSpaceMapPageBlock(2, 0)).toBe(0);
  expect(freeSpaceMapPageBlock(1, 0)).toBe(1);
  expect(freeSpaceMapPageBlock(1, 1)).toBe(1 + 1 + 4069);
  expect([0, 4068, 4069, 4069 * 4069].map(freeSpaceMapBlock)).toEqual([2, 2, 3, 4 + 4069 - 1]);
  expect([0, 4068, 4069].map(freeSpaceMapSlot)).toEqual([0, 4068, 0]);
});

test('the heap blocks of a page are found back', () => {
  expect(firstHeapBlockOfFsmPage(0)).toBeUndefined();
  expect(firstHeapBlockOfFsmPage(1)).toBeUndefined();
  expect(firstHeapBlockOfFsmPage(2 + 4069)).toBeUndefined();
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_fffe }), (block) => {
      const first = firstHeapBlockOfFsmPage(freeSpaceMapBlock(block)) as number;
      expect(first + freeSpaceMapSlot(block)).toBe(block);
    }),
  );
});

test('a truncated heap keeps the pages with its blocks', () => {
  expect([0, 1, 4069, 4070, 4069 * 4069].map(freeSpaceMapBlocks)).toEqual([2, 3, 3, 4, 4 + 4069 - 1]);
});

const slots = fc.array(fc.tuple(fc.nat(SLOTS_PER_FSM_PAGE - 1), fc.nat(255)), {
  minLength: 1,
  maxLength: 40,
});

test('every node is the greater of its children, whatever is set', () => {
  fc.assert(
    fc.property(slots, (changes) => {
      const page = emptyPage();
      const expected = new Map<number, number>();
      for (const [slot, category] of changes) {
        const differs = (expected.get(slot) ?? 0) !== category;
        expect(setFreeSpace(page, slot, category)).toBe(differs);
        expected.set(slot, category);
      }
      for (const [slot, category] of expected) expect(getFreeSpace(page, slot)).toBe(category);
      expect(getGreatestFreeSpace(page)).toBe(Math.max(...expected.values()));
      expect(rebuildFreeSpace(page), 'nothing is left to correct').toBe(false);
    }),
    { numRuns: 50 },
  );
});

test('truncation forgets the slots from there on', () => {
  const page = emptyPage();
  for (const [slot, category] of [
    [0, 10],
    [99, 20],
    [100, 200],
    [4068, 30],
  ] as const) {
    setFreeSpace(page, slot, category);
  }
  expect(truncateFreeSpace(page, 100)).toBe(true);
  expect([0, 99, 100, 4068].map((slot) => getFreeSpace(page, slot))).toEqual([10, 20, 0, 0]);
  expect(getGreatestFreeSpace(page)).toBe(20);
  expect(truncateFreeSpace(page, 100)).toBe(false);
});

test('a tree that promises too little is mended when a slot is set', () => {
  const page = emptyPage();
  setFreeSpace(page, 7, 90);
  // A torn write lost the upper nodes of the page.
  page.bytes.fill(0, FSM_NODES, FSM_NODES + 100);
  expect(setFreeSpace(page, 7, 90)).toBe(true);
  expect(getGreatestFreeSpace(page)).toBe(90);
});
