import { describe, expect, test } from 'vitest';
import {
  HEAP_BLOCK,
  heapPage,
  linesOf,
  putTuple,
  sampleData,
  tupleOf,
  walTuple,
} from '../../test/support/heap-pages.ts';
import {
  expectBlockDataIsChecked,
  expectDamageIsRefused,
  expectMainDataIsChecked,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  HEAP_COMBOCID,
  HEAP_HASVARWIDTH,
  HEAP_HOT_UPDATED,
  HEAP_KEYS_UPDATED,
  HEAP_MOVED_IN,
  HEAP_ONLY_TUPLE,
  HEAP_UPDATED,
  HEAP_XMAX_COMMITTED,
  HEAP_XMAX_EXCL_LOCK,
  HEAP_XMAX_INVALID,
  HEAP_XMAX_IS_MULTI,
  HEAP_XMAX_KEYSHR_LOCK,
  HEAP_XMAX_LOCK_ONLY,
  HEAP_XMIN_COMMITTED,
} from '../postgres/page/heap-tuple.ts';
import {
  LINE_NORMAL,
  PAGE_ALL_VISIBLE,
  PAGE_FLAGS,
  PAGE_PRUNE_XID,
  type Page,
} from '../postgres/page/page.ts';
import {
  XLH_DELETE_ALL_VISIBLE_CLEARED,
  XLH_DELETE_CONTAINS_OLD_KEY,
  XLH_DELETE_IS_PARTITION_MOVE,
  XLH_DELETE_IS_SUPER,
  XLH_INSERT_ALL_VISIBLE_CLEARED,
  XLHL_KEYS_UPDATED,
  XLHL_XMAX_EXCL_LOCK,
  XLHL_XMAX_IS_MULTI,
  XLHL_XMAX_KEYSHR_LOCK,
  XLHL_XMAX_LOCK_ONLY,
  XLOG_HEAP_CONFIRM,
  XLOG_HEAP_DELETE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_INPLACE,
  XLOG_HEAP_INSERT,
  XLOG_HEAP_LOCK,
  XLOG_HEAP_TRUNCATE,
} from '../postgres/rmgr/heap-layout.ts';
import { RM_HEAP } from '../postgres/rmgr/resource-manager.ts';
import { redoHeap } from './heap.ts';

const settings = { hintBitsAreLogged: true };
const XID = 800;

const blockFlags = (page: Page) => page.view.getUint16(PAGE_FLAGS, true);
const pruneXid = (page: Page) => page.view.getUint32(PAGE_PRUNE_XID, true);
const replay = (page: Page, parts: RecordParts, blockId = 0) =>
  redoHeap(page, buildRecord(parts), blockId, settings);

/** A page with three tuples of 10, 20 and 30 bytes of data, all-visible. */
function samplePage(): Page {
  const page = heapPage(
    { data: sampleData(10, 1) },
    { data: sampleData(20, 2), infomask: HEAP_XMAX_INVALID | HEAP_XMIN_COMMITTED | HEAP_HASVARWIDTH },
    { data: sampleData(30, 3) },
  );
  page.view.setUint16(PAGE_FLAGS, PAGE_ALL_VISIBLE, true);
  return page;
}

function record(info: number, mainData: ByteWriter, data?: Uint8Array): RecordParts {
  const block = { blockNumber: HEAP_BLOCK, ...(data === undefined ? {} : { data }) };
  const willInitialize = (info & XLOG_HEAP_INIT_PAGE) !== 0;
  return {
    resourceManager: RM_HEAP,
    info,
    xid: XID,
    mainData: mainData.finish(),
    blocks: [{ ...block, willInitialize }],
  };
}

function insert(
  offsetNumber: number,
  flags: number,
  data: readonly number[],
  info = XLOG_HEAP_INSERT,
): RecordParts {
  const tuple = walTuple(2, HEAP_XMAX_INVALID | HEAP_COMBOCID, data);
  return record(info, new ByteWriter().u16(offsetNumber).u8(flags), tuple);
}

const inserted = (offsetNumber: number, data: readonly number[]) => ({
  xmin: XID,
  xmax: 0,
  cid: 0,
  ctid: [HEAP_BLOCK, offsetNumber],
  infomask: HEAP_XMAX_INVALID,
  infomask2: 2,
  hoff: 24,
  data,
});

