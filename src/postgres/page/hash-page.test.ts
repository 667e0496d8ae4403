import { expect, test } from 'vitest';
import { getPageSample } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  HASH_BITMAP,
  HASH_BITMAP_PAGE,
  HASH_BUCKET,
  HASH_BUCKET_PAGE,
  HASH_FLAG,
  HASH_MAGIC,
  HASH_META_BITMAP_BLOCKS,
  HASH_META_BITMAPS,
  HASH_META_HIGH_MASK,
  HASH_META_LOW_MASK,
  HASH_META_LOWER,
  HASH_META_MAGIC,
  HASH_META_MAX_BUCKET,
  HASH_META_PAGE,
  HASH_META_TUPLES,
  HASH_META_VERSION,
  HASH_NEXT_BLOCK,
  HASH_OPAQUE,
  HASH_PAGE_ID,
  HASH_PAGE_ID_OFFSET,
  HASH_VERSION,
  INVALID_BUCKET,
  initializeHashPage,
} from './hash-page.ts';
import { INVALID_BLOCK_NUMBER } from './item-pointer.ts';
import { lineCount, PAGE_LOWER, PAGE_SPECIAL, Page } from './page.ts';

const pages = [0, 1, 2, 3].map((block) => getPageSample('hash_few', block));

test('special spaces that a server wrote', () => {
  for (const { view } of pages) {
    expect(view.getUint16(PAGE_SPECIAL, true)).toBe(HASH_OPAQUE);
    expect(view.getUint16(HASH_PAGE_ID_OFFSET, true)).toBe(HASH_PAGE_ID);
    expect(view.getUint32(HASH_NEXT_BLOCK, true)).toBe(INVALID_BLOCK_NUMBER);
  }
  expect(pages.map(({ view }) => view.getUint16(HASH_FLAG, true))).toEqual([
    HASH_META_PAGE,
    HASH_BUCKET_PAGE,
    HASH_BUCKET_PAGE,
    HASH_BITMAP_PAGE,
  ]);
  expect(pages.map(({ view }) => view.getUint32(HASH_BUCKET, true))).toEqual([
    INVALID_BUCKET,
    0,
    1,
    INVALID_BUCKET,
  ]);
});

test('a page made anew has the special space that a server gives to a bucket', () => {
  const page = new Page(new Uint8Array(8192).fill(0x5a));
  initializeHashPage(page, 1, INVALID_BLOCK_NUMBER, 1, HASH_BUCKET_PAGE);
  expect(page.bytes.subarray(HASH_OPAQUE)).toEqual(pages[2].bytes.subarray(HASH_OPAQUE));
});

test('the meta page counts what is on the others', () => {
  const { view } = pages[0];
  expect(view.getUint32(HASH_META_MAGIC, true)).toBe(HASH_MAGIC);
  expect(view.getUint32(HASH_META_VERSION, true)).toBe(HASH_VERSION);
  expect(view.getFloat64(HASH_META_TUPLES, true)).toBe(3);
  expect(lineCount(pages[1]) + lineCount(pages[2])).toBe(3);
  expect(itemsOf(pages[1])[0].length).toBe(16);
  expect(view.getUint32(HASH_META_MAX_BUCKET, true)).toBe(1);
  expect(view.getUint32(HASH_META_HIGH_MASK, true)).toBe(3);
  expect(view.getUint32(HASH_META_LOW_MASK, true)).toBe(1);
  expect(view.getUint32(HASH_META_BITMAPS, true)).toBe(1);
  expect(view.getUint32(HASH_META_BITMAP_BLOCKS, true)).toBe(3);
  expect(view.getUint16(PAGE_LOWER, true)).toBe(HASH_META_LOWER);
});

test('the bitmap page has one bit for itself', () => {
  expect(pages[3].view.getUint16(PAGE_LOWER, true)).toBe(HASH_BITMAP + 4096);
  const bits = pages[3].bytes.subarray(HASH_BITMAP, HASH_BITMAP + 4096);
  expect(pages[3].view.getUint32(HASH_BITMAP, true)).toBe(0xffff_ffff);
  expect(bits.every((byte) => byte === 0xff)).toBe(true);
});
