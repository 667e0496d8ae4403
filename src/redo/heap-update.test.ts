import { describe, expect, test } from 'vitest';
import { HEAP_BLOCK, heapPage, sampleData, tupleOf, walTuple } from '../../test/support/heap-pages.ts';
import {
  expectDamageIsRefused,
  expectMainDataIsChecked,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import {
  HEAP_COMBOCID,
  HEAP_HOT_UPDATED,
  HEAP_ONLY_TUPLE,
  HEAP_UPDATED,
  HEAP_XMAX_EXCL_LOCK,
  HEAP_XMAX_INVALID,
} from '../postgres/page/heap-tuple.ts';
import { PAGE_ALL_VISIBLE, PAGE_FLAGS, PAGE_PRUNE_XID, type Page } from '../postgres/page/page.ts';
import {
  XLH_UPDATE_CONTAINS_OLD_TUPLE,
  XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED,
  XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED,
  XLH_UPDATE_PREFIX_FROM_OLD,
  XLH_UPDATE_SUFFIX_FROM_OLD,
  XLHL_XMAX_EXCL_LOCK,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_UPDATE,
} from '../postgres/rmgr/heap-layout.ts';
import { RM_HEAP } from '../postgres/rmgr/resource-manager.ts';
import { redoHeap } from './heap.ts';

const settings = { hintBitsAreLogged: true };
const XID = 800;
const OLD_BLOCK = 3;
const DATA = sampleData(40, 5);

const replay = (page: Page, parts: RecordParts, blockId = 0) =>
  redoHeap(page, buildRecord(parts), blockId, settings);

/** Updates line 1, whose data is `DATA`, to line 2. */
function update(
  info: number,
  flags: number,
  data: Uint8Array,
  others: readonly RecordBlock[] = [],
): RecordParts {
  const mainData = new ByteWriter()
    .u32(XID + 1)
    .u16(1)
    .u8(XLHL_XMAX_EXCL_LOCK)
    .u8(flags)
    .u32(XID + 2)
    .u16(2)
    .finish();
  const willInitialize = (info & XLOG_HEAP_INIT_PAGE) !== 0;
  const blocks = [{ blockNumber: HEAP_BLOCK, data, willInitialize }, ...others];
  return { resourceManager: RM_HEAP, info, xid: XID, mainData, blocks };
}

function oldPage(): Page {
  const page = heapPage({ data: DATA, cid: 4, infomask2: 3 | HEAP_HOT_UPDATED });
  page.view.setUint16(PAGE_FLAGS, PAGE_ALL_VISIBLE, true);
  return page;
}

const newInfomask = HEAP_UPDATED | HEAP_XMAX_INVALID;
const newTuple = (data: readonly number[]) =>
  walTuple(3 | HEAP_ONLY_TUPLE, newInfomask | HEAP_COMBOCID, data);

const updatedOld = {
  xmin: 700,
  xmax: XID + 1,
  cid: 0,
  ctid: [HEAP_BLOCK, 2],
  infomask: HEAP_XMAX_EXCL_LOCK,
  hoff: 24,
  data: DATA,
};
const updatedNew = (data: readonly number[]) => ({
  xmin: XID,
  xmax: XID + 2,
  cid: 0,
  ctid: [HEAP_BLOCK, 2],
  infomask: newInfomask,
  infomask2: 3 | HEAP_ONLY_TUPLE,
  hoff: 24,
  data,
});

describe('on one page', () => {
  test('HOT_UPDATE changes the old tuple and adds the new one', () => {
    const page = oldPage();
    const flags = XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED | XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED;
    expect(replay(page, update(XLOG_HEAP_HOT_UPDATE, flags, newTuple([1, 2, 3])))).toBe(true);
    expect(tupleOf(page, 1)).toEqual({ ...updatedOld, infomask2: 3 | HEAP_HOT_UPDATED });
    expect(tupleOf(page, 2)).toEqual(updatedNew([1, 2, 3]));
    expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(0);
    expect(page.view.getUint32(PAGE_PRUNE_XID, true)).toBe(XID);
  });

  test('UPDATE does not count as HOT, and leaves the page all-visible unless it says otherwise', () => {
    const page = oldPage();
    replay(page, update(XLOG_HEAP_UPDATE, 0, newTuple([1, 2, 3])));
    expect(tupleOf(page, 1)).toEqual({ ...updatedOld, infomask2: 3 });
    expect(page.view.getUint16(PAGE_FLAGS, true)).toBe(PAGE_ALL_VISIBLE);
  });

  const prefixFlag = XLH_UPDATE_PREFIX_FROM_OLD;
  const suffixFlag = XLH_UPDATE_SUFFIX_FROM_OLD;
  const middle = [0xee, 0xef];
  test.each([
    ['a prefix', prefixFlag, [12], [...DATA.slice(0, 12), ...middle]],
    ['a suffix', suffixFlag, [9], [...middle, ...DATA.slice(31)]],
    ['both', prefixFlag | suffixFlag, [5, 7], [...DATA.slice(0, 5), ...middle, ...DATA.slice(33)]],
    ['the whole as prefix', prefixFlag, [40], [...DATA, ...middle]],
    ['overlapping prefix and suffix', prefixFlag | suffixFlag, [40, 40], [...DATA, ...middle, ...DATA]],
    ['a prefix of no length', prefixFlag, [0], middle],
  ])('takes %s from the old tuple', (_, flags, lengths, expected) => {
    const page = oldPage();
    const data = new ByteWriter()
      .u16s(...lengths)
      .bytes(newTuple(middle))
      .finish();
    replay(page, update(XLOG_HEAP_HOT_UPDATE, flags, data));
    expect(tupleOf(page, 2)).toEqual(updatedNew(expected));
    expect(tupleOf(page, 1).data).toEqual(DATA);
  });

  test('a null bitmap stands before the prefix', () => {
    const page = oldPage();
    const header = new ByteWriter().u16(60).u16(1).u8(32).bytes([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const data = new ByteWriter().u16(4).bytes(header.finish()).bytes(middle).finish();
    replay(page, update(XLOG_HEAP_UPDATE, prefixFlag, data));
    const tuple = tupleOf(page, 2);
    expect(tuple).toMatchObject({
      hoff: 32,
      infomask: 1,
      infomask2: 60,
      data: [...DATA.slice(0, 4), ...middle],
    });
    const start = page.view.getUint16(14, true);
    expect([...page.bytes.subarray(start + 23, start + 32)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('refuses prefixes and suffixes that the old tuple does not have', () => {
    for (const [flags, length] of [
      [prefixFlag, 41],
      [prefixFlag, 0xffff],
      [suffixFlag, 41],
      [suffixFlag, 8000],
    ] as const) {
      const data = new ByteWriter().u16(length).bytes(newTuple(middle)).finish();
      const parts = update(XLOG_HEAP_UPDATE, flags, data);
      expect(redoRefuses(redoHeap, oldPage(), buildRecord(parts), 0), `${flags} ${length}`).toBe(true);
    }
    for (const hoff of [0, 22, 40]) {
      const data = new ByteWriter()
        .u16(4)
        .u16(2)
        .u16(0)
        .u8(hoff)
        .bytes([0, ...middle])
        .finish();
      const parts = update(XLOG_HEAP_UPDATE, prefixFlag, data);
      expect(redoRefuses(redoHeap, oldPage(), buildRecord(parts), 0), `header of ${hoff}`).toBe(true);
    }
  });

  test('refuses to make the page anew, and a page that is named twice', () => {
    const data = newTuple([1]);
    const anew = update(XLOG_HEAP_UPDATE | XLOG_HEAP_INIT_PAGE, 0, data);
    expect(redoRefuses(redoHeap, oldPage(), buildRecord(anew), 0)).toBe(true);
    const twice = update(XLOG_HEAP_UPDATE, 0, data, [{ blockNumber: HEAP_BLOCK }]);
    expect(redoRefuses(redoHeap, oldPage(), buildRecord(twice), 0)).toBe(true);
    expect(redoRefuses(redoHeap, oldPage(), buildRecord(twice), 1)).toBe(true);
  });
});

describe('across pages', () => {
  const parts = (info: number, flags: number) =>
    update(info, flags, newTuple([1, 2, 3]), [{ blockNumber: OLD_BLOCK, sameRelation: true }]);

  test('each page gets its part', () => {
    const old = oldPage();
    const flags = XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED;
    expect(replay(old, parts(XLOG_HEAP_UPDATE, flags), 1)).toBe(true);
    expect(tupleOf(old, 1)).toEqual({ ...updatedOld, infomask2: 3 });
    expect(old.view.getUint16(PAGE_FLAGS, true)).toBe(0);
    expect(old.view.getUint32(PAGE_PRUNE_XID, true)).toBe(XID);
    const target = oldPage();
    expect(replay(target, parts(XLOG_HEAP_UPDATE, flags), 0)).toBe(true);
    expect(tupleOf(target, 2)).toEqual(updatedNew([1, 2, 3]));
    expect(tupleOf(target, 1).xmax, 'what is in line 1 here is another tuple').toBe(0);
    expect(target.view.getUint16(PAGE_FLAGS, true)).toBe(PAGE_ALL_VISIBLE);
    expect(target.view.getUint32(PAGE_PRUNE_XID, true)).toBe(0);
  });

  test('the new page may be made anew', () => {
    const page = heapPage();
    page.bytes.fill(0xee);
    const record = parts(XLOG_HEAP_UPDATE | XLOG_HEAP_INIT_PAGE, XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED);
    const mainData = record.mainData?.slice() as Uint8Array;
    mainData[12] = 1;
    replay(page, { ...record, mainData });
    expect(tupleOf(page, 1)).toEqual({ ...updatedNew([1, 2, 3]), ctid: [HEAP_BLOCK, 1] });
    const old = oldPage();
    expect(replay(old, { ...record, mainData }, 1)).toBe(true);
    expect(tupleOf(old, 1).ctid).toEqual([HEAP_BLOCK, 1]);
  });

  test('refuses what only makes sense on one page', () => {
    const hot = buildRecord(parts(XLOG_HEAP_HOT_UPDATE, 0));
    expect(redoRefuses(redoHeap, oldPage(), hot, 0)).toBe(true);
    expect(redoRefuses(redoHeap, oldPage(), hot, 1)).toBe(true);
    const prefix = buildRecord(parts(XLOG_HEAP_UPDATE, XLH_UPDATE_PREFIX_FROM_OLD));
    expect(redoRefuses(redoHeap, oldPage(), prefix, 0)).toBe(true);
  });
});

test('checks the main data, and the data of the block', () => {
  const parts = update(XLOG_HEAP_UPDATE, 0, newTuple([1]));
  expectMainDataIsChecked(redoHeap, oldPage(), parts, 0);
  for (let length = 0; length < 5; length++) {
    const cut = update(XLOG_HEAP_UPDATE, 0, newTuple([1]).slice(0, length));
    expect(redoRefuses(redoHeap, oldPage(), buildRecord(cut), 0), `${length}`).toBe(true);
  }
  const flags = XLH_UPDATE_PREFIX_FROM_OLD | XLH_UPDATE_SUFFIX_FROM_OLD;
  const whole = new ByteWriter()
    .u16s(4, 4)
    .bytes(newTuple([1]))
    .finish();
  for (let length = 0; length < 10; length++) {
    const cut = update(XLOG_HEAP_UPDATE, flags, whole.slice(0, length));
    expect(redoRefuses(redoHeap, oldPage(), buildRecord(cut), 0), `${length} of both`).toBe(true);
  }
  const withOld = update(XLOG_HEAP_UPDATE, XLH_UPDATE_CONTAINS_OLD_TUPLE, newTuple([1]));
  expect(redoRefuses(redoHeap, oldPage(), buildRecord(withOld), 0), 'no old tuple').toBe(true);
  const mainData = Uint8Array.from([...(withOld.mainData ?? []), ...walTuple(1, 0, [1])]);
  expect(redoRefuses(redoHeap, oldPage(), buildRecord({ ...withOld, mainData }), 0)).toBe(false);
});

test('whatever is damaged, replay ends with a refusal at worst', () => {
  const both = XLH_UPDATE_PREFIX_FROM_OLD | XLH_UPDATE_SUFFIX_FROM_OLD;
  const data = new ByteWriter()
    .u16s(6, 8)
    .bytes(newTuple(sampleData(60)))
    .finish();
  const map = [
    { id: 2, blockNumber: 4, fork: 2 },
    { id: 3, blockNumber: 0, fork: 2 },
  ];
  const cleared = XLH_UPDATE_OLD_ALL_VISIBLE_CLEARED | XLH_UPDATE_NEW_ALL_VISIBLE_CLEARED;
  const samples = [
    update(XLOG_HEAP_HOT_UPDATE, both, data),
    update(XLOG_HEAP_UPDATE, cleared, newTuple(sampleData(90)), [{ blockNumber: OLD_BLOCK }, ...map]),
  ].map((parts) => ({ page: oldPage(), parts }));
  expectDamageIsRefused(redoHeap, samples);
});
