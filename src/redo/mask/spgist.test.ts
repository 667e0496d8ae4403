import { expect, test } from 'vitest';
import { disturbHeader } from '../../../test/support/masked-pages.ts';
import { leafTuple, spgistPage } from '../../../test/support/spgist-tuples.ts';
import { PAGE_LOWER, PAGE_UPPER, Page } from '../../postgres/page/page.ts';
import { SPGIST_LEAF, SPGIST_PLACEHOLDER_COUNT } from '../../postgres/page/spgist-page.ts';
import { RedoFailure } from '../redo-failure.ts';
import { maskSpgist } from './spgist.ts';

const leafPage = () => spgistPage(SPGIST_LEAF, [leafTuple(65), leafTuple(66)]);
const masked = (page: Page): Uint8Array => {
  maskSpgist(page);
  return page.bytes;
};

test('what changes without WAL does not count, all else does', () => {
  const page = disturbHeader(leafPage());
  page.view.setUint8(2000, 0xee);
  expect(masked(page)).toEqual(masked(leafPage()));
  for (const offset of [8180, SPGIST_PLACEHOLDER_COUNT, 24]) {
    const other = leafPage();
    other.view.setUint8(offset, other.view.getUint8(offset) ^ 1);
    expect(masked(other), `byte ${offset}`).not.toEqual(masked(leafPage()));
  }
});

test('unused space is only masked where the lower end can be right', () => {
  const page = new Page(new Uint8Array(8192).fill(0x11));
  page.view.setUint16(PAGE_LOWER, 0, true);
  expect(masked(page)[2000]).toBe(0x11);
  const damaged = leafPage();
  damaged.view.setUint16(PAGE_UPPER, 25, true);
  expect(() => maskSpgist(damaged)).toThrow(RedoFailure);
});
