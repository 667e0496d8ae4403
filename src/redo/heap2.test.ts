import { describe, expect, test } from 'vitest';
import { HEAP_BLOCK, heapPage, linesOf, sampleData, tupleOf } from '../../test/support/heap-pages.ts';
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
  HEAP_HOT_UPDATED,
  HEAP_KEYS_UPDATED,
  HEAP_XMAX_INVALID,
  HEAP_XMAX_KEYSHR_LOCK,
  HEAP_XMAX_LOCK_ONLY,
} from '../postgres/page/heap-tuple.ts';
import { PAGE_ALL_VISIBLE, PAGE_FLAGS, Page } from '../postgres/page/page.ts';
import {
  getVisibility,
  initializeNewMapPage,
  setVisibility,
  VISIBILITYMAP_ALL_VISIBLE,
  VISIBILITYMAP_VALID_BITS,
  VISIBILITYMAP_XLOG_CATALOG_REL,
  visibilityMapBlock,
} from '../postgres/page/visibility-map.ts';
import {
  XLH_INSERT_ALL_FROZEN_SET,
  XLH_INSERT_ALL_VISIBLE_CLEARED,
  XLHL_XMAX_KEYSHR_LOCK,
  XLHL_XMAX_LOCK_ONLY,
  XLOG_HEAP_INIT_PAGE,
} from '../postgres/rmgr/heap-layout.ts';
import {
  XLOG_HEAP2_LOCK_UPDATED,
  XLOG_HEAP2_MULTI_INSERT,
  XLOG_HEAP2_MULTI_INSERT_INIT,
  XLOG_HEAP2_NEW_CID,
  XLOG_HEAP2_REWRITE,
  XLOG_HEAP2_VISIBLE,
} from '../postgres/rmgr/heap2.ts';
import { RM_HEAP2 } from '../postgres/rmgr/resource-manager.ts';
import { redoHeap2 } from './heap2.ts';

const hintsLogged = { hintBitsAreLogged: true };
const hintsNotLogged = { hintBitsAreLogged: false };
const XID = 800;
const MAP_BLOCK = visibilityMapBlock(HEAP_BLOCK);

const flagsOf = (page: Page) => page.view.getUint16(PAGE_FLAGS, true);
const replay = (page: Page, parts: RecordParts, blockId = 0, settings = hintsLogged) =>
  redoHeap2(page, buildRecord(parts), blockId, settings);

describe('VISIBLE', () => {
  const visible = (flags: number, mapBlock = MAP_BLOCK): RecordParts => ({
    resourceManager: RM_HEAP2,
    info: XLOG_HEAP2_VISIBLE,
    mainData: new ByteWriter().u32(700).u8(flags).finish(),
    blocks: [
      { fork: 2, blockNumber: mapBlock },
      { sameRelation: true, fork: 0, blockNumber: HEAP_BLOCK },
    ],
  });

  test('sets bits in the map, making a page that was never written', () => {
    const page = new Page();
    expect(replay(page, visible(VISIBILITYMAP_ALL_VISIBLE | VISIBILITYMAP_XLOG_CATALOG_REL))).toBe(true);
    const expected = new Page();
    initializeNewMapPage(expected);
    setVisibility(expected, HEAP_BLOCK, VISIBILITYMAP_ALL_VISIBLE);
    expect(page.bytes).toEqual(expected.bytes);
    expect(replay(page, visible(VISIBILITYMAP_ALL_VISIBLE)), 'nothing new, not stamped').toBe(false);
    expect(replay(page, visible(VISIBILITYMAP_VALID_BITS))).toBe(true);
    expect(getVisibility(page, HEAP_BLOCK)).toBe(VISIBILITYMAP_VALID_BITS);
  });

  test('marks the heap page, whose LSN only moves where hint bits are logged', () => {
    const page = heapPage({ data: [1] });
    expect(replay(page, visible(VISIBILITYMAP_VALID_BITS), 1, hintsNotLogged)).toBe(false);
    expect(flagsOf(page)).toBe(PAGE_ALL_VISIBLE);
    expect(replay(page, visible(VISIBILITYMAP_VALID_BITS), 1, hintsLogged)).toBe(true);
  });

  test('refuses unknown flags, and a map page that does not hold the bits', () => {
    expectMainDataIsChecked(redoHeap2, new Page(), visible(1), 0);
    expectMainDataIsChecked(redoHeap2, heapPage(), visible(1), 1);
    expect(redoRefuses(redoHeap2, new Page(), buildRecord(visible(8)), 0)).toBe(true);
    expect(redoRefuses(redoHeap2, new Page(), buildRecord(visible(1, MAP_BLOCK + 1)), 0)).toBe(true);
    const alone = { ...visible(1), blocks: [{ fork: 2, blockNumber: MAP_BLOCK }] };
    expect(redoRefuses(redoHeap2, new Page(), buildRecord(alone), 0)).toBe(true);
  });
});

