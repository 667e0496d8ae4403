import { describe, expect, test } from 'vitest';
import { makeBtreePage, makePosting, makeTuple, tid } from '../../test/support/btree-and-hash-pages.ts';
import {
  type BlockSample,
  expectCutsAreRefused,
  expectDamageIsRefused,
  expectRandomRecordsAreRefused,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { itemOffsetsOf, itemsOf } from '../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  joinBytes,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  BTREE_FLAGS,
  BTREE_HALF_DEAD,
  BTREE_HAS_GARBAGE,
  BTREE_INCOMPLETE_SPLIT,
  BTREE_LEAF,
  BTREE_LEVEL,
  BTREE_NEXT,
  BTREE_OPAQUE,
  BTREE_PREVIOUS,
  BTREE_ROOT,
} from '../postgres/page/btree-page.ts';
import { lineCount, PAGE_LOWER, PAGE_UPPER, Page } from '../postgres/page/page.ts';
import { RM_BTREE } from '../postgres/rmgr/resource-manager.ts';
import { redoBtree } from './btree.ts';
import { RedoFailure } from './redo-failure.ts';

const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const parts = (info: number, mainData: Uint8Array, blocks: readonly RecordBlock[]): RecordParts => ({
  resourceManager: RM_BTREE,
  info,
  mainData,
  blocks,
});
const replay = (page: Page, record: RecordParts, blockId: number): boolean =>
  redoBtree(page, buildRecord(record), blockId);
const isRefused = (page: Page, record: RecordParts): boolean =>
  redoRefuses(redoBtree, page, buildRecord(record), 0);
const opaqueOf = ({ view }: Page): object => ({
  previous: view.getUint32(BTREE_PREVIOUS, true),
  next: view.getUint32(BTREE_NEXT, true),
  level: view.getUint32(BTREE_LEVEL, true),
  flags: view.getUint16(BTREE_FLAGS, true),
});

const a = makeTuple(1, tid(0, 1));
const b = makeTuple(2, tid(0, 2));
const c = makeTuple(3, tid(0, 3));
const d = makeTuple(4, tid(0, 4));
const metadata = new ByteWriter().u32s(4, 3, 1, 7, 2, 9).u8(1).bytes([0xde, 0xad, 0xee]).finish();
const garbage = (): Page => new Page(new Uint8Array(8192).fill(0xee));

const insertLeaf = (line: number, tuple = c): RecordParts => parts(0x00, words(line), [{ data: tuple }]);
const insertMeta = parts(0x20, words(2), [
  { data: c },
  { blockNumber: 4 },
  { data: metadata, willInitialize: true },
]);
const posting = makePosting(5, [tid(1, 1), tid(1, 5), tid(1, 9)]);
const insertPost = parts(0x50, words(3), [{ data: joinBytes(words(1), makeTuple(5, tid(1, 3))) }]);
const halfDead = parts(0xb0, new ByteWriter().u16s(1, 0xffff).u32s(8, 7, 9, 0xffff_ffff).finish(), [
  { willInitialize: true, blockNumber: 8 },
  { blockNumber: 2 },
]);
const unlinkData = (left: number, level: number): Uint8Array =>
  new ByteWriter().u32s(left, 12, level, 0xabab_abab).u64(0x1_2345_6789n).u32s(21, 22, 23).finish();
const unlink = (info: number, left: number, level: number): RecordParts =>
  parts(info, unlinkData(left, level), [
    { willInitialize: true },
    { blockNumber: 11 },
    { blockNumber: 12 },
    { willInitialize: true },
    { willInitialize: true, data: metadata },
  ]);
const newroot = parts(0xa0, new ByteWriter().u32s(3, 1).finish(), [
  { willInitialize: true, data: joinBytes(b, makeTuple(0, tid(1, 0))) },
  {},
  { willInitialize: true, data: metadata },
]);

