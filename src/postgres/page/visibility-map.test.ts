import { expect, test } from 'vitest';
import { getPageLsn, initializePage, Page, setPageLsn } from './page.ts';
import {
  clearVisibility,
  getVisibility,
  HEAP_BLOCKS_PER_MAP_PAGE,
  initializeNewMapPage,
  setVisibility,
  truncateVisibilityMapPage,
  VISIBILITYMAP_ALL_FROZEN,
  VISIBILITYMAP_ALL_VISIBLE,
  VISIBILITYMAP_VALID_BITS,
  visibilityMapBlock,
  visibilityMapBlocks,
  visibilityMapByte,
  visibilityMapShift,
} from './visibility-map.ts';

function mapPage(fill: number): Page {
  const page = new Page();
  initializePage(page, 0);
  page.bytes.fill(fill, 24);
  return page;
}

test('heap blocks map to two bits each, behind the page header', () => {
  expect(HEAP_BLOCKS_PER_MAP_PAGE).toBe(32672);
  const places = [0, 1, 3, 4, 32671, 32672, 0xffff_fffe].map((block) => [
    visibilityMapBlock(block),
    visibilityMapByte(block),
    visibilityMapShift(block),
  ]);
  expect(places).toEqual([
    [0, 24, 0],
    [0, 24, 2],
    [0, 24, 6],
    [0, 25, 0],
    [0, 8191, 6],
    [1, 24, 0],
    [131457, 24 + 1047, 4],
  ]);
});

test('setting adds bits, and asks for a stamp whenever the block did not have just these', () => {
  const page = mapPage(0);
  expect(setVisibility(page, 5, VISIBILITYMAP_ALL_VISIBLE)).toBe(true);
  expect(setVisibility(page, 5, VISIBILITYMAP_ALL_VISIBLE)).toBe(false);
  expect(setVisibility(page, 5, VISIBILITYMAP_VALID_BITS)).toBe(true);
  expect(page.bytes[25]).toBe(0b1100);
  expect(setVisibility(page, 5, VISIBILITYMAP_ALL_VISIBLE), 'no bit is new, but stamped').toBe(true);
  expect(getVisibility(page, 5)).toBe(VISIBILITYMAP_VALID_BITS);
  expect(getVisibility(page, 4)).toBe(0);
  expect(getVisibility(page, 6)).toBe(0);
});

test('clearing touches one heap block only, and leaves the LSN alone', () => {
  const page = mapPage(0xff);
  setPageLsn(page, 1, 2);
  expect(clearVisibility(page, 7, VISIBILITYMAP_ALL_FROZEN)).toBe(true);
  expect(clearVisibility(page, 7, VISIBILITYMAP_ALL_FROZEN)).toBe(false);
  expect(page.bytes[25]).toBe(0b0111_1111);
  expect(clearVisibility(page, 6, VISIBILITYMAP_VALID_BITS)).toBe(true);
  expect(page.bytes[25]).toBe(0b0100_1111);
  expect(getPageLsn(page)).toBe(0x1_0000_0002);
});

test('a page that was never written becomes an empty one, others stay', () => {
  const page = new Page();
  expect(initializeNewMapPage(page)).toBe(true);
  expect(page.bytes).toEqual(mapPage(0).bytes);
  page.bytes[30] = 1;
  expect(initializeNewMapPage(page)).toBe(false);
  expect(page.bytes[30]).toBe(1);
});

test.each([0, 1, 2, 3, 4, 5, 1000, 32671])(
  'truncation to %i heap blocks keeps exactly the bits before',
  (blocks) => {
    const page = mapPage(0xff);
    expect(truncateVisibilityMapPage(page, 32672 + blocks)).toBe(true);
    for (let block = 0; block < HEAP_BLOCKS_PER_MAP_PAGE; block++) {
      if (getVisibility(page, block) !== (block < blocks ? 3 : 0)) expect.fail(`block ${block}`);
    }
    expect(truncateVisibilityMapPage(page, 32672 + blocks)).toBe(false);
  },
);

test('the map is as long as its heap needs', () => {
  expect([0, 1, 32672, 32673].map(visibilityMapBlocks)).toEqual([0, 1, 1, 2]);
});
