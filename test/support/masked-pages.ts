/** Pages for tests of masks: full of what no mask lets count, and what a mask is to leave of them. */
import { expect } from 'vitest';
import {
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_HEADER_BYTES,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_SPECIAL,
  PAGE_UPPER,
  PAGE_VALID_FLAGS,
  Page,
  setPageLsn,
} from '../../src/postgres/page/page.ts';
import { RedoFailure } from '../../src/redo/redo-failure.ts';

/** Changes all of the header that may change without WAL, and the LSN. */
export function disturbHeader(page: Page): Page {
  setPageLsn(page, 1, 2);
  page.view.setUint16(PAGE_CHECKSUM, 3, true);
  page.view.setUint16(PAGE_FLAGS, PAGE_VALID_FLAGS, true);
  page.view.setUint32(PAGE_PRUNE_XID, 9, true);
  return page;
}

/** Puts bytes everywhere between the header, which it disturbs, and the special space; the hole ends at 8000. */
export function fillPage(page: Page, lower: number): Page {
  page.view.setUint16(PAGE_LOWER, lower, true);
  page.view.setUint16(PAGE_UPPER, 8000, true);
  page.bytes.fill(0x77, PAGE_HEADER_BYTES, page.view.getUint16(PAGE_SPECIAL, true));
  return disturbHeader(page);
}

/** A copy with the header as a mask leaves it, and zeros in [start, end). */
export function maskedCopy(page: Page, start: number, end: number): Page {
  const copy = new Page(page.bytes.slice());
  copy.bytes.fill(0, 0, PAGE_LOWER);
  copy.view.setUint32(PAGE_PRUNE_XID, 0, true);
  copy.bytes.fill(0, start, end);
  return copy;
}

/**
 * Demands that a mask takes an empty page, and refuses one with another special space and one whose hole begins behind
 * its end. `makePage` makes a good page with the given pd_lower.
 */
export function expectOtherPagesAreRefused(
  mask: (page: Page) => void,
  makePage: (lower: number) => Page,
): void {
  const empty = new Page();
  setPageLsn(empty, 1, 2);
  mask(empty);
  expect(empty).toEqual(new Page());
  const foreign = makePage(100);
  foreign.view.setUint16(PAGE_SPECIAL, 8176, true);
  expect(() => mask(foreign)).toThrow(RedoFailure);
  expect(() => mask(makePage(8100))).toThrow(/page pointers/);
}
