import { expect, test } from 'vitest';
import { getPageSample, pageSamplesPath, readPageSamples } from '../../../test/golden/page-samples.ts';
import { computePageChecksum } from './checksum.ts';
import {
  getPageLsn,
  initializePage,
  isNewPage,
  LINE_NORMAL,
  lineCount,
  lineFlags,
  lineItemLength,
  lineItemOffset,
  linePointerOffset,
  makeLinePointer,
  maxAlign,
  PAGE_CHECKSUM,
  PAGE_FLAGS,
  PAGE_HEADER_BYTES,
  PAGE_LAYOUT_VERSION,
  PAGE_LOWER,
  PAGE_SIZE_VERSION,
  PAGE_SPECIAL,
  PAGE_UPPER,
  PAGE_VALID_FLAGS,
  Page,
  setPageLsn,
} from './page.ts';

const samples = readPageSamples(pageSamplesPath(17));
const written = samples.filter(({ page }) => !isNewPage(page));
/** Their metadata stands where other pages have line pointers. */
const hasLines = ({ relation, block, page }: (typeof samples)[number]) =>
  !(block === 0 && /^(spgist|btree|hash|gin|brin)/.test(relation)) &&
  !['hash_few 3', 'brin_few 1'].includes(`${relation} ${block}`) &&
  page.view.getUint16(PAGE_LOWER, true) !== 32;

test('the headers of pages that a server wrote', () => {
  expect(written.length).toBeGreaterThan(60);
  for (const { relation, block, page } of written) {
    const { view } = page;
    const name = `${relation} ${block}`;
    const special = view.getUint16(PAGE_SPECIAL, true);
    expect(view.getUint16(PAGE_SIZE_VERSION, true), name).toBe(8192 | PAGE_LAYOUT_VERSION);
    expect(view.getUint16(PAGE_LOWER, true), name).toBeGreaterThanOrEqual(PAGE_HEADER_BYTES);
    expect(view.getUint16(PAGE_LOWER, true), name).toBeLessThanOrEqual(view.getUint16(PAGE_UPPER, true));
    expect(view.getUint16(PAGE_UPPER, true), name).toBeLessThanOrEqual(special);
    expect(maxAlign(special), name).toBe(special);
    expect(view.getUint16(PAGE_FLAGS, true) & ~PAGE_VALID_FLAGS, name).toBe(0);
    expect(view.getUint16(PAGE_CHECKSUM, true), name).toBe(computePageChecksum(page, block));
    expect(getPageLsn(page), name).toBeGreaterThan(0x100_0000);
    expect(getPageLsn(page), name).toBeLessThan(0x1_0000_0000);
  }
});

test('the items of pages that a server wrote fill all of the room between upper and special', () => {
  for (const { relation, block, page } of written.filter(hasLines)) {
    let total = 0;
    for (let line = 1; line <= lineCount(page); line++) {
      const pointer = page.view.getUint32(linePointerOffset(line), true);
      const offset = lineItemOffset(pointer);
      expect(lineFlags(pointer)).toBe(LINE_NORMAL);
      expect(offset).toBeGreaterThanOrEqual(page.view.getUint16(PAGE_UPPER, true));
      expect(makeLinePointer(offset, LINE_NORMAL, lineItemLength(pointer))).toBe(pointer);
      total += maxAlign(lineItemLength(pointer));
    }
    const room = page.view.getUint16(PAGE_SPECIAL, true) - page.view.getUint16(PAGE_UPPER, true);
    expect(total, `${relation} ${block}`).toBe(room);
  }
});

test('a page that was never written is new', () => {
  expect(isNewPage(getPageSample('spgist_many', 7))).toBe(true);
  expect(isNewPage(new Page())).toBe(true);
  const page = new Page(new Uint8Array(8192).fill(0xff));
  initializePage(page, 5);
  expect(isNewPage(page)).toBe(false);
  expect(page.view.getUint16(PAGE_SPECIAL, true), 'special space is aligned').toBe(8184);
  expect(lineCount(page)).toBe(0);
  expect(page.bytes.subarray(PAGE_HEADER_BYTES).every((byte) => byte === 0)).toBe(true);
});

test('a page has exactly one block of bytes', () => {
  expect(() => new Page(new Uint8Array(8191))).toThrow(RangeError);
  const bytes = new Uint8Array(3 * 8192);
  const page = new Page(bytes.subarray(8192, 16384));
  page.view.setUint8(0, 7);
  expect(bytes[8192]).toBe(7);
});

test('the number of lines follows from pd_lower, however damaged', () => {
  const page = new Page();
  for (const [lower, lines] of [
    [0, 0],
    [24, 0],
    [27, 0],
    [28, 1],
    [8192, 2042],
    [0xffff, 2042],
  ]) {
    page.view.setUint16(PAGE_LOWER, lower, true);
    expect(lineCount(page), `${lower}`).toBe(lines);
  }
});

test('the LSN has its high half first', () => {
  const page = new Page();
  setPageLsn(page, 0x12, 0x3456_789a);
  expect([...page.bytes.subarray(0, 8)]).toEqual([0x12, 0, 0, 0, 0x9a, 0x78, 0x56, 0x34]);
  expect(getPageLsn(page)).toBe(0x12_3456_789a);
});

test('a line pointer holds offset, flags and length', () => {
  const pointer = makeLinePointer(0x7fff, 3, 0x7fff);
  expect(pointer).toBe(0xffff_ffff);
  expect([lineItemOffset(pointer), lineFlags(pointer), lineItemLength(pointer)]).toEqual([0x7fff, 3, 0x7fff]);
  const other = makeLinePointer(8000, 1, 100);
  expect([lineItemOffset(other), lineFlags(other), lineItemLength(other)]).toEqual([8000, 1, 100]);
});
