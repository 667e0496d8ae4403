import { describe, expect, test } from 'vitest';
import { makeBtreePage, makePosting, makeTuple, tid } from '../../test/support/btree-and-hash-pages.ts';
import {
  type BlockSample,
  expectCutsAreRefused,
  expectDamageIsRefused,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { itemOffsetsOf, itemsOf } from '../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, joinBytes, type RecordParts } from '../../test/support/record-builder.ts';
import {
  BTREE_CYCLE_ID,
  BTREE_FLAGS,
  BTREE_INCOMPLETE_SPLIT,
  BTREE_LEAF,
  BTREE_LEVEL,
  BTREE_NEXT,
  BTREE_OPAQUE,
  BTREE_PREVIOUS,
  BTREE_ROOT,
} from '../postgres/page/btree-page.ts';
import {
  LINE_DEAD,
  LINE_NORMAL,
  lineFlags,
  linePointerOffset,
  PAGE_LOWER,
  PAGE_PRUNE_XID,
  PAGE_UPPER,
  Page,
} from '../postgres/page/page.ts';
import { RM_BTREE } from '../postgres/rmgr/resource-manager.ts';
import { redoBtree } from './btree.ts';

const SPLIT_L = 0x30;
const SPLIT_R = 0x40;
const items = [1, 2, 3, 4, 5].map((key) => makeTuple(key, tid(0, key)));
const [t1, t2, , t4, t5] = items as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const oldHighKey = makeTuple(9, tid(9, 9));
const newHighKey = makeTuple(7, tid(7, 0), 0x2000);
const newItem = makeTuple(33, tid(3, 3));

interface Split {
  readonly info: number;
  readonly level?: number;
  readonly firstRight: number;
  readonly newItemLine: number;
  readonly postingOffset?: number;
  readonly left: Uint8Array;
  readonly right?: Uint8Array;
  readonly next?: boolean;
}

function split(values: Split): RecordParts {
  const {
    info,
    level = 0,
    firstRight,
    newItemLine,
    postingOffset = 0,
    left,
    right = joinBytes(t5, t4),
    next,
  } = values;
  return {
    resourceManager: RM_BTREE,
    info,
    mainData: new ByteWriter().u32(level).u16s(firstRight, newItemLine, postingOffset).finish(),
    blocks: [
      { id: 0, blockNumber: 10, data: left },
      { id: 1, blockNumber: 11, data: right, willInitialize: true },
      ...(next === false ? [] : [{ id: 2, blockNumber: 12 }]),
      ...(level > 0 ? [{ id: 3, blockNumber: 5 }] : []),
    ],
  };
}

const replay = (page: Page, record: RecordParts, blockId: number): boolean =>
  redoBtree(page, buildRecord(record), blockId);

/** A page with a high key and five items, on which items were deleted and added out of order. */
function oldPage(): Page {
  const page = makeBtreePage({
    previous: 8,
    next: 12,
    flags: BTREE_LEAF | BTREE_ROOT,
    items: [oldHighKey, ...items],
  });
  page.view.setUint32(PAGE_PRUNE_XID, 77, true);
  page.view.setUint16(BTREE_CYCLE_ID, 5, true);
  return page;
}

describe('the left page', () => {
  test.each([
    { newItemLine: 2, expected: [newHighKey, newItem, t1, t2] },
    { newItemLine: 3, expected: [newHighKey, t1, newItem, t2] },
    { newItemLine: 4, expected: [newHighKey, t1, t2, newItem] },
  ])('gets the new item at line $newItemLine', ({ newItemLine, expected }) => {
    const page = oldPage();
    const record = split({ info: SPLIT_L, firstRight: 4, newItemLine, left: joinBytes(newItem, newHighKey) });
    expect(replay(page, record, 0)).toBe(true);
    expect(itemsOf(page)).toEqual(expected);
    expect(itemOffsetsOf(page)).toEqual([1, 2, 3, 4].map((count) => BTREE_OPAQUE - 16 * count));
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(24 + 16);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(BTREE_OPAQUE - 64);
    expect(page.bytes.slice(40, BTREE_OPAQUE - 64).every((byte) => byte === 0)).toBe(true);
    expect(page.view.getUint32(PAGE_PRUNE_XID, true)).toBe(0);
    expect(page.view.getUint32(BTREE_PREVIOUS, true)).toBe(8);
    expect(page.view.getUint32(BTREE_NEXT, true)).toBe(11);
    expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_INCOMPLETE_SPLIT | BTREE_LEAF);
    expect(page.view.getUint16(BTREE_CYCLE_ID, true)).toBe(0);
  });

  test('loses items only, where the new one is on the right', () => {
    const page = oldPage();
    replay(page, split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left: newHighKey }), 0);
    expect(itemsOf(page)).toEqual([newHighKey, t1, t2]);
  });

  test('of a rightmost inner page has its data from line 1 on', () => {
    const page = makeBtreePage({ previous: 8, level: 2, flags: BTREE_ROOT, items });
    const left = joinBytes(newItem, newHighKey);
    const record = split({ info: SPLIT_L, level: 2, firstRight: 3, newItemLine: 2, left, next: false });
    expect(replay(page, record, 0)).toBe(true);
    expect(itemsOf(page)).toEqual([newHighKey, t1, newItem, t2]);
    expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_INCOMPLETE_SPLIT);
    expect(page.view.getUint32(BTREE_LEVEL, true)).toBe(2);
  });

  test('keeps items that are marked dead, without the mark', () => {
    const page = oldPage();
    const position = linePointerOffset(3);
    page.view.setUint32(position, page.view.getUint32(position, true) | (LINE_DEAD << 15), true);
    replay(page, split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left: newHighKey }), 0);
    expect(itemsOf(page)).toEqual([newHighKey, t1, t2]);
    expect(lineFlags(page.view.getUint32(position, true))).toBe(LINE_NORMAL);
  });

  const list = [tid(1, 1), tid(1, 5), tid(1, 9)];
  const posting = makePosting(5, list);
  const afterPosting = makePosting(5, [tid(1, 1), tid(1, 5), tid(1, 7)]);
  const original = makeTuple(5, tid(1, 7));
  const final = makeTuple(5, tid(1, 9));

  test('with a split posting list, and the new item after it', () => {
    const page = makeBtreePage({ next: 12, items: [oldHighKey, t1, posting, t4] });
    const left = joinBytes(original, newHighKey);
    replay(page, split({ info: SPLIT_L, firstRight: 4, newItemLine: 4, postingOffset: 2, left }), 0);
    expect(itemsOf(page)).toEqual([newHighKey, t1, afterPosting, final]);
  });

  test('with a split posting list as its last item', () => {
    const page = makeBtreePage({ next: 12, items: [oldHighKey, t1, posting, t4] });
    const left = joinBytes(original, newHighKey);
    replay(page, split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, postingOffset: 2, left }), 0);
    expect(itemsOf(page)).toEqual([newHighKey, t1, afterPosting]);
  });

  test('is refused where the record does not fit it', () => {
    const left = joinBytes(newItem, newHighKey);
    const refused = (values: Partial<Split>): boolean =>
      redoRefuses(
        redoBtree,
        oldPage(),
        buildRecord(split({ info: SPLIT_L, firstRight: 4, newItemLine: 3, left, ...values })),
        0,
      );
    expect(refused({ firstRight: 8 }), 'beyond the last line').toBe(true);
    expect(refused({ newItemLine: 5 }), 'on the right page').toBe(true);
    expect(refused({ newItemLine: 1 }), 'at the high key').toBe(true);
    expect(refused({ postingOffset: 1 }), 'no posting list').toBe(true);
    expect(refused({ info: SPLIT_R }), 'bytes left over').toBe(true);
    expect(refused({ left: joinBytes(newItem, newHighKey, new Uint8Array(8)) }), 'bytes left over').toBe(
      true,
    );
  });
});

