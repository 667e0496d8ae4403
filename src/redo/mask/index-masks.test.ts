import { expect, test } from 'vitest';
import { makeBtreePage, makeHashPage, makeTuple, tid } from '../../../test/support/btree-and-hash-pages.ts';
import { disturbHeader } from '../../../test/support/masked-pages.ts';
import { BTREE_CYCLE_ID } from '../../postgres/page/btree-page.ts';
import { LINE_DEAD, linePointerOffset, PAGE_UPPER, type Page } from '../../postgres/page/page.ts';
import { maskBtree } from './btree.ts';
import { maskHash } from './hash.ts';

const items = [makeTuple(1, tid(0, 1)), makeTuple(2, tid(0, 2))];

/** Changes all that every mask leaves out. */
function disturb(page: Page): Page {
  disturbHeader(page);
  page.bytes[page.view.getUint16(PAGE_UPPER, true) - 1] = 0xaa;
  return page;
}

function markDead(page: Page): Page {
  const position = linePointerOffset(2);
  page.view.setUint32(position, page.view.getUint32(position, true) | (LINE_DEAD << 15), true);
  return page;
}

function maskedBtree(page: Page): Uint8Array {
  maskBtree(page);
  return page.bytes;
}

function maskedHash(page: Page): Uint8Array {
  maskHash(page);
  return page.bytes;
}

test('btree: hints, free space, cycle ids and marks of dead leaf tuples do not count', () => {
  const masked = maskedBtree(makeBtreePage({ flags: 1, items }));
  const page = markDead(disturb(makeBtreePage({ flags: 1 | 0x20 | 0x40, items })));
  page.view.setUint16(BTREE_CYCLE_ID, 3, true);
  expect(maskedBtree(page)).toEqual(masked);
  expect(maskedBtree(makeBtreePage({ flags: 1 | 0x80, items }))).not.toEqual(masked);
  expect(maskedBtree(makeBtreePage({ flags: 1, next: 4, items }))).not.toEqual(masked);
  expect(maskedBtree(makeBtreePage({ flags: 1, items: items.slice(1) }))).not.toEqual(masked);
});

test('btree: marks on inner pages count', () => {
  const masked = maskedBtree(makeBtreePage({ flags: 0, level: 1, items }));
  expect(maskedBtree(markDead(makeBtreePage({ flags: 0, level: 1, items })))).not.toEqual(masked);
  expect(maskedBtree(disturb(makeBtreePage({ flags: 0, level: 1, items })))).toEqual(masked);
});

test.each([1, 2])('hash: marks of dead tuples do not count on pages of type %i', (flag) => {
  const masked = maskedHash(makeHashPage({ flag, items }));
  expect(maskedHash(markDead(disturb(makeHashPage({ flag: flag | 0x80, items }))))).toEqual(masked);
  expect(maskedHash(makeHashPage({ flag: flag | 0x40, items }))).not.toEqual(masked);
  expect(maskedHash(makeHashPage({ flag, bucket: 4, items }))).not.toEqual(masked);
});

test('hash: nothing counts on an unused page, all on a bitmap page', () => {
  expect(maskedHash(makeHashPage({ flag: 0, items }))).toEqual(
    maskedHash(makeHashPage({ flag: 0x10, bucket: 9 })),
  );
  const masked = maskedHash(makeHashPage({ flag: 4, items }));
  expect(maskedHash(markDead(makeHashPage({ flag: 4, items })))).not.toEqual(masked);
});