describe('MULTI_INSERT', () => {
  /** Tuples of 5, 8 and 200 bytes: after the first there is a byte of padding. */
  const datas = [sampleData(5, 1), sampleData(8, 2), sampleData(200, 3)];
  const infomask = HEAP_XMAX_INVALID | HEAP_COMBOCID;

  function multiInsert(info: number, flags: number, offsetNumbers: readonly number[]): RecordParts {
    const data = new ByteWriter();
    for (const bytes of datas) {
      data.align(2).u16(bytes.length + 1);
      data.u16s(3, infomask).u8(24).u8(0).bytes(bytes);
    }
    const mainData = new ByteWriter()
      .u8(flags)
      .u8(0)
      .u16(datas.length)
      .u16s(...offsetNumbers);
    const willInitialize = (info & XLOG_HEAP_INIT_PAGE) !== 0;
    return {
      resourceManager: RM_HEAP2,
      info,
      xid: XID,
      mainData: mainData.finish(),
      blocks: [{ blockNumber: HEAP_BLOCK, data: data.finish(), willInitialize }],
    };
  }

  const inserted = (offsetNumber: number, data: readonly number[]) => {
    const masks = { infomask: HEAP_XMAX_INVALID, infomask2: 3, hoff: 24 };
    return { xmin: XID, xmax: 0, cid: 0, ctid: [HEAP_BLOCK, offsetNumber], ...masks, data };
  };

  test('adds tuples in the lines that it names', () => {
    const page = heapPage({ data: [1] }, { data: [2] }, { data: [3] });
    page.view.setUint16(PAGE_FLAGS, PAGE_ALL_VISIBLE, true);
    page.view.setUint32(24 + 4, 0, true);
    expect(
      replay(page, multiInsert(XLOG_HEAP2_MULTI_INSERT, XLH_INSERT_ALL_VISIBLE_CLEARED, [2, 4, 5])),
    ).toBe(true);
    expect([2, 4, 5].map((line) => tupleOf(page, line))).toEqual([
      inserted(2, datas[0] as number[]),
      inserted(4, datas[1] as number[]),
      inserted(5, datas[2] as number[]),
    ]);
    expect(flagsOf(page)).toBe(0);
  });

  test('with INIT takes the lines from 1 on, and may leave the page all-visible', () => {
    const page = new Page();
    page.bytes.fill(0xee);
    replay(page, multiInsert(XLOG_HEAP2_MULTI_INSERT_INIT, XLH_INSERT_ALL_FROZEN_SET, []));
    expect([1, 2, 3].map((line) => tupleOf(page, line))).toEqual(
      datas.map((data, index) => inserted(index + 1, data)),
    );
    expect(flagsOf(page)).toBe(PAGE_ALL_VISIBLE);
    expect(linesOf(page).length).toBe(3);
  });

  test('checks main data and block data', () => {
    const page = heapPage({ data: [1] });
    const parts = multiInsert(XLOG_HEAP2_MULTI_INSERT, 0, [2, 3, 4]);
    expectMainDataIsChecked(redoHeap2, page, parts, 0);
    expectBlockDataIsChecked(redoHeap2, page, parts, 0);
    const init = multiInsert(XLOG_HEAP2_MULTI_INSERT_INIT, 0, []);
    expectMainDataIsChecked(redoHeap2, page, init, 0);
    expectBlockDataIsChecked(redoHeap2, page, init, 0);
    const many = { ...init, mainData: new ByteWriter().u16s(0, 0xffff).finish() };
    expect(redoRefuses(redoHeap2, page, buildRecord(many), 0)).toBe(true);
  });
});

describe('LOCK_UPDATED', () => {
  const lock: RecordParts = {
    resourceManager: RM_HEAP2,
    info: XLOG_HEAP2_LOCK_UPDATED,
    xid: XID,
    mainData: new ByteWriter()
      .u32(XID + 1)
      .u16(1)
      .u8(XLHL_XMAX_LOCK_ONLY | XLHL_XMAX_KEYSHR_LOCK)
      .u8(0)
      .finish(),
    blocks: [{ blockNumber: HEAP_BLOCK }],
  };

  test('changes xmax, but neither command id nor chain', () => {
    const infomask = HEAP_XMAX_INVALID | HEAP_COMBOCID;
    const page = heapPage({
      data: [1],
      cid: 5,
      infomask,
      infomask2: HEAP_HOT_UPDATED | HEAP_KEYS_UPDATED | 1,
    });
    expect(replay(page, lock)).toBe(true);
    expect(tupleOf(page, 1)).toMatchObject({
      xmax: XID + 1,
      cid: 5,
      infomask: HEAP_COMBOCID | HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_KEYSHR_LOCK,
      infomask2: HEAP_HOT_UPDATED | 1,
    });
    expectMainDataIsChecked(redoHeap2, page, lock, 0);
  });

  test('whatever is damaged, replay ends with a refusal at worst', () => {
    const page = heapPage({ data: [1] }, { data: sampleData(80) });
    expectDamageIsRefused(redoHeap2, [{ page, parts: lock }], 500);
  });
});

test('records without blocks, and unknown kinds', () => {
  const page = heapPage({ data: [1] });
  const parts = { resourceManager: RM_HEAP2, blocks: [{ blockNumber: 1 }] };
  for (const info of [XLOG_HEAP2_NEW_CID, XLOG_HEAP2_REWRITE]) {
    expect(redoRefuses(redoHeap2, page, buildRecord({ ...parts, info }), 0), `${info}`).toBe(true);
  }
  const unknown = buildRecord({ ...parts, info: XLOG_HEAP2_VISIBLE | XLOG_HEAP_INIT_PAGE });
  expect(() => redoHeap2(page, unknown, 0, hintsLogged)).toThrow(UnknownRecordError);
});
