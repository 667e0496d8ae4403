import { expect, test } from 'vitest';
import {
  GIN_DELETED,
  GIN_FLAGS,
  GIN_LEAF,
  GIN_OPAQUE,
  initializeGinPage,
} from '../../postgres/page/gin-page.ts';
import {
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_SPECIAL,
  PAGE_UPPER,
  Page,
  setPageLsn,
} from '../../postgres/page/page.ts';
import { RedoFailure } from '../redo-failure.ts';
import { maskGin } from './gin.ts';

function makePage(flags: number, lower: number): Page {
  const page = new Page();
  initializeGinPage(page, flags);
  page.view.setUint16(PAGE_LOWER, lower, true);
  page.view.setUint16(PAGE_UPPER, 8000, true);
  page.bytes.fill(0x77, 24, GIN_OPAQUE);
  setPageLsn(page, 1, 2);
  page.view.setUint16(PAGE_CHECKSUM, 3, true);
  page.view.setUint16(PAGE_FLAGS, 7, true);
  page.view.setUint32(PAGE_PRUNE_XID, 9, true);
  return page;
}

/** The page with a blank header and zeros where the mask is to put them. */
function blank(page: Page, from: number, to: number): Page {
  const copy = new Page(page.bytes.slice());
  copy.bytes.fill(0, 0, 12);
  copy.view.setUint32(PAGE_PRUNE_XID, 0, true);
  copy.bytes.fill(0, from, to);
  return copy;
}

test('the space between the content and its end is masked, if pd_lower says where', () => {
  const page = makePage(GIN_LEAF, 100);
  const expected = blank(page, 100, 8000);
  maskGin(page);
  expect(page).toEqual(expected);
  const old = makePage(GIN_LEAF, 24);
  const expectedOld = blank(old, 24, 24);
  maskGin(old);
  expect(old).toEqual(expectedOld);
});

test('nothing of a deleted page counts but its header', () => {
  const page = makePage(GIN_DELETED, 100);
  const expected = blank(page, 24, 8192);
  expected.view.setUint16(PAGE_LOWER, 0, true);
  expected.view.setUint16(PAGE_UPPER, 0, true);
  maskGin(page);
  expect(page).toEqual(expected);
});

test('other pages', () => {
  const empty = new Page();
  setPageLsn(empty, 1, 2);
  maskGin(empty);
  expect(empty).toEqual(new Page());
  const foreign = makePage(GIN_LEAF, 100);
  foreign.view.setUint16(PAGE_SPECIAL, 8176, true);
  expect(() => maskGin(foreign)).toThrow(RedoFailure);
  const damaged = makePage(GIN_LEAF, 8100);
  expect(damaged.view.getUint16(GIN_FLAGS, true)).toBe(GIN_LEAF);
  expect(() => maskGin(damaged)).toThrow(/page pointers/);
});
