import { describe, expect, test } from 'vitest';
import {
  ginDataOf,
  ginDataPage,
  ginFlagsOf,
  type HeapTid,
  postingList,
  tidBytes,
} from '../../test/support/gin-pages.ts';
import {
  expectBlockDataIsChecked,
  expectDamageIsRefused,
  expectMainDataIsChecked,
} from '../../test/support/hostile-records.ts';
import { appendItem, indexTuple, itemsOf } from '../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  joinBytes,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  GIN_COMPRESSED,
  GIN_DATA,
  GIN_DELETED,
  GIN_INCOMPLETE_SPLIT,
  GIN_LEAF,
  GIN_LIST,
  GIN_LIST_FULLROW,
  GIN_MAXOFF,
  GIN_META,
  GIN_RIGHT_LINK,
  initializeGinPage,
} from '../postgres/page/gin-page.ts';
import { PAGE_LOWER, PAGE_PRUNE_XID, PAGE_SPECIAL, PAGE_UPPER, Page } from '../postgres/page/page.ts';
import { RM_GIN } from '../postgres/rmgr/resource-manager.ts';
import { redoGin } from './gin.ts';
import { RedoFailure } from './redo-failure.ts';

const NONE = 0xffff_ffff;
const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const garbage = (): Page => new Page(new Uint8Array(8192).fill(0xee));
const record = (info: number, mainData: Uint8Array, blocks: readonly RecordBlock[]): RecordParts => ({
  resourceManager: RM_GIN,
  info,
  mainData,
  blocks,
});
const replay = (page: Page, parts: RecordParts, blockId: number): boolean =>
  redoGin(page, buildRecord(parts), blockId);
const maxoffOf = (page: Page): number => page.view.getUint16(GIN_MAXOFF, true);
const rightLinkOf = (page: Page): number => page.view.getUint32(GIN_RIGHT_LINK, true);

function tuplePage(flags: number, ...items: readonly Uint8Array[]): Page {
  const page = new Page();
  initializeGinPage(page, flags);
  for (const item of items) appendItem(page, item);
  return page;
}

const a = indexTuple(10, 0, 16, 1);
const b = indexTuple(11, 0, 24, 2);
const c = indexTuple(12, 0, 16, 3);
const d = indexTuple(13, 0, 32, 4);

describe('CREATE_PTREE', () => {
  const lists = joinBytes(
    postingList([
      [1, 1],
      [5, 2],
    ]),
    postingList([[9, 1]]),
  );
  const create = record(0x10, joinBytes(new ByteWriter().u32(lists.length).finish(), lists), [
    { willInitialize: true },
  ]);

  test('makes a leaf', () => {
    const page = garbage();
    expect(replay(page, create, 0)).toBe(true);
    expect(page).toEqual(ginDataPage(GIN_DATA | GIN_LEAF | GIN_COMPRESSED, lists));
  });

  test('checks its data', () => {
    expectMainDataIsChecked(redoGin, garbage(), create, 0);
    const huge = record(0x10, new ByteWriter().u32(8153).zeros(8153).finish(), [{ willInitialize: true }]);
    expect(() => replay(garbage(), huge, 0)).toThrow(/no room for 8153 bytes/);
    const full = record(0x10, new ByteWriter().u32(8152).zeros(8152).finish(), [{ willInitialize: true }]);
    const page = garbage();
    expect(replay(page, full, 0)).toBe(true);
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(8184);
    expect(() => replay(garbage(), { ...create, blocks: [{}] }, 0)).toThrow(RedoFailure);
  });
});

const entry = (offsetNumber: number, isDelete: number, tuple: Uint8Array): Uint8Array =>
  joinBytes(new ByteWriter().u16(offsetNumber).u8(isDelete).u8(0).finish(), tuple);
const insertLeafEntry = (offsetNumber: number, isDelete: number, tuple = c): RecordParts =>
  record(0x20, words(2), [{ data: entry(offsetNumber, isDelete, tuple) }]);
/** Left child 7, right child 0x12345. */
const insertInnerEntry = (offsetNumber: number, right = [1, 0x2345]): RecordParts =>
  record(0x20, words(0, 0, 7, ...right), [{ data: entry(offsetNumber, 0, c) }, { blockNumber: 7 }]);