describe('INSERT', () => {
  test.each([1, 7, 40, 100, 400, 3000])('appends a tuple of %i bytes of data', (length) => {
    const page = samplePage();
    page.bytes.fill(0xee, 200, 300);
    expect(replay(page, insert(4, 0, sampleData(length)))).toBe(true);
    expect(tupleOf(page, 4)).toEqual(inserted(4, sampleData(length)));
    expect(linesOf(page).length).toBe(4);
    expect(tupleOf(page, 1).data, 'others stay').toEqual(sampleData(10, 1));
    expect(blockFlags(page)).toBe(PAGE_ALL_VISIBLE);
    expect(pruneXid(page)).toBe(0);
  });

  test('takes an unused line, and clears the flag that all tuples are visible', () => {
    const page = samplePage();
    page.view.setUint32(24 + 4, 0, true);
    replay(page, insert(2, XLH_INSERT_ALL_VISIBLE_CLEARED, [1, 2, 3]));
    expect(tupleOf(page, 2)).toEqual(inserted(2, [1, 2, 3]));
    expect(blockFlags(page)).toBe(0);
  });

  test('with INIT makes the page anew', () => {
    const page = samplePage();
    page.bytes.fill(0xee);
    replay(page, insert(1, 0, [9], XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE));
    const expected = heapPage();
    replay(expected, insert(1, 0, [9]));
    expect(page.bytes).toEqual(expected.bytes);
  });

  test('refuses lines that cannot be taken, tuples without room, and other blocks', () => {
    const page = samplePage();
    for (const offsetNumber of [0, 1, 5, 292, 0xffff]) {
      expect(
        redoRefuses(redoHeap, page, buildRecord(insert(offsetNumber, 0, [1])), 0),
        `${offsetNumber}`,
      ).toBe(true);
    }
    expect(redoRefuses(redoHeap, page, buildRecord(insert(4, 0, sampleData(8000))), 0)).toBe(true);
    expect(redoRefuses(redoHeap, heapPage(), buildRecord(insert(1, 0, sampleData(9000))), 0)).toBe(true);
    const parts = insert(4, 0, [1]);
    const blocks = [...(parts.blocks ?? []), { blockNumber: 1 }, { blockNumber: 2 }];
    expect(redoRefuses(redoHeap, page, buildRecord({ ...parts, blocks }), 2)).toBe(true);
  });

  test('refuses a record that contradicts its block header on making the page anew', () => {
    const page = samplePage();
    const parts = insert(4, 0, [1]);
    const block = { blockNumber: HEAP_BLOCK, data: walTuple(2, 0, [1]) };
    const announced = buildRecord({ ...parts, blocks: [{ ...block, willInitialize: true }] });
    expect(redoRefuses(redoHeap, page, announced, 0)).toBe(true);
    const unannounced = buildRecord({
      ...parts,
      info: XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE,
      blocks: [block],
    });
    expect(redoRefuses(redoHeap, page, unannounced, 0)).toBe(true);
  });

  test('checks the main data', () => {
    expectMainDataIsChecked(redoHeap, samplePage(), insert(4, 0, [1]), 0);
    const parts = insert(4, 0, []);
    for (let length = 0; length < 5; length++) {
      const blocks = [{ blockNumber: HEAP_BLOCK, data: walTuple(2, 0, []).slice(0, length) }];
      expect(redoRefuses(redoHeap, samplePage(), buildRecord({ ...parts, blocks }), 0), `${length}`).toBe(
        true,
      );
    }
  });
});

