import { expect, test } from 'vitest';
import { getPageSample } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  BRIN_META_LAST_REVMAP_PAGE,
  BRIN_META_LOWER,
  BRIN_META_MAGIC,
  BRIN_META_MAGIC_OFFSET,
  BRIN_META_PAGES_PER_RANGE,
  BRIN_META_VERSION,
  BRIN_PAGE_FLAGS,
  BRIN_PAGE_TYPE,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_PAGETYPE_REVMAP,
  BRIN_REVMAP_TIDS,
  BRIN_SPECIAL,
  BRIN_TUPLE_BLOCK,
  initializeBrinPage,
  REVMAP_PAGE_MAXITEMS,
} from './brin-page.ts';
import { ITEM_POINTER_BYTES, itemPointerBlock, itemPointerOffsetNumber } from './item-pointer.ts';
import { PAGE_LOWER, PAGE_SPECIAL, Page } from './page.ts';

const pages = [0, 1, 2].map((block) => getPageSample('brin_few', block));

test('special spaces that a server wrote', () => {
  const types = [BRIN_PAGETYPE_META, BRIN_PAGETYPE_REVMAP, BRIN_PAGETYPE_REGULAR];
  pages.forEach((written, index) => {
    expect(written.view.getUint16(PAGE_SPECIAL, true)).toBe(BRIN_SPECIAL);
    expect(written.view.getUint16(BRIN_PAGE_TYPE, true)).toBe(types[index]);
    expect(written.view.getUint16(BRIN_PAGE_FLAGS, true)).toBe(0);
    const page = new Page(new Uint8Array(8192).fill(0x5a));
    initializeBrinPage(page, types[index]);
    expect(page.bytes.subarray(BRIN_SPECIAL)).toEqual(written.bytes.subarray(BRIN_SPECIAL));
  });
});

test('the meta page', () => {
  const { view } = pages[0];
  expect(view.getUint32(BRIN_META_MAGIC_OFFSET, true)).toBe(BRIN_META_MAGIC);
  expect(view.getUint32(BRIN_META_VERSION, true)).toBe(1);
  expect(view.getUint32(BRIN_META_PAGES_PER_RANGE, true)).toBe(128);
  expect(view.getUint32(BRIN_META_LAST_REVMAP_PAGE, true)).toBe(1);
  expect(view.getUint16(PAGE_LOWER, true)).toBe(BRIN_META_LOWER);
});

test('the range map leads to the summary of the only range', () => {
  const { view, bytes } = pages[1];
  expect(itemPointerBlock(view, BRIN_REVMAP_TIDS)).toBe(2);
  expect(itemPointerOffsetNumber(view, BRIN_REVMAP_TIDS)).toBe(1);
  const second = BRIN_REVMAP_TIDS + ITEM_POINTER_BYTES;
  expect(itemPointerOffsetNumber(view, second)).toBe(0);
  expect(second + (REVMAP_PAGE_MAXITEMS - 1) * ITEM_POINTER_BYTES).toBeLessThanOrEqual(BRIN_SPECIAL);
  expect(bytes.length - BRIN_SPECIAL).toBe(8);
  const [summary] = itemsOf(pages[2]);
  expect(new DataView(summary.buffer).getUint32(BRIN_TUPLE_BLOCK, true)).toBe(0);
});