const postingItem = (block: number, key: HeapTid): Uint8Array =>
  joinBytes(words(block >>> 16, block & 0xffff), tidBytes(key));
const insertPostingItem = (offsetNumber: number): RecordParts =>
  record(0x20, words(1, 0, 7, 1, 0x2345), [
    { data: joinBytes(words(offsetNumber), postingItem(7, [3, 3])) },
    { blockNumber: 7 },
  ]);

describe('INSERT into the entry tree', () => {
  test('a new tuple on a leaf', () => {
    const page = tuplePage(GIN_LEAF, a, b, d);
    expect(replay(page, insertLeafEntry(3, 0), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, b, c, d]);
  });

  test('a tuple in place of another', () => {
    const page = tuplePage(GIN_LEAF, a, b, d);
    expect(replay(page, insertLeafEntry(2, 1), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, c, d]);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(8184 - 16 - 32 - 16);
  });

  test('a downlink, which makes the one after it point to the right child', () => {
    const page = tuplePage(0, a, b);
    expect(replay(page, insertInnerEntry(2), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, c, indexTuple(0x12345, 0, 24, 2)]);
    const child = tuplePage(GIN_LEAF | GIN_INCOMPLETE_SPLIT, a);
    expect(replay(child, insertInnerEntry(2), 1)).toBe(true);
    expect(child).toEqual(tuplePage(GIN_LEAF, a));
  });

  test('a downlink without a right child changes no other', () => {
    const page = tuplePage(0, a, b);
    expect(replay(page, insertInnerEntry(2, [0xffff, 0xffff]), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, c, b]);
  });

  test('refuses what does not fit', () => {
    for (const offsetNumber of [0, 5, 2049, 0xffff]) {
      const page = tuplePage(GIN_LEAF, a, b, d);
      expect(() => replay(page, insertLeafEntry(offsetNumber, 0), 0)).toThrow(RedoFailure);
      expect(() => replay(page, insertLeafEntry(offsetNumber, 1), 0)).toThrow(RedoFailure);
      expect(() => replay(tuplePage(0, a), insertInnerEntry(offsetNumber), 0)).toThrow(RedoFailure);
    }
    expect(() => replay(tuplePage(GIN_LEAF, a), insertInnerEntry(1), 0)).toThrow(/flags/);
    expect(() => replay(tuplePage(0, a), insertLeafEntry(1, 0), 0)).toThrow(/flags/);
    expect(() => replay(tuplePage(GIN_DATA | GIN_LEAF, a), insertLeafEntry(1, 0), 0)).toThrow(/flags/);
    const innerDelete = record(0x20, words(0, 0, 7, 0, 8), [{ data: entry(1, 1, c) }]);
    expect(() => replay(tuplePage(0, a), innerDelete, 0)).toThrow(/inner page/);
    expect(() => replay(tuplePage(GIN_LEAF), record(0x20, words(2), [{}, {}]), 1)).toThrow(/no split/);
    expect(() => replay(tuplePage(GIN_LEAF), record(0x20, words(6), [{}]), 0)).toThrow(/unknown flags 6/);
    expect(() => replay(tuplePage(0), insertInnerEntry(1), 2)).toThrow(/no such block/);
    const announced = record(0x20, words(2), [{ data: entry(1, 0, c), willInitialize: true }]);
    expect(() => replay(tuplePage(GIN_LEAF), announced, 0)).toThrow(/initialises/);
  });

  test('checks its data', () => {
    expectMainDataIsChecked(redoGin, tuplePage(GIN_LEAF, a), insertLeafEntry(1, 1), 0);
    expectMainDataIsChecked(redoGin, tuplePage(0, a), insertInnerEntry(1), 0);
    expectMainDataIsChecked(redoGin, tuplePage(0, a), insertInnerEntry(1), 1);
    expectBlockDataIsChecked(redoGin, tuplePage(GIN_LEAF, a), insertLeafEntry(1, 0), 0);
  });
});

