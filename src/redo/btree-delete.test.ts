import { describe, expect, test } from 'vitest';
import { makeBtreePage, makePosting, makeTuple, tid } from '../../test/support/btree-and-hash-pages.ts';
import {
  type BlockSample,
  expectCutsAreRefused,
  expectDamageIsRefused,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { itemOffsetsOf, itemsOf } from '../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import { BTREE_FLAGS, BTREE_HAS_GARBAGE, BTREE_LEAF, BTREE_OPAQUE } from '../postgres/page/btree-page.ts';
import { LINE_DEAD, lineFlags, linePointerOffset, PAGE_UPPER, type Page } from '../postgres/page/page.ts';
import { RM_BTREE } from '../postgres/rmgr/resource-manager.ts';
import { redoBtree } from './btree.ts';

const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const replay = (page: Page, record: RecordParts): boolean => redoBtree(page, buildRecord(record), 0);
const isRefused = (page: Page, record: RecordParts): boolean =>
  redoRefuses(redoBtree, page, buildRecord(record), 0);

const vacuum = (deleted: number, updated: number, data: Uint8Array): RecordParts => ({
  resourceManager: RM_BTREE,
  info: 0xc0,
  mainData: words(deleted, updated),
  blocks: [{ data }],
});
const remove = (deleted: number, updated: number, data: Uint8Array): RecordParts => ({
  resourceManager: RM_BTREE,
  info: 0x70,
  mainData: new ByteWriter().u32(700).u16s(deleted, updated).u8(1).finish(),
  blocks: [{ data }],
});
const dedup = (...intervals: number[]): RecordParts => ({
  resourceManager: RM_BTREE,
  info: 0x60,
  mainData: words(intervals.length / 2),
  blocks: [{ data: words(...intervals) }],
});

const list = [1, 2, 3, 4, 5].map((offset) => tid(1, offset));
const posting = makePosting(5, list);
const without = (...indexes: number[]): Uint8Array =>
  makePosting(
    5,
    list.filter((_, index) => !indexes.includes(index)),
  );
const tuples = [1, 2, 3, 4].map((key) => makeTuple(key, tid(0, key)));
const [t1, t2, t3, t4] = tuples as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const highKey = makeTuple(9, tid(9, 9), 0x2000);
const leaf = (items: readonly Uint8Array[], next = 0): Page =>
  makeBtreePage({ next, flags: BTREE_LEAF | BTREE_HAS_GARBAGE, items });

describe('VACUUM and DELETE', () => {
  test.each([vacuum, remove])('delete lines, first and last ones too', (record) => {
    const page = leaf([t1, t2, t3, t4]);
    expect(replay(page, record(3, 0, words(1, 2, 4)))).toBe(true);
    expect(itemsOf(page)).toEqual([t3]);
    expect(itemOffsetsOf(page)).toEqual([BTREE_OPAQUE - 16]);
    expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
  });

  test('update posting lists before lines are deleted', () => {
    const page = leaf([t1, posting, t2, posting, t4]);
    const data = words(1, 5, 2, 4, 2, 0, 3, 4, 0, 1, 2, 4);
    expect(replay(page, vacuum(2, 2, data))).toBe(true);
    expect(itemsOf(page)).toEqual([without(0, 3), t2, makeTuple(5, tid(1, 4))]);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(BTREE_OPAQUE - 40 - 16 - 16);
  });

  test('an updated line keeps its mark of being dead', () => {
    const page = leaf([t1, posting]);
    const position = linePointerOffset(2);
    page.view.setUint32(position, page.view.getUint32(position, true) | (LINE_DEAD << 15), true);
    replay(page, remove(0, 1, words(2, 1, 4)));
    expect(itemsOf(page)).toEqual([t1, without(4)]);
    expect(lineFlags(page.view.getUint32(position, true))).toBe(LINE_DEAD);
  });

  test.each([
    ['all TIDs', words(1, 5, 0, 1, 2, 3, 4)],
    ['none', words(1, 0)],
    ['TIDs out of order', words(1, 2, 3, 1)],
    ['a TID that is not there', words(1, 1, 5)],
    ['a plain tuple', words(2, 1, 0)],
    ['a line that is not there', words(3, 1, 0)],
    ['bytes left over', words(1, 1, 0, 0)],
  ])('an update is refused: %s', (_, data) => {
    expect(isRefused(leaf([posting, t2]), vacuum(0, 1, data))).toBe(true);
  });

  test.each([
    ['lines out of order', words(3, 2, 1)],
    ['the same line', words(2, 2, 3)],
    ['a line that is not there', words(2, 3, 5)],
    ['line 0', words(0, 1, 2)],
  ])('a deletion is refused: %s', (_, data) => {
    expect(isRefused(leaf([t1, t2, t3, t4]), vacuum(3, 0, data))).toBe(true);
  });
});

describe('DEDUP', () => {
  const single = (key: number, offset: number): Uint8Array => makeTuple(key, tid(2, offset));

  test('merges the lines of each interval and keeps the others', () => {
    const items = [single(1, 1), single(1, 2), single(1, 3), single(2, 4), posting, single(5, 9)];
    const page = leaf(items);
    expect(replay(page, dedup(1, 3, 5, 2))).toBe(true);
    expect(itemsOf(page)).toEqual([
      makePosting(1, [tid(2, 1), tid(2, 2), tid(2, 3)]),
      single(2, 4),
      makePosting(5, [...list, tid(2, 9)]),
    ]);
    expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
    expect(itemOffsetsOf(page)).toEqual([40, 56, 112].map((distance) => BTREE_OPAQUE - distance));
  });

  test('a plain tuple takes in a posting list, below a high key', () => {
    const page = leaf([highKey, t1, makeTuple(5, tid(0, 7)), posting], 12);
    expect(replay(page, dedup(3, 2))).toBe(true);
    expect(itemsOf(page)).toEqual([highKey, t1, makePosting(5, [tid(0, 7), ...list])]);
  });

  test.each([
    ['an interval of one line', dedup(1, 1)],
    ['an interval beyond the last line', dedup(2, 3)],
    ['intervals out of order', dedup(3, 2, 1, 2)],
    ['a line that is not there', dedup(9, 2)],
    ['line 0', dedup(0, 2)],
  ])('is refused: %s', (_, record) => {
    expect(isRefused(leaf([t1, t2, t3]), record)).toBe(true);
  });

  test('an empty page, pivot tuples and lists that grow too long are refused', () => {
    expect(isRefused(leaf([]), dedup())).toBe(true);
    expect(isRefused(leaf([t1, highKey]), dedup(1, 2))).toBe(true);
    const tids = Array.from({ length: 300 }, (_, index) => tid(1, index + 1));
    expect(isRefused(leaf([makePosting(5, tids), makePosting(5, tids)]), dedup(1, 2))).toBe(true);
  });
});

const samples: BlockSample[] = [
  { page: leaf([t1, t2, t3, t4]), parts: vacuum(3, 0, words(1, 2, 4)), blockId: 0 },
  { page: leaf([t1, posting, t2, posting]), parts: remove(1, 2, words(1, 2, 4, 2, 0, 3, 1, 1)), blockId: 0 },
  { page: leaf([t1, t1, posting, posting]), parts: dedup(1, 2, 3, 2), blockId: 0 },
  { page: leaf([highKey, t1, t2, posting], 12), parts: dedup(3, 2), blockId: 0 },
];

test.each(samples)('a record that is cut off is refused: sample %#', (sample) => {
  expectCutsAreRefused(redoBtree, sample);
});

test('damaged records and pages give typed errors only', () => {
  expectDamageIsRefused(redoBtree, samples);
});