describe('INSERT', () => {
  test('puts the tuple at its line and moves later lines up', () => {
    const page = makeBtreePage({ items: [a, b, d] });
    const upper = page.view.getUint16(PAGE_UPPER, true);
    expect(replay(page, insertLeaf(3), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, b, c, d]);
    expect(itemOffsetsOf(page)[2]).toBe(upper - 16);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(upper - 16);
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(24 + 16);
  });

  test('UPPER and META clear the child’s incomplete split and META makes the meta page', () => {
    const parent = makeBtreePage({ level: 1, flags: 0, items: [a] });
    expect(replay(parent, insertMeta, 0)).toBe(true);
    expect(itemsOf(parent)).toEqual([a, c]);
    const child = makeBtreePage({ next: 6, flags: BTREE_LEAF | BTREE_INCOMPLETE_SPLIT });
    expect(replay(child, insertMeta, 1)).toBe(true);
    expect(child.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
    const meta = garbage();
    expect(replay(meta, insertMeta, 2)).toBe(true);
    const expected = new ByteWriter()
      .u32s(0x053162, 4, 3, 1, 7, 2, 9, 0)
      .zeros(6)
      .bytes([0xf0, 0xbf, 1])
      .zeros(7);
    expect(meta.bytes.slice(24, 72)).toEqual(expected.finish());
    expect(meta.view.getUint16(PAGE_LOWER, true)).toBe(72);
    expect(meta.bytes.slice(72, BTREE_OPAQUE + 12).every((byte) => byte === 0)).toBe(true);
    expect(meta.view.getUint16(BTREE_FLAGS, true)).toBe(8);
    expect(() => replay(garbage(), { ...insertMeta, info: 0x10 }, 2)).toThrow(/no such block reference/);
  });

  test('POST splits the posting list before the new line', () => {
    const page = makeBtreePage({ items: [a, posting, makeTuple(6, tid(2, 1))] });
    expect(replay(page, insertPost, 0)).toBe(true);
    expect(itemsOf(page)).toEqual([
      a,
      makePosting(5, [tid(1, 1), tid(1, 3), tid(1, 5)]),
      makeTuple(5, tid(1, 9)),
      makeTuple(6, tid(2, 1)),
    ]);
  });

  test.each([0, 3])('POST refuses position %i of a list of three', (position) => {
    const record = parts(0x50, words(3), [{ data: joinBytes(words(position), makeTuple(5, tid(1, 3))) }]);
    expect(isRefused(makeBtreePage({ items: [a, posting] }), record)).toBe(true);
    expect(isRefused(makeBtreePage({ items: [a, b] }), insertPost), 'no posting list').toBe(true);
  });

  test.each([0, 5, 0xffff])('line %i is refused on a page of three', (line) => {
    const page = makeBtreePage({ items: [a, b, d] });
    expect(() => replay(page, insertLeaf(line), 0)).toThrow(RedoFailure);
    expect(() => replay(page, { ...insertPost, mainData: words(line) }, 0)).toThrow(RedoFailure);
  });

  test('a full page, and a tuple of another size than its data, are refused', () => {
    const page = makeBtreePage();
    for (let line = 1; line <= 407; line++) replay(page, insertLeaf(line), 0);
    expect(() => replay(page, insertLeaf(1), 0)).toThrow(/no room/);
    expect(() => replay(makeBtreePage(), insertLeaf(1, joinBytes(c, c)), 0)).toThrow(/not one index tuple/);
  });
});

describe('deletion of pages', () => {
  test('the leaf becomes half-dead and its downlink goes', () => {
    const leaf = garbage();
    expect(replay(leaf, halfDead, 0)).toBe(true);
    expect(opaqueOf(leaf)).toEqual({ previous: 7, next: 9, level: 0, flags: BTREE_HALF_DEAD | BTREE_LEAF });
    const dummy = new ByteWriter().u16s(0xffff, 0xffff, 0, 0x2008).finish();
    expect(itemsOf(leaf)).toEqual([dummy]);
    expect(leaf.view.getUint16(PAGE_UPPER, true)).toBe(BTREE_OPAQUE - 8);
    const parent = makeBtreePage({
      level: 1,
      flags: 0,
      items: [makeTuple(1, tid(8, 1)), makeTuple(2, tid(0x3_0009, 2)), makeTuple(3, tid(10, 1))],
    });
    expect(replay(parent, halfDead, 1)).toBe(true);
    expect(itemsOf(parent)).toEqual([makeTuple(1, tid(0x3_0009, 1)), makeTuple(3, tid(10, 1))]);
    const last = makeBtreePage({ level: 1, flags: 0, items: [makeTuple(1, tid(8, 1))] });
    expect(() => replay(last, halfDead, 1)).toThrow(RedoFailure);
  });

  test('the page is unlinked from its siblings and keeps its xid', () => {
    const target = garbage();
    expect(replay(target, unlink(0x80, 11, 0), 0)).toBe(true);
    expect(opaqueOf(target)).toEqual({ previous: 11, next: 12, level: 0, flags: 0x105 });
    expect(target.view.getBigUint64(24, true)).toBe(0x1_2345_6789n);
    expect(target.view.getUint16(PAGE_LOWER, true)).toBe(32);
    expect(target.view.getUint16(PAGE_UPPER, true)).toBe(BTREE_OPAQUE);
    const left = makeBtreePage({ previous: 1, next: 10, items: [a] });
    expect(replay(left, unlink(0x80, 11, 0), 1)).toBe(true);
    expect(opaqueOf(left)).toMatchObject({ previous: 1, next: 12 });
    const right = makeBtreePage({ previous: 10, next: 5, items: [a] });
    expect(replay(right, unlink(0x80, 11, 0), 2)).toBe(true);
    expect(opaqueOf(right)).toMatchObject({ previous: 11, next: 5 });
  });

  test('of an inner page: the leaf below gets a new top parent, the meta page a new fast root', () => {
    const target = garbage();
    replay(target, unlink(0x90, 0, 2), 0);
    expect(opaqueOf(target)).toEqual({ previous: 0, next: 12, level: 2, flags: 0x104 });
    const leaf = garbage();
    expect(replay(leaf, unlink(0x90, 0, 2), 3)).toBe(true);
    expect(opaqueOf(leaf)).toEqual({ previous: 21, next: 22, level: 0, flags: BTREE_HALF_DEAD | BTREE_LEAF });
    expect(itemsOf(leaf)).toEqual([new ByteWriter().u16s(0, 23, 0, 0x2008).finish()]);
    expect(replay(garbage(), unlink(0x90, 0, 2), 4)).toBe(true);
  });

  test('blocks that the record cannot have are refused', () => {
    expect(() => replay(makeBtreePage(), unlink(0x80, 0, 0), 1)).toThrow(/no such block/);
    expect(() => replay(garbage(), unlink(0x80, 1, 0), 3)).toThrow(/no such block/);
    expect(() => replay(garbage(), unlink(0x80, 1, 2), 4)).toThrow(/no such block/);
  });
});

describe('NEWROOT', () => {
  test('above a split root', () => {
    const root = garbage();
    expect(replay(root, newroot, 0)).toBe(true);
    expect(opaqueOf(root)).toEqual({ previous: 0, next: 0, level: 1, flags: BTREE_ROOT });
    expect(itemsOf(root)).toEqual([makeTuple(0, tid(1, 0)), b]);
    expect(itemOffsetsOf(root)).toEqual([BTREE_OPAQUE - 16, BTREE_OPAQUE - 32]);
    const child = makeBtreePage({ flags: BTREE_INCOMPLETE_SPLIT });
    expect(replay(child, newroot, 1)).toBe(true);
    expect(opaqueOf(child)).toMatchObject({ flags: 0 });
    expect(replay(garbage(), newroot, 2)).toBe(true);
  });

  test('of an empty index', () => {
    const empty = parts(0xa0, new ByteWriter().u32s(1, 0).finish(), [{ willInitialize: true }, {}]);
    const root = garbage();
    expect(replay(root, empty, 0)).toBe(true);
    expect(opaqueOf(root)).toEqual({ previous: 0, next: 0, level: 0, flags: BTREE_ROOT | BTREE_LEAF });
    expect(lineCount(root)).toBe(0);
    expect(() => replay(makeBtreePage(), empty, 1)).toThrow(/no such block/);
  });
});

test('META_CLEANUP makes the meta page; versions without its fields are refused', () => {
  const cleanup = parts(0xe0, new Uint8Array(0), [{ willInitialize: true, data: metadata }]);
  expect(replay(garbage(), cleanup, 0)).toBe(true);
  for (const version of [0, 2, 5]) {
    const data = metadata.slice();
    data[0] = version;
    const record = { ...cleanup, blocks: [{ willInitialize: true, data }] };
    expect(() => replay(garbage(), record, 0)).toThrow(`version ${version}`);
  }
});

test('REUSE_PAGE changes nothing', () => {
  const page = makeBtreePage({ items: [a] });
  const before = page.bytes.slice();
  expect(replay(page, parts(0xd0, new Uint8Array(25), [{}]), 0)).toBe(false);
  expect(page.bytes).toEqual(before);
});

test('an unknown kind is refused by name', () => {
  expect(() => replay(makeBtreePage(), parts(0xf0, words(1), [{}]), 0)).toThrow(UnknownRecordError);
});

test('a page that the record does not make anew, and one of another index type, are refused', () => {
  const kept = { ...newroot, blocks: newroot.blocks?.map((block) => ({ ...block, willInitialize: false })) };
  expect(() => replay(garbage(), kept as RecordParts, 0)).toThrow(/makes the page anew/);
  expect(() => replay(garbage(), insertMeta, 1)).toThrow(/special space/);
});

const samples: BlockSample[] = [
  { page: makeBtreePage({ items: [a, b, d] }), parts: insertLeaf(2), blockId: 0 },
  { page: makeBtreePage({ items: [a, posting, d] }), parts: insertPost, blockId: 0 },
  { page: garbage(), parts: insertMeta, blockId: 2, unnoticed: { main: [0, 1] } },
  { page: garbage(), parts: halfDead, blockId: 0 },
  { page: makeBtreePage({ flags: BTREE_HAS_GARBAGE, items: [a, b, c] }), parts: halfDead, blockId: 1 },
  { page: garbage(), parts: unlink(0x90, 3, 2), blockId: 0 },
  { page: makeBtreePage(), parts: unlink(0x90, 3, 2), blockId: 1 },
  { page: garbage(), parts: unlink(0x90, 3, 2), blockId: 3 },
  { page: garbage(), parts: newroot, blockId: 0, unnoticed: { block: [16] } },
  { page: makeBtreePage(), parts: newroot, blockId: 1 },
];

test.each(samples)('a record that is cut off is refused: sample %#', (sample) => {
  expectCutsAreRefused(redoBtree, sample);
});

test('damaged records and pages give typed errors only', () => {
  expectDamageIsRefused(redoBtree, samples);
  expectRandomRecordsAreRefused(redoBtree, RM_BTREE);
});