describe('INSERT into a posting tree', () => {
  const items = [postingItem(5, [1, 1]), postingItem(6, [2, 2]), postingItem(8, [9, 9])];
  const inner = (): Page => ginDataPage(GIN_DATA, joinBytes(...items), 3);

  test('an item, which makes the one after it point to the right child', () => {
    const page = inner();
    expect(replay(page, insertPostingItem(2), 0)).toBe(true);
    const moved = postingItem(0x12345, [2, 2]);
    const expected = joinBytes(postingItem(5, [1, 1]), postingItem(7, [3, 3]), moved, postingItem(8, [9, 9]));
    expect(ginDataOf(page)).toEqual(expected);
    expect(maxoffOf(page)).toBe(4);
  });

  test('refuses items that are not there or do not fit', () => {
    for (const offsetNumber of [0, 4, 0xffff]) {
      expect(() => replay(inner(), insertPostingItem(offsetNumber), 0)).toThrow(/is none of/);
    }
    const full = ginDataPage(GIN_DATA, new Uint8Array(8150), 815);
    expect(() => replay(full, insertPostingItem(3), 0)).toThrow(/no room/);
    const impossible = ginDataPage(GIN_DATA, new Uint8Array(8150), 816);
    expect(() => replay(impossible, insertPostingItem(3), 0)).toThrow(/816 posting items/);
  });

  test('checks its data', () => {
    expectMainDataIsChecked(redoGin, inner(), insertPostingItem(1), 0);
    expectBlockDataIsChecked(redoGin, inner(), insertPostingItem(1), 0);
  });
});

const split = (flags: number): RecordParts =>
  record(0x30, new ByteWriter().u32s(1663, 5, 16384, NONE, 7, 8).u16(flags).zeros(2).finish(), [
    {},
    { blockNumber: 1 },
    { blockNumber: 2 },
    { blockNumber: 3 },
  ]);

describe('SPLIT and VACUUM_PAGE', () => {
  test('a split completes one below', () => {
    const child = tuplePage(GIN_INCOMPLETE_SPLIT, a);
    expect(replay(child, split(0), 3)).toBe(true);
    expect(ginFlagsOf(child)).toBe(0);
    expectMainDataIsChecked(redoGin, child, split(5), 3);
  });

  test('pages must come as images', () => {
    for (const blockId of [0, 1, 2])
      expect(() => replay(tuplePage(0), split(4), blockId)).toThrow(/no image/);
    expect(() => replay(tuplePage(0), split(0), 2)).toThrow(/no such block/);
    expect(() => replay(tuplePage(0), split(6), 3)).toThrow(/completes no split/);
    expect(() => replay(tuplePage(0), split(8), 3)).toThrow(/unknown flags 8/);
    const vacuum = record(0x40, new Uint8Array(0), [{}, {}]);
    expect(() => replay(tuplePage(GIN_LEAF), vacuum, 0)).toThrow(/no image/);
    expect(() => replay(tuplePage(GIN_LEAF), vacuum, 1)).toThrow(/no such block/);
  });
});

const deletePage = (parentOffset: number): RecordParts =>
  record(0x50, new ByteWriter().u16(parentOffset).u16(0xabab).u32s(77, 4242).finish(), [
    {},
    { blockNumber: 1 },
    { blockNumber: 2 },
    { blockNumber: 3 },
  ]);

describe('DELETE_PAGE', () => {
  const items = [postingItem(5, [1, 1]), postingItem(6, [2, 2]), postingItem(8, [9, 9])];
  const parent = (): Page => ginDataPage(GIN_DATA, joinBytes(...items), 3);
  const flags = GIN_DATA | GIN_LEAF | GIN_COMPRESSED;

  test('the page keeps its content and gets the transaction', () => {
    const page = ginDataPage(flags, postingList([[1, 1]]));
    const expected = ginDataPage(flags | GIN_DELETED, postingList([[1, 1]]));
    expected.view.setUint32(PAGE_PRUNE_XID, 4242, true);
    expect(replay(page, deletePage(1), 0)).toBe(true);
    expect(page).toEqual(expected);
  });

  test('its parent and left sibling forget it', () => {
    for (const [index] of items.entries()) {
      const page = parent();
      expect(replay(page, deletePage(index + 1), 1)).toBe(true);
      expect(ginDataOf(page)).toEqual(joinBytes(...items.filter((_, other) => other !== index)));
      expect(maxoffOf(page)).toBe(2);
    }
    const left = ginDataPage(flags, new Uint8Array(0));
    expect(replay(left, deletePage(1), 2)).toBe(true);
    expect(rightLinkOf(left)).toBe(77);
  });

  test('refuses items that are not there, and pages of other kinds', () => {
    for (const offsetNumber of [0, 4, 0xffff]) {
      expect(() => replay(parent(), deletePage(offsetNumber), 1)).toThrow(/is none of/);
    }
    expect(() => replay(ginDataPage(flags, new Uint8Array(0)), deletePage(1), 1)).toThrow(/a leaf/);
    for (const blockId of [0, 1, 2]) {
      expect(() => replay(tuplePage(GIN_LEAF), deletePage(1), blockId)).toThrow(/no posting tree/);
      expectMainDataIsChecked(redoGin, parent(), deletePage(2), blockId);
    }
    expect(() => replay(parent(), deletePage(1), 3)).toThrow(/no such block/);
  });
});