describe('DELETE', () => {
  const remove = (offsetNumber: number, infobits: number, flags: number) =>
    record(
      XLOG_HEAP_DELETE,
      new ByteWriter()
        .u32(XID + 1)
        .u16(offsetNumber)
        .u8(infobits)
        .u8(flags),
    );

  test('marks the tuple and the page', () => {
    const page = heapPage({
      data: [1],
      cid: 9,
      infomask:
        HEAP_XMAX_COMMITTED | HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_EXCL_LOCK | HEAP_MOVED_IN | HEAP_COMBOCID | 1,
      infomask2: 2 | HEAP_HOT_UPDATED | HEAP_ONLY_TUPLE,
    });
    page.view.setUint16(PAGE_FLAGS, PAGE_ALL_VISIBLE, true);
    expect(replay(page, remove(1, XLHL_KEYS_UPDATED, XLH_DELETE_ALL_VISIBLE_CLEARED))).toBe(true);
    expect(tupleOf(page, 1)).toEqual({
      xmin: 700,
      xmax: XID + 1,
      cid: 0,
      ctid: [HEAP_BLOCK, 1],
      infomask: 1,
      infomask2: 2 | HEAP_ONLY_TUPLE | HEAP_KEYS_UPDATED,
      hoff: 24,
      data: [1],
    });
    expect(blockFlags(page)).toBe(0);
    expect(pruneXid(page)).toBe(XID);
  });

  test('all infobits find their place', () => {
    for (const [infobits, infomask, infomask2] of [
      [XLHL_XMAX_IS_MULTI, HEAP_XMAX_IS_MULTI, 2],
      [XLHL_XMAX_LOCK_ONLY, HEAP_XMAX_LOCK_ONLY, 2],
      [XLHL_XMAX_EXCL_LOCK, HEAP_XMAX_EXCL_LOCK, 2],
      [XLHL_XMAX_KEYSHR_LOCK, HEAP_XMAX_KEYSHR_LOCK, 2],
      [XLHL_KEYS_UPDATED, 0, 2 | HEAP_KEYS_UPDATED],
    ] as const) {
      const page = heapPage({ data: [1] });
      replay(page, remove(1, infobits, 0));
      expect(tupleOf(page, 1)).toMatchObject({ infomask, infomask2 });
    }
  });

  test('of a speculative tuple takes back the insertion', () => {
    const page = heapPage({ data: [1], xmax: 5 });
    replay(page, remove(1, 0, XLH_DELETE_IS_SUPER));
    expect(tupleOf(page, 1)).toMatchObject({ xmin: 0, xmax: 5 });
  });

  test('of a tuple that moves to another partition says so', () => {
    const page = heapPage({ data: [1] });
    replay(page, remove(1, 0, XLH_DELETE_IS_PARTITION_MOVE));
    expect(tupleOf(page, 1).ctid).toEqual([0xffff_ffff, 0xfffd]);
  });

  test.each([
    [0, XID, XID],
    [XID + 5, XID, XID],
    [XID - 5, XID, XID - 5],
    [0xffff_fff0, XID, 0xffff_fff0],
    [XID, 0xffff_fff0, 0xffff_fff0],
    [2, XID, 2],
  ])('the oldest transaction counts for pruning: %i, then %i', (before, xid, after) => {
    const page = heapPage({ data: [1] });
    page.view.setUint32(PAGE_PRUNE_XID, before, true);
    replay(page, { ...remove(1, 0, 0), xid });
    expect(pruneXid(page)).toBe(after);
  });

  test('checks the main data, and whether an old tuple belongs there', () => {
    expectMainDataIsChecked(redoHeap, samplePage(), remove(2, 0, 0), 0);
    const withKey = (key: Uint8Array) => {
      const main = new ByteWriter().u32(XID).u16(2).u8(0).u8(XLH_DELETE_CONTAINS_OLD_KEY).bytes(key);
      return buildRecord(record(XLOG_HEAP_DELETE, main));
    };
    expect(redoRefuses(redoHeap, samplePage(), withKey(walTuple(1, 0, [1, 2])), 0)).toBe(false);
    expect(redoRefuses(redoHeap, samplePage(), withKey(new Uint8Array(4)), 0)).toBe(true);
    expect(redoRefuses(redoHeap, samplePage(), withKey(new Uint8Array(0)), 0)).toBe(true);
  });

  test('refuses lines without a tuple', () => {
    const page = samplePage();
    page.view.setUint32(24 + 4, 0, true);
    for (const offsetNumber of [0, 2, 4, 0xffff]) {
      expect(redoRefuses(redoHeap, page, buildRecord(remove(offsetNumber, 0, 0)), 0), `${offsetNumber}`).toBe(
        true,
      );
    }
  });
});

describe('LOCK', () => {
  const lock = (infobits: number) =>
    record(
      XLOG_HEAP_LOCK,
      new ByteWriter()
        .u32(XID + 1)
        .u16(1)
        .u8(infobits)
        .u8(0),
    );
  const updatedPage = () => {
    const page = heapPage({ data: [1], infomask2: 2 | HEAP_HOT_UPDATED | HEAP_KEYS_UPDATED, cid: 3 });
    // The chain goes on in line 7.
    page.view.setUint16(8192 - 32 + 16, 7, true);
    page.view.setUint16(PAGE_FLAGS, PAGE_ALL_VISIBLE, true);
    return page;
  };

  test.each([
    [XLHL_XMAX_LOCK_ONLY | XLHL_XMAX_KEYSHR_LOCK, HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_KEYSHR_LOCK],
    [XLHL_XMAX_EXCL_LOCK, HEAP_XMAX_EXCL_LOCK],
    [XLHL_XMAX_LOCK_ONLY | XLHL_XMAX_IS_MULTI, HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_IS_MULTI],
  ])('with infobits %i only locks: the chain ends here', (infobits, infomask) => {
    const page = updatedPage();
    expect(replay(page, lock(infobits))).toBe(true);
    const expected = { xmax: XID + 1, cid: 0, ctid: [HEAP_BLOCK, 1], infomask, infomask2: 2 };
    expect(tupleOf(page, 1)).toMatchObject(expected);
    expect(blockFlags(page), 'a locked row is as visible as before').toBe(PAGE_ALL_VISIBLE);
    expect(pruneXid(page)).toBe(0);
  });

  test.each([0, XLHL_XMAX_IS_MULTI | XLHL_XMAX_EXCL_LOCK])('with infobits %i keeps the chain', (infobits) => {
    const page = updatedPage();
    replay(page, lock(infobits));
    expect(tupleOf(page, 1)).toMatchObject({
      xmax: XID + 1,
      ctid: [HEAP_BLOCK, 7],
      infomask2: 2 | HEAP_HOT_UPDATED,
    });
  });

  test('checks the main data', () => {
    expectMainDataIsChecked(redoHeap, samplePage(), lock(0), 0);
  });
});