test('the right page is made from its tuples, last one first', () => {
  const page = new Page(new Uint8Array(8192).fill(0xee));
  const posting = makePosting(5, [tid(1, 1), tid(1, 5)]);
  const right = joinBytes(posting, t4, oldHighKey);
  expect(
    replay(page, split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left: newHighKey, right }), 1),
  ).toBe(true);
  expect(itemsOf(page)).toEqual([oldHighKey, t4, posting]);
  expect(itemOffsetsOf(page)).toEqual([16, 32, 64].map((distance) => BTREE_OPAQUE - distance));
  expect(page.view.getUint32(BTREE_PREVIOUS, true)).toBe(10);
  expect(page.view.getUint32(BTREE_NEXT, true)).toBe(12);
  expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
  const inner = split({
    info: SPLIT_L,
    level: 1,
    firstRight: 2,
    newItemLine: 2,
    left: newHighKey,
    next: false,
  });
  replay(page, inner, 1);
  expect(page.view.getUint32(BTREE_LEVEL, true)).toBe(1);
  expect(page.view.getUint32(BTREE_NEXT, true)).toBe(0);
  expect(page.view.getUint16(BTREE_FLAGS, true)).toBe(0);
});

test('a right page that does not fit is refused', () => {
  const refused = (right: Uint8Array): boolean =>
    redoRefuses(
      redoBtree,
      new Page(),
      buildRecord(split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left: newHighKey, right })),
      1,
    );
  expect(refused(new Uint8Array(16)), 'a tuple of no bytes').toBe(true);
  expect(refused(new Uint8Array(0)), 'nothing').toBe(true);
  const headers = new ByteWriter();
  for (let count = 0; count < 680; count++) headers.zeros(6).u16(8);
  expect(refused(headers.finish()), 'line pointers do not fit').toBe(true);
  expect(refused(joinBytes(...Array.from({ length: 510 }, () => t1))), 'tuples do not fit').toBe(true);
});