const metadata = new ByteWriter()
  .u32s(3, 9, 1234, 2)
  .u64(55n)
  .u32s(40, 20, 10, 0xabab_abab)
  .u64(999n)
  .u32s(2, 0xcdcd_cdcd)
  .finish();
const updateMeta = (
  count: number,
  previousTail: number,
  tail?: RecordBlock,
  meta: RecordBlock = {},
): RecordParts => {
  const mainData = new ByteWriter().u32s(1663, 5, 16384).zeros(4).bytes(metadata);
  mainData.u32s(previousTail, 31, count).zeros(4);
  const blocks: RecordBlock[] = [{ willInitialize: true, ...meta }];
  return record(0x60, mainData.finish(), tail === undefined ? blocks : [...blocks, tail]);
};
const deleteList = (count: number): RecordParts =>
  record(0x80, new ByteWriter().bytes(metadata).u32(count).zeros(4).finish(), [
    { willInitialize: true },
    { blockNumber: 5, willInitialize: true },
    { blockNumber: 6, willInitialize: true },
    { blockNumber: 7, willInitialize: true },
  ]);
const insertList = (rightLink: number, count: number, ...tuples: readonly Uint8Array[]): RecordParts =>
  record(0x70, new ByteWriter().u32s(rightLink, count).finish(), [
    { willInitialize: true, data: joinBytes(...tuples) },
  ]);

describe('the meta page', () => {
  test.each([
    ['UPDATE_META_PAGE', updateMeta(0, NONE)],
    ['DELETE_LISTPAGE', deleteList(3)],
  ])('of %s is that of the record', (_, parts) => {
    const page = garbage();
    const expected = new Page();
    initializeGinPage(expected, GIN_META);
    expected.bytes.set(metadata, 24);
    expected.view.setUint16(PAGE_LOWER, 80, true);
    expect(replay(page, parts, 0)).toBe(true);
    expect(page).toEqual(expected);
    expectMainDataIsChecked(redoGin, garbage(), parts, 0);
    expect(() => replay(garbage(), { ...parts, blocks: [{}] }, 0)).toThrow(RedoFailure);
    const elsewhere = { ...parts, blocks: [{ willInitialize: true, blockNumber: 1 }] };
    expect(() => replay(garbage(), elsewhere, 0)).toThrow(/first block/);
  });
});

