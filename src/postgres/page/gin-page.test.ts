import { expect, test } from 'vitest';
import { getPageSample } from '../../../test/golden/page-samples.ts';
import {
  GIN_FLAGS,
  GIN_LEAF,
  GIN_MAXOFF,
  GIN_META,
  GIN_META_BLOCK,
  GIN_META_DATA,
  GIN_META_DATA_BYTES,
  GIN_META_DATA_PAGES,
  GIN_META_ENTRIES,
  GIN_META_ENTRY_PAGES,
  GIN_META_HEAD,
  GIN_META_TAIL,
  GIN_META_TOTAL_PAGES,
  GIN_META_VERSION,
  GIN_OPAQUE,
  GIN_RIGHT_LINK,
  initializeGinPage,
} from './gin-page.ts';
import { INVALID_BLOCK_NUMBER } from './item-pointer.ts';
import { lineCount, PAGE_LOWER, PAGE_SPECIAL, Page } from './page.ts';

const meta = getPageSample('gin_few', GIN_META_BLOCK);
const root = getPageSample('gin_few', 1);

test('special spaces that a server wrote', () => {
  for (const { view } of [meta, root]) {
    expect(view.getUint16(PAGE_SPECIAL, true)).toBe(GIN_OPAQUE);
    expect(view.getUint32(GIN_RIGHT_LINK, true)).toBe(INVALID_BLOCK_NUMBER);
    expect(view.getUint16(GIN_MAXOFF, true)).toBe(0);
  }
  expect(meta.view.getUint16(GIN_FLAGS, true)).toBe(GIN_META);
  expect(root.view.getUint16(GIN_FLAGS, true)).toBe(GIN_LEAF);
  expect(lineCount(root), 'keys').toBe(3);
});

test('a page made anew has the special space that a server gives to a leaf', () => {
  const page = new Page(new Uint8Array(8192).fill(0x5a));
  initializeGinPage(page, GIN_LEAF);
  expect(page.bytes.subarray(GIN_OPAQUE)).toEqual(root.bytes.subarray(GIN_OPAQUE));
});

test('the meta page counts the index', () => {
  const u32 = (offset: number) => meta.view.getUint32(GIN_META_DATA + offset, true);
  expect([u32(GIN_META_HEAD), u32(GIN_META_TAIL)]).toEqual([INVALID_BLOCK_NUMBER, INVALID_BLOCK_NUMBER]);
  expect([u32(GIN_META_TOTAL_PAGES), u32(GIN_META_ENTRY_PAGES), u32(GIN_META_DATA_PAGES)]).toEqual([2, 1, 0]);
  expect(meta.view.getBigInt64(GIN_META_DATA + GIN_META_ENTRIES, true)).toBe(3n);
  expect(u32(GIN_META_VERSION)).toBe(2);
  expect(meta.view.getUint16(PAGE_LOWER, true)).toBe(GIN_META_DATA + GIN_META_DATA_BYTES);
});
