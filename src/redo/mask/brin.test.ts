import { expect, test } from 'vitest';
import { expectOtherPagesAreRefused, fillPage, maskedCopy } from '../../../test/support/masked-pages.ts';
import {
  BRIN_PAGE_FLAGS,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_PAGETYPE_REVMAP,
  initializeBrinPage,
} from '../../postgres/page/brin-page.ts';
import { Page } from '../../postgres/page/page.ts';
import { maskBrin } from './brin.ts';

function makePage(type: number, lower: number): Page {
  const page = new Page();
  initializeBrinPage(page, type);
  // The flag "evacuate" and one that is not known.
  page.view.setUint16(BRIN_PAGE_FLAGS, 3, true);
  return fillPage(page, lower);
}

test.each([
  ['regular page', BRIN_PAGETYPE_REGULAR, 100, 100],
  ['empty regular page', BRIN_PAGETYPE_REGULAR, 24, 24],
  ['meta page', BRIN_PAGETYPE_META, 40, 40],
  ['meta page of before version 11', BRIN_PAGETYPE_META, 24, 8000],
  ['revmap page', BRIN_PAGETYPE_REVMAP, 24, 8000],
])('%s', (_, type, lower, maskedFrom) => {
  const page = makePage(type, lower);
  const expected = maskedCopy(page, maskedFrom, 8000);
  expected.view.setUint16(BRIN_PAGE_FLAGS, 2, true);
  maskBrin(page);
  expect(page).toEqual(expected);
});

test('other pages', () => {
  expectOtherPagesAreRefused(maskBrin, (lower) => makePage(BRIN_PAGETYPE_REGULAR, lower));
});
