import { expect, test } from 'vitest';
import {
  BRIN_PAGE_FLAGS,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_PAGETYPE_REVMAP,
  BRIN_SPECIAL,
  initializeBrinPage,
} from '../../postgres/page/brin-page.ts';
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
import { maskBrin } from './brin.ts';

function makePage(type: number, lower: number): Page {
  const page = new Page();
  initializeBrinPage(page, type);
  page.view.setUint16(PAGE_LOWER, lower, true);
  page.view.setUint16(PAGE_UPPER, 8000, true);
  page.bytes.fill(0x77, 24, BRIN_SPECIAL);
  // The flag "evacuate" and one that is not known.
  page.view.setUint16(BRIN_PAGE_FLAGS, 3, true);
  setPageLsn(page, 1, 2);
  page.view.setUint16(PAGE_CHECKSUM, 3, true);
  page.view.setUint16(PAGE_FLAGS, 7, true);
  page.view.setUint32(PAGE_PRUNE_XID, 9, true);
  return page;
}

test.each([
  ['regular page', BRIN_PAGETYPE_REGULAR, 100, 100],
  ['empty regular page', BRIN_PAGETYPE_REGULAR, 24, 24],
  ['meta page', BRIN_PAGETYPE_META, 40, 40],
  ['meta page of before version 11', BRIN_PAGETYPE_META, 24, 8000],
  ['revmap page', BRIN_PAGETYPE_REVMAP, 24, 8000],
])('%s', (_, type, lower, maskedFrom) => {
  const page = makePage(type, lower);
  const expected = new Page(page.bytes.slice());
  expected.bytes.fill(0, 0, 12);
  expected.view.setUint32(PAGE_PRUNE_XID, 0, true);
  expected.view.setUint16(BRIN_PAGE_FLAGS, 2, true);
  expected.bytes.fill(0, maskedFrom, 8000);
  maskBrin(page);
  expect(page).toEqual(expected);
});

test('other pages', () => {
  const empty = new Page();
  setPageLsn(empty, 1, 2);
  maskBrin(empty);
  expect(empty).toEqual(new Page());
  const foreign = makePage(BRIN_PAGETYPE_REGULAR, 100);
  foreign.view.setUint16(PAGE_SPECIAL, 8176, true);
  expect(() => maskBrin(foreign)).toThrow(RedoFailure);
  expect(() => maskBrin(makePage(BRIN_PAGETYPE_REGULAR, 8100))).toThrow(/page pointers/);
});
