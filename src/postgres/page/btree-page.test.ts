import { expect, test } from 'vitest';
import { getPageSample, pageSamplesPath, readPageSamples } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  BTREE_FLAGS,
  BTREE_LEAF,
  BTREE_LEVEL,
  BTREE_MAGIC,
  BTREE_META,
  BTREE_META_ALL_EQUAL_IMAGE,
  BTREE_META_BLOCK,
  BTREE_META_FAST_LEVEL,
  BTREE_META_FAST_ROOT,
  BTREE_META_LEVEL,
  BTREE_META_LOWER,
  BTREE_META_MAGIC,
  BTREE_META_ROOT,
  BTREE_META_VERSION,
  BTREE_NEXT,
  BTREE_NO_BLOCK,
  BTREE_OPAQUE,
  BTREE_PREVIOUS,
  BTREE_ROOT,
  BTREE_VERSION,
} from './btree-page.ts';
import { itemPointerBlock } from './item-pointer.ts';
import { PAGE_LOWER, PAGE_SPECIAL, type Page } from './page.ts';

const samples = readPageSamples(pageSamplesPath(17)).filter(({ relation }) => relation.startsWith('btree_'));
const flagsOf = (page: Page) => page.view.getUint16(BTREE_FLAGS, true);

test.each([
  ['btree_few', 0],
  ['btree_many', 1],
])('the meta page of %s leads to the root on level %i', (relation, level) => {
  const { view } = getPageSample(relation, BTREE_META_BLOCK);
  expect(view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_META);
  expect(view.getUint32(BTREE_META_MAGIC, true)).toBe(BTREE_MAGIC);
  expect(view.getUint32(BTREE_META_VERSION, true)).toBe(BTREE_VERSION);
  expect(view.getUint32(BTREE_META_LEVEL, true)).toBe(level);
  expect(view.getUint32(BTREE_META_FAST_LEVEL, true)).toBe(level);
  expect(view.getUint32(BTREE_META_FAST_ROOT, true)).toBe(view.getUint32(BTREE_META_ROOT, true));
  expect(view.getUint8(BTREE_META_ALL_EQUAL_IMAGE)).toBe(1);
  expect(view.getUint16(PAGE_LOWER, true)).toBe(BTREE_META_LOWER);
  const root = getPageSample(relation, view.getUint32(BTREE_META_ROOT, true));
  expect(flagsOf(root)).toBe(level === 0 ? BTREE_ROOT | BTREE_LEAF : BTREE_ROOT);
  expect(root.view.getUint32(BTREE_LEVEL, true)).toBe(level);
});

test('the leaves that a server wrote are chained from left to right in the order of the root', () => {
  for (const { page } of samples) expect(page.view.getUint16(PAGE_SPECIAL, true)).toBe(BTREE_OPAQUE);
  const root = getPageSample('btree_many', 3);
  const children = itemsOf(root).map((item) => itemPointerBlock(new DataView(item.buffer), 0));
  expect(children.length).toBe(15);
  children.forEach((block, index) => {
    const { view } = getPageSample('btree_many', block);
    expect(view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
    expect(view.getUint32(BTREE_PREVIOUS, true)).toBe(children[index - 1] ?? BTREE_NO_BLOCK);
    expect(view.getUint32(BTREE_NEXT, true)).toBe(children[index + 1] ?? BTREE_NO_BLOCK);
  });
});
