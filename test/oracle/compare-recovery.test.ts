import { describe, expect, test } from 'vitest';
import {
  PAGE_FLAGS,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_UPPER,
  Page,
  setPageLsn,
} from '../../src/postgres/page/page.ts';
import { heapPage } from '../support/heap-pages.ts';
import { comparePages } from './compare-recovery.ts';

function samplePage(change: (page: Page) => void = () => undefined): Page {
  const page = heapPage({ data: [1, 2, 3] }, { data: [4] });
  setPageLsn(page, 1, 0x500);
  change(page);
  return page;
}

const differences: [string, (page: Page) => void][] = [
  ['the low half of the LSN', (page) => setPageLsn(page, 1, 0x508)],
  ['the high half of the LSN', (page) => setPageLsn(page, 2, 0x500)],
  ['a flag', (page) => page.view.setUint16(PAGE_FLAGS, 1, true)],
  ['the xid for pruning', (page) => page.view.setUint32(PAGE_PRUNE_XID, 700, true)],
  ['the end of the lines', (page) => page.view.setUint16(PAGE_LOWER, 28, true)],
  ['a line', (page) => page.bytes.fill(0, 24, 28)],
  ['a hint bit', (page) => page.bytes.fill(0x01, 8192 - 32 + 21, 8192 - 32 + 22)],
  ['the command id', (page) => page.bytes.fill(0x01, 8192 - 32 + 8, 8192 - 32 + 9)],
  ['the padding after an item', (page) => page.bytes.fill(0x01, 8191)],
];

describe('two pages', () => {
  test('are the same but for the checksum and the space that is not in use', () => {
    const other = samplePage((page) => {
      page.view.setUint16(8, 0xabcd, true);
      page.bytes.fill(0xee, page.view.getUint16(PAGE_LOWER, true), page.view.getUint16(PAGE_UPPER, true));
    });
    expect(comparePages(samplePage(), other, true)).toBeUndefined();
    expect(comparePages(undefined, new Page(), true)).toBeUndefined();
    expect(comparePages(undefined, undefined, true)).toBeUndefined();
  });

  test.each(differences)('differ in %s', (_, change) => {
    const before = samplePage().bytes;
    const left = samplePage();
    expect(comparePages(left, samplePage(change), true)).toMatch(/instead of/);
    expect(comparePages(samplePage(change), left, true)).toMatch(/instead of/);
    expect(left.bytes, 'comparing changes nothing').toEqual(before);
  });

  test('differ where only one has ever been written', () => {
    expect(comparePages(samplePage(), undefined, true)).toMatch(/^LSN 1\/500 instead of 0\/0$/);
    expect(
      comparePages(
        undefined,
        samplePage((page) => setPageLsn(page, 0, 0)),
        true,
      ),
    ).toMatch(/^offset 12 /);
  });

  test('may have different LSNs where those are not compared', () => {
    const other = samplePage((page) => setPageLsn(page, 2, 8));
    expect(comparePages(samplePage(), other, false)).toBeUndefined();
  });
});
