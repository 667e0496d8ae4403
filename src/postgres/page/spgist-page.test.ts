import { expect, test } from 'vitest';
import { getPageSample, pageSamplesPath, readPageSamples } from '../../../test/golden/page-samples.ts';
import { itemsOf } from '../../../test/support/index-pages.ts';
import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from './index-tuple.ts';
import { INVALID_BLOCK_NUMBER, itemPointerBlock, itemPointerOffsetNumber } from './item-pointer.ts';
import { isNewPage, lineCount, PAGE_CHECKSUM, PAGE_SPECIAL, Page, setPageLsn } from './page.ts';
import {
  initializeSpgistPage,
  SPGIST_DEAD,
  SPGIST_DEAD_POINTER,
  SPGIST_DEAD_TUPLE_BYTES,
  SPGIST_DEAD_XID,
  SPGIST_FLAGS,
  SPGIST_INNER_HEADER_BYTES,
  SPGIST_LEAF,
  SPGIST_LEAF_HEAP_POINTER,
  SPGIST_LEAF_INFO,
  SPGIST_LIVE,
  SPGIST_META,
  SPGIST_META_BLOCK,
  SPGIST_NEXT_OFFSET_MASK,
  SPGIST_NULL_BLOCK,
  SPGIST_NULLS,
  SPGIST_OPAQUE,
  SPGIST_PAGE_ID,
  SPGIST_PAGE_ID_OFFSET,
  SPGIST_PLACEHOLDER,
  SPGIST_PLACEHOLDER_COUNT,
  SPGIST_REDIRECT,
  SPGIST_REDIRECTION_COUNT,
  SPGIST_ROOT_BLOCK,
  SPGIST_TUPLE_STATE_MASK,
  spgistInnerNodeCount,
  spgistInnerPrefixSize,
  spgistInnerTupleSize,
  spgistLeafTupleSize,
} from './spgist-page.ts';

const samples = readPageSamples(pageSamplesPath(17)).filter(
  ({ relation, page }) => relation.startsWith('spgist_') && !isNewPage(page),
);
const flagsOf = (page: Page) => page.view.getUint16(SPGIST_FLAGS, true);
const leafPages = samples.filter(({ page }) => (flagsOf(page) & SPGIST_LEAF) !== 0);
const innerPages = samples.filter(({ page }) => (flagsOf(page) & (SPGIST_LEAF | SPGIST_META)) === 0);
const viewOf = (item: Uint8Array) => new DataView(item.buffer);
const stateOf = (item: Uint8Array) => item[0] & SPGIST_TUPLE_STATE_MASK;

test('every SP-GiST page of a server has its special space and its page id at the end', () => {
  for (const { page } of samples) {
    expect(page.view.getUint16(PAGE_SPECIAL, true)).toBe(SPGIST_OPAQUE);
    expect(page.view.getUint16(SPGIST_PAGE_ID_OFFSET, true)).toBe(SPGIST_PAGE_ID);
  }
  for (const relation of ['spgist_empty', 'spgist_few', 'spgist_many']) {
    expect(flagsOf(getPageSample(relation, SPGIST_META_BLOCK))).toBe(SPGIST_META);
  }
});

test.each([
  [SPGIST_ROOT_BLOCK, SPGIST_LEAF],
  [SPGIST_NULL_BLOCK, SPGIST_LEAF | SPGIST_NULLS],
])('an empty page is what a server makes of root %i of an empty index', (block, flags) => {
  const page = new Page(new Uint8Array(8192).fill(0x5a));
  initializeSpgistPage(page, flags);
  const expected = getPageSample('spgist_empty', block);
  setPageLsn(expected, 0, 0);
  expected.view.setUint16(PAGE_CHECKSUM, 0, true);
  expect(page.bytes).toEqual(expected.bytes);
});

test('leaf pages count their redirections and placeholders', () => {
  const seen = new Set<number>();
  for (const { relation, block, page } of leafPages) {
    const states = itemsOf(page).map(stateOf);
    for (const state of states) seen.add(state);
    const count = (state: number) => states.filter((candidate) => candidate === state).length;
    const name = `${relation} ${block}`;
    expect(page.view.getUint16(SPGIST_PLACEHOLDER_COUNT, true), name).toBe(count(SPGIST_PLACEHOLDER));
    expect(page.view.getUint16(SPGIST_REDIRECTION_COUNT, true), name).toBe(count(SPGIST_REDIRECT));
  }
  expect([...seen].sort()).toEqual([SPGIST_LIVE, SPGIST_DEAD, SPGIST_PLACEHOLDER]);
});

test('leaf tuples are as long as they say, lead to the heap, and chain up within their page', () => {
  for (const { page } of leafPages) {
    const items = itemsOf(page);
    for (const item of items) {
      const view = viewOf(item);
      expect(spgistLeafTupleSize(view, 0)).toBe(item.length);
      const next = view.getUint16(SPGIST_LEAF_INFO, true) & SPGIST_NEXT_OFFSET_MASK;
      if (stateOf(item) === SPGIST_LIVE) {
        expect(itemPointerOffsetNumber(view, SPGIST_LEAF_HEAP_POINTER)).toBeGreaterThan(0);
        expect(itemPointerBlock(view, SPGIST_LEAF_HEAP_POINTER)).toBeLessThan(40);
        if (next !== 0) expect(stateOf(items[next - 1])).toBe(SPGIST_LIVE);
      } else {
        expect(item.length).toBe(SPGIST_DEAD_TUPLE_BYTES);
        expect(next).toBe(0);
        expect(itemPointerBlock(view, SPGIST_DEAD_POINTER)).toBe(INVALID_BLOCK_NUMBER);
        if (stateOf(item) === SPGIST_DEAD) expect(view.getUint32(SPGIST_DEAD_XID, true)).toBe(0);
      }
    }
  }
});

test('inner tuples are as long as they say, and their nodes lead to tuples that are there', () => {
  let nodes = 0;
  for (const { relation, page } of innerPages) {
    for (const item of itemsOf(page)) {
      const view = viewOf(item);
      expect(stateOf(item)).toBe(SPGIST_LIVE);
      expect(spgistInnerTupleSize(view, 0)).toBe(item.length);
      let position = SPGIST_INNER_HEADER_BYTES + spgistInnerPrefixSize(view, 0);
      for (let node = 0; node < spgistInnerNodeCount(view, 0); node++) {
        const target = getPageSample(relation, itemPointerBlock(view, position));
        expect(itemPointerOffsetNumber(view, position)).toBeLessThanOrEqual(lineCount(target));
        expect(indexTupleSize(view, position)).toBeGreaterThanOrEqual(INDEX_TUPLE_HEADER_BYTES);
        position += indexTupleSize(view, position);
        nodes++;
      }
      expect(position).toBe(item.length);
    }
  }
  expect(nodes).toBeGreaterThan(10);
  const root = itemsOf(getPageSample('spgist_many', SPGIST_ROOT_BLOCK))[0];
  expect(spgistInnerNodeCount(viewOf(root), 0)).toBe(7);
  const prefixEnd = SPGIST_INNER_HEADER_BYTES + spgistInnerPrefixSize(viewOf(root), 0);
  expect(Buffer.from(root.subarray(SPGIST_INNER_HEADER_BYTES, prefixEnd)).toString()).toContain('prefix/');
});
