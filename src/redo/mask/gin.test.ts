import { expect, test } from 'vitest';
import { expectOtherPagesAreRefused, fillPage, maskedCopy } from '../../../test/support/masked-pages.ts';
import { GIN_DELETED, GIN_FLAGS, GIN_LEAF, initializeGinPage } from '../../postgres/page/gin-page.ts';
import { PAGE_LOWER, PAGE_UPPER, Page } from '../../postgres/page/page.ts';
import { maskGin } from './gin.ts';

function makePage(flags: number, lower: number): Page {
  const page = new Page();
  initializeGinPage(page, flags);
  return fillPage(page, lower);
}

test('the space between the content and its end is masked, if pd_lower says where', () => {
  const page = makePage(GIN_LEAF, 100);
  const expected = maskedCopy(page, 100, 8000);
  maskGin(page);
  expect(page).toEqual(expected);
  const old = makePage(GIN_LEAF, 24);
  const expectedOld = maskedCopy(old, 24, 24);
  maskGin(old);
  expect(old).toEqual(expectedOld);
});

test('nothing of a deleted page counts but its header', () => {
  const page = makePage(GIN_DELETED, 100);
  const expected = maskedCopy(page, 24, 8192);
  expected.view.setUint16(PAGE_LOWER, 0, true);
  expected.view.setUint16(PAGE_UPPER, 0, true);
  maskGin(page);
  expect(page).toEqual(expected);
});

test('other pages', () => {
  expect(makePage(GIN_LEAF, 8100).view.getUint16(GIN_FLAGS, true)).toBe(GIN_LEAF);
  expectOtherPagesAreRefused(maskGin, (lower) => makePage(GIN_LEAF, lower));
});
