import { expect, test } from 'vitest';
import { getPageSample, pageSamplesPath, readPageSamples } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import {
  GIST_DELETE_XID,
  GIST_DELETED,
  GIST_DELETED_LOWER,
  GIST_FLAGS,
  GIST_LEAF,
  GIST_NSN_HIGH,
  GIST_NSN_LOW,
  GIST_OPAQUE,
  GIST_PAGE_ID,
  GIST_PAGE_ID_OFFSET,
  GIST_RIGHT_LINK,
  GIST_ROOT_BLOCK,
  GIST_TUPLES_DELETED,
  initializeGistPage,
} from './gist-page.ts';
import { INVALID_BLOCK_NUMBER, itemPointerBlock } from './item-pointer.ts';
import { getPageLsn, PAGE_CHECKSUM, PAGE_LOWER, PAGE_SPECIAL, Page, setPageLsn } from './page.ts';

const samples = readPageSamples(pageSamplesPath(17)).filter(({ relation }) => relation.startsWith('gist_'));
const pages = new Map(
  samples.filter(({ relation }) => relation === 'gist_many').map(({ block, page }) => [block, page]),
);
const flagsOf = (page: Page) => page.view.getUint16(GIST_FLAGS, true);

test('every GiST page of a server has its special space and its page id at the end', () => {
  for (const { page } of samples) {
    expect(page.view.getUint16(PAGE_SPECIAL, true)).toBe(GIST_OPAQUE);
    expect(page.view.getUint16(GIST_PAGE_ID_OFFSET, true)).toBe(GIST_PAGE_ID);
  }
  expect(samples.length).toBeGreaterThan(15);
});

test('an empty page is what a server makes of the root of an empty index', () => {
  const page = new Page(new Uint8Array(8192).fill(0x5a));
  initializeGistPage(page, GIST_LEAF);
  const expected = getPageSample('gist_empty', GIST_ROOT_BLOCK);
  setPageLsn(expected, 0, 0);
  expected.view.setUint16(PAGE_CHECKSUM, 0, true);
  expect(page.bytes).toEqual(expected.bytes);
});

test('the root leads to all leaves but the deleted one, and right links lead through them', () => {
  const root = pages.get(GIST_ROOT_BLOCK) as Page;
  expect(flagsOf(root)).toBe(0);
  const children = itemsOf(root).map((item) => itemPointerBlock(new DataView(item.buffer), 0));
  const isDeleted = (page: Page) => (flagsOf(page) & GIST_DELETED) !== 0;
  const living = [...pages.keys()].filter(
    (block) => block !== GIST_ROOT_BLOCK && !isDeleted(pages.get(block) as Page),
  );
  expect(children.sort((a, b) => a - b)).toEqual(living.sort((a, b) => a - b));
  const linked = new Set<number>();
  for (const block of living) {
    const page = pages.get(block) as Page;
    expect(flagsOf(page) & GIST_LEAF).toBe(GIST_LEAF);
    const next = page.view.getUint32(GIST_RIGHT_LINK, true);
    if (next === INVALID_BLOCK_NUMBER) continue;
    expect(pages.has(next)).toBe(true);
    expect(linked.has(next)).toBe(false);
    linked.add(next);
  }
});

test('the NSN of a split page is the LSN of a record, high half first', () => {
  const split = [...pages.values()].filter((page) => page.view.getUint32(GIST_NSN_LOW, true) !== 0);
  expect(split.length).toBeGreaterThan(5);
  for (const page of split) {
    expect(page.view.getUint32(GIST_NSN_HIGH, true)).toBe(0);
    expect(page.view.getUint32(GIST_NSN_LOW, true)).toBeLessThanOrEqual(getPageLsn(page));
    expect(page.view.getUint32(GIST_NSN_LOW, true) % 8).toBe(0);
  }
});

test('a deleted page keeps the next transaction of its time in the place of lines', () => {
  const deleted = [...pages.values()].filter((page) => (flagsOf(page) & GIST_DELETED) !== 0);
  expect(deleted.length).toBe(1);
  expect(flagsOf(deleted[0])).toBe(GIST_LEAF | GIST_DELETED | GIST_TUPLES_DELETED);
  expect(deleted[0].view.getUint16(PAGE_LOWER, true)).toBe(GIST_DELETED_LOWER);
  const xid = deleted[0].view.getBigUint64(GIST_DELETE_XID, true);
  expect(xid > 700n && xid < 10_000n, `${xid}`).toBe(true);
});
