import { expect, test } from 'vitest';
import { appendItem, indexTuple, itemsOf, lineFlagsOf } from '../../../test/support/index-pages.ts';
import { disturbHeader } from '../../../test/support/masked-pages.ts';
import {
  GIST_FLAGS,
  GIST_FOLLOW_RIGHT,
  GIST_HAS_GARBAGE,
  GIST_LEAF,
  GIST_NSN_HIGH,
  GIST_NSN_LOW,
  GIST_TUPLES_DELETED,
  initializeGistPage,
} from '../../postgres/page/gist-page.ts';
import {
  LINE_DEAD,
  LINE_NORMAL,
  LINE_UNUSED,
  linePointerOffset,
  PAGE_SPECIAL,
  Page,
} from '../../postgres/page/page.ts';
import { RedoFailure } from '../redo-failure.ts';
import { maskGist } from './gist.ts';

const tuples = [indexTuple(1, 1), indexTuple(2, 2, 24, 0xbb)];

function gistPage(flags: number): Page {
  const page = new Page();
  initializeGistPage(page, flags);
  for (const tuple of tuples) appendItem(page, tuple);
  return page;
}

/** The same page after all that may happen to it without WAL, or with an LSN of its own. */
function touched(flags: number): Page {
  const page = gistPage(flags | GIST_FOLLOW_RIGHT | GIST_HAS_GARBAGE | GIST_TUPLES_DELETED);
  disturbHeader(page);
  page.view.setUint32(GIST_NSN_HIGH, 3, true);
  page.view.setUint32(GIST_NSN_LOW, 4, true);
  page.view.setUint8(2000, 0xee);
  return page;
}

function setLineFlags(page: Page, line: number, flags: number): void {
  const position = linePointerOffset(line);
  page.view.setUint32(
    position,
    ((page.view.getUint32(position, true) & ~(3 << 15)) | (flags << 15)) >>> 0,
    true,
  );
}

const masked = (page: Page): Page => {
  maskGist(page);
  return page;
};

test('what changes without WAL does not count', () => {
  for (const flags of [0, GIST_LEAF]) {
    expect(masked(touched(flags)).bytes).toEqual(masked(gistPage(flags)).bytes);
    expect(itemsOf(masked(touched(flags)))).toEqual(tuples);
  }
});

test('the flags of line pointers only count on inner pages', () => {
  const leaf = touched(GIST_LEAF);
  setLineFlags(leaf, 2, LINE_DEAD);
  expect(masked(leaf).bytes).toEqual(masked(gistPage(GIST_LEAF)).bytes);
  expect(lineFlagsOf(leaf, 2)).toBe(LINE_UNUSED);
  const inner = touched(0);
  setLineFlags(inner, 2, LINE_DEAD);
  expect(masked(inner).bytes).not.toEqual(masked(gistPage(0)).bytes);
  expect(lineFlagsOf(masked(gistPage(0)), 1)).toBe(LINE_NORMAL);
});

test('tuples and the leaf flag count', () => {
  const other = gistPage(GIST_LEAF);
  other.view.setUint8(8170, 1);
  expect(masked(other).bytes).not.toEqual(masked(gistPage(GIST_LEAF)).bytes);
  expect(masked(gistPage(0)).view.getUint16(GIST_FLAGS, true)).toBe(GIST_FOLLOW_RIGHT);
  expect(masked(gistPage(GIST_LEAF)).view.getUint16(GIST_FLAGS, true)).toBe(GIST_LEAF | GIST_FOLLOW_RIGHT);
});

test('refuses a page that is no GiST page', () => {
  const page = gistPage(0);
  page.view.setUint16(PAGE_SPECIAL, 8184, true);
  expect(() => maskGist(page)).toThrow(RedoFailure);
  expect(() => maskGist(new Page())).toThrow(RedoFailure);
});
