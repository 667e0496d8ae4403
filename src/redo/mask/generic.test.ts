import { expect, test } from 'vitest';
import {
  initializePage,
  PAGE_FLAGS,
  PAGE_LOWER,
  PAGE_UPPER,
  Page,
  setPageLsn,
} from '../../postgres/page/page.ts';
import { maskGeneric } from './generic.ts';

test('only the hole, the LSN and the checksum are masked', () => {
  const page = new Page();
  initializePage(page, 8);
  page.view.setUint16(PAGE_LOWER, 100, true);
  page.view.setUint16(PAGE_UPPER, 8000, true);
  page.view.setUint16(PAGE_FLAGS, 7, true);
  page.bytes.fill(0x77, 24);
  const expected = new Page(page.bytes.slice());
  expected.bytes.fill(0, 100, 8000);
  setPageLsn(page, 1, 2);
  maskGeneric(page);
  expect(page).toEqual(expected);
  page.view.setUint16(PAGE_LOWER, 8001, true);
  expect(() => maskGeneric(page)).toThrow(/page pointers/);
});