describe('HEAP_CONFIRM', () => {
  const confirm = (offsetNumber: number) => record(XLOG_HEAP_CONFIRM, new ByteWriter().u16(offsetNumber));

  test('replaces the token by the place of the tuple', () => {
    const page = samplePage();
    page.view.setUint16(8192 - 40 - 48 + 16, 0xfffe, true);
    expect(tupleOf(page, 2).ctid[1]).toBe(0xfffe);
    expect(replay(page, confirm(2))).toBe(true);
    expect(tupleOf(page, 2).ctid).toEqual([HEAP_BLOCK, 2]);
    expectMainDataIsChecked(redoHeap, samplePage(), confirm(2), 0);
    expect(redoRefuses(redoHeap, page, buildRecord(confirm(4)), 0)).toBe(true);
  });
});

describe('INPLACE', () => {
  const inplace = (offsetNumber: number, data: readonly number[]) =>
    record(XLOG_HEAP_INPLACE, new ByteWriter().u16(offsetNumber), Uint8Array.from(data));

  test('overwrites the data and nothing else', () => {
    const page = samplePage();
    const before = tupleOf(page, 2);
    expect(replay(page, inplace(2, sampleData(20, 9)))).toBe(true);
    expect(tupleOf(page, 2)).toEqual({ ...before, data: sampleData(20, 9) });
    expect(tupleOf(page, 1).data).toEqual(sampleData(10, 1));
    expect(tupleOf(page, 3).data).toEqual(sampleData(30, 3));
  });

  test('refuses data of another length', () => {
    expectMainDataIsChecked(redoHeap, samplePage(), inplace(2, sampleData(20)), 0);
    expectBlockDataIsChecked(redoHeap, samplePage(), inplace(2, sampleData(20)), 0);
  });

  test('refuses a tuple whose header is too long or too short', () => {
    for (const hoff of [0, 22, 60, 255]) {
      const page = samplePage();
      page.bytes[8192 - 40 - 48 + 22] = hoff;
      const data = sampleData(Math.max(44 - hoff, 1));
      expect(redoRefuses(redoHeap, page, buildRecord(inplace(2, data)), 0), `${hoff}`).toBe(true);
    }
  });
});

test('a TRUNCATE record has no blocks, and unknown kinds are refused by name', () => {
  expect(
    redoRefuses(redoHeap, samplePage(), buildRecord(record(XLOG_HEAP_TRUNCATE, new ByteWriter())), 0),
  ).toBe(true);
  const unknown = buildRecord(record(XLOG_HEAP_DELETE | XLOG_HEAP_INIT_PAGE, new ByteWriter()));
  expect(() => redoHeap(samplePage(), unknown, 0, settings)).toThrow(UnknownRecordError);
});

test('whatever is damaged, replay ends with a refusal at worst', () => {
  const page = samplePage();
  putTuple(page, 4, { data: sampleData(500), infomask: HEAP_UPDATED });
  const main = () => new ByteWriter().u32(XID).u16(2).u8(XLHL_XMAX_LOCK_ONLY).u8(1);
  const samples = [
    insert(5, 1, sampleData(300)),
    insert(1, 0, sampleData(30), XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE),
    record(XLOG_HEAP_DELETE, main()),
    record(XLOG_HEAP_LOCK, main()),
    record(XLOG_HEAP_CONFIRM, new ByteWriter().u16(3)),
    record(XLOG_HEAP_INPLACE, new ByteWriter().u16(2), Uint8Array.from(sampleData(20))),
  ].map((parts) => ({
    page,
    parts: { ...parts, blocks: [...(parts.blocks ?? []), { blockNumber: 4, fork: 2 }] },
  }));
  expect(linesOf(page)[3]?.[0]).toBe(LINE_NORMAL);
  expectDamageIsRefused(redoHeap, samples);
});