test('the page after and the child get their links', () => {
  const left = newHighKey;
  const after = makeBtreePage({ previous: 10, next: 13 });
  expect(replay(after, split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left }), 2)).toBe(true);
  expect(after.view.getUint32(BTREE_PREVIOUS, true)).toBe(11);
  const child = makeBtreePage({ flags: BTREE_INCOMPLETE_SPLIT | BTREE_LEAF });
  const inner = split({ info: SPLIT_R, level: 1, firstRight: 4, newItemLine: 4, left });
  expect(replay(child, inner, 3)).toBe(true);
  expect(child.view.getUint16(BTREE_FLAGS, true)).toBe(BTREE_LEAF);
  const leaf = split({ info: SPLIT_R, firstRight: 4, newItemLine: 4, left });
  expect(() => replay(child, leaf, 3)).toThrow(/no such block/);
});

const postingPage = makeBtreePage({
  next: 12,
  items: [oldHighKey, t1, makePosting(5, [tid(1, 1), tid(1, 5)]), t4],
});
const postingSplit = split({
  info: SPLIT_L,
  firstRight: 4,
  newItemLine: 4,
  postingOffset: 1,
  left: joinBytes(makeTuple(5, tid(1, 3)), newHighKey),
});
const samples: BlockSample[] = [
  {
    page: oldPage(),
    parts: split({ info: SPLIT_L, firstRight: 4, newItemLine: 3, left: joinBytes(newItem, newHighKey) }),
    blockId: 0,
  },
  { page: postingPage, parts: postingSplit, blockId: 0 },
  { page: new Page(), parts: postingSplit, blockId: 1, unnoticed: { block: [16] } },
];

test.each(samples)('a record that is cut off is refused: sample %#', (sample) => {
  expectCutsAreRefused(redoBtree, sample);
});

test('damaged records and pages give typed errors only', () => {
  expectDamageIsRefused(redoBtree, samples);
});