describe('the list of pending entries', () => {
  test('a row at the end of the last page', () => {
    const tail = tuplePage(GIN_LIST | GIN_LIST_FULLROW, a);
    tail.view.setUint16(GIN_MAXOFF, 1, true);
    const parts = updateMeta(2, NONE, { blockNumber: 9, data: joinBytes(b, c) });
    expect(replay(tail, parts, 1)).toBe(true);
    expect(itemsOf(tail)).toEqual([a, b, c]);
    expect(maxoffOf(tail)).toBe(2);
    expectMainDataIsChecked(redoGin, tail, parts, 1);
    expectBlockDataIsChecked(redoGin, tail, parts, 1);
  });

  test('more pages after the last one', () => {
    const tail = tuplePage(GIN_LIST, a);
    expect(replay(tail, updateMeta(0, 9, { blockNumber: 9 }), 1)).toBe(true);
    expect(rightLinkOf(tail)).toBe(31);
    expect(itemsOf(tail)).toEqual([a]);
    expect(() => replay(tail, updateMeta(0, NONE, { blockNumber: 9 }), 1)).toThrow(/nothing to change/);
    expect(() => replay(tail, updateMeta(-1, 9, { blockNumber: 9 }), 1)).toThrow(/nothing to change/);
    const announced = updateMeta(0, 9, { willInitialize: true });
    expect(() => replay(tail, announced, 1)).toThrow(/initialises/);
  });

  test('a new page that ends a row, and one that does not', () => {
    const tail = garbage();
    expect(replay(tail, insertList(NONE, 2, a, b), 0)).toBe(true);
    expect(itemsOf(tail)).toEqual([a, b]);
    expect([ginFlagsOf(tail), maxoffOf(tail), rightLinkOf(tail)]).toEqual([
      GIN_LIST | GIN_LIST_FULLROW,
      1,
      NONE,
    ]);
    const middle = garbage();
    expect(replay(middle, insertList(12, 1, d), 0)).toBe(true);
    expect(itemsOf(middle)).toEqual([d]);
    expect([ginFlagsOf(middle), maxoffOf(middle), rightLinkOf(middle)]).toEqual([GIN_LIST, 0, 12]);
    expectMainDataIsChecked(redoGin, garbage(), insertList(12, 1, d), 0);
    expectBlockDataIsChecked(redoGin, garbage(), insertList(12, 2, d, a), 0);
  });

  test('the count of tuples must be right', () => {
    for (const count of [0, 1, 3, 0x7fff_ffff, -1]) {
      expect(() => replay(garbage(), insertList(NONE, count, a, b), 0)).toThrow(RedoFailure);
    }
    expect(() => replay(garbage(), insertList(NONE, 1, indexTuple(1, 1, 7)), 0)).toThrow(RedoFailure);
    const full = Array.from({ length: 300 }, () => d);
    expect(() => replay(garbage(), insertList(NONE, 300, ...full), 0)).toThrow(/no room/);
  });

  test('pages that leave the list are emptied', () => {
    const page = garbage();
    const expected = new Page();
    initializeGinPage(expected, GIN_DELETED);
    expect(replay(page, deleteList(3), 3)).toBe(true);
    expect(page).toEqual(expected);
    expectMainDataIsChecked(redoGin, garbage(), deleteList(3), 1);
    for (const count of [2, 0, -1]) {
      expect(() => replay(garbage(), deleteList(count), 3)).toThrow(/are deleted/);
    }
  });
});

test('an unknown kind is refused by name', () => {
  for (const info of [0x00, 0xa0, 0xf0]) {
    expect(() => replay(garbage(), record(info, new Uint8Array(0), [{}]), 0)).toThrow(UnknownRecordError);
  }
});

test('a page without GIN’s special space is refused', () => {
  const page = tuplePage(GIN_LEAF, a);
  for (const special of [0, 24, 8176, 8192, 0xffff]) {
    page.view.setUint16(PAGE_SPECIAL, special, true);
    expect(() => replay(page, insertLeafEntry(1, 0), 0)).toThrow(RedoFailure);
    expect(() => replay(page, deletePage(1), 2)).toThrow(RedoFailure);
    expect(() => replay(page, updateMeta(0, 9, {}), 1)).toThrow(RedoFailure);
  }
});

test('any bytes', () => {
  const inner = ginDataPage(GIN_DATA, joinBytes(postingItem(5, [1, 1]), postingItem(6, [2, 2])), 2);
  const entries = tuplePage(GIN_LEAF, a, b, d);
  const innerEntries = tuplePage(0, a, b, d);
  expectDamageIsRefused(redoGin, [
    { page: entries, parts: insertLeafEntry(2, 1) },
    { page: innerEntries, parts: insertInnerEntry(2) },
    { page: inner, parts: insertPostingItem(1) },
    { page: inner, parts: deletePage(1) },
    { page: innerEntries, parts: split(0) },
    { page: entries, parts: updateMeta(2, NONE, { blockNumber: 9, data: joinBytes(b, c) }) },
    { page: entries, parts: updateMeta(0, 9, { blockNumber: 9 }) },
    { page: entries, parts: insertList(NONE, 2, a, b) },
    { page: entries, parts: deleteList(3) },
  ]);
});
