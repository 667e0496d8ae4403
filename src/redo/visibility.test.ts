import { describe, expect, test } from 'vitest';
import { heapPage } from '../../test/support/heap-pages.ts';
import { redoRefuses, refuses } from '../../test/support/hostile-records.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordBlock,
  type RecordParts,
  TEST_RELATION,
} from '../../test/support/record-builder.ts';
import { getPageLsn, Page, setPageLsn } from '../postgres/page/page.ts';
import {
  getVisibility,
  HEAP_BLOCKS_PER_MAP_PAGE,
  initializeNewMapPage,
  VISIBILITYMAP_ALL_FROZEN,
  VISIBILITYMAP_ALL_VISIBLE,
  VISIBILITYMAP_VALID_BITS,
} from '../postgres/page/visibility-map.ts';
import {
  XLOG_HEAP_CONFIRM,
  XLOG_HEAP_DELETE,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INSERT,
  XLOG_HEAP_LOCK,
  XLOG_HEAP_UPDATE,
} from '../postgres/rmgr/heap-layout.ts';
import {
  XLOG_HEAP2_LOCK_UPDATED,
  XLOG_HEAP2_MULTI_INSERT,
  XLOG_HEAP2_MULTI_INSERT_INIT,
  XLOG_HEAP2_PRUNE_VACUUM_SCAN,
  XLOG_HEAP2_VISIBLE,
} from '../postgres/rmgr/heap2.ts';
import { RM_BTREE, RM_HEAP, RM_HEAP2 } from '../postgres/rmgr/resource-manager.ts';
import { redoHeap } from './heap.ts';
import { redoHeap2 } from './heap2.ts';
import { findVisibilityClears, redoVisibilityClears, VisibilityClears } from './visibility.ts';

const settings = { hintBitsAreLogged: false };
/** The third block of the map's second page. */
const FAR_BLOCK = HEAP_BLOCKS_PER_MAP_PAGE + 2;
const NEAR_BLOCK = 5;

const insertData = (flags: number) => new ByteWriter().u16(1).u8(flags);
const multiInsertData = (flags: number) => new ByteWriter().u8(flags).u8(0).u16(0);
/** DELETE, LOCK and LOCK_UPDATED have their flags in the same place. */
const deleteData = (flags: number) => new ByteWriter().u32(9).u16(1).u8(0).u8(flags);
const updateData = (flags: number) => deleteData(flags).u32(0).u16(2);

function record(
  resourceManager: number,
  info: number,
  mainData: ByteWriter,
  blocks: readonly RecordBlock[] = [{ blockNumber: FAR_BLOCK }],
): RecordParts {
  return { resourceManager, info, mainData: mainData.finish(), blocks };
}

function clearsOf(parts: RecordParts): (readonly [number, number])[] {
  const out = new VisibilityClears();
  const count = findVisibilityClears(buildRecord(parts), out);
  expect(out.count).toBe(count);
  if (count > 0) expect([out.tablespace, out.database, out.relation]).toEqual(Object.values(TEST_RELATION));
  return Array.from({ length: count }, (_, index) => [
    out.heapBlocks[index] as number,
    out.flags[index] as number,
  ]);
}

function fullMapPage(): Page {
  const page = new Page();
  initializeNewMapPage(page);
  page.bytes.fill(0xff, 24);
  setPageLsn(page, 0, 0x1234);
  return page;
}

const single: readonly (readonly [string, number, number, (flags: number) => ByteWriter, number])[] = [
  ['INSERT', RM_HEAP, XLOG_HEAP_INSERT, insertData, VISIBILITYMAP_VALID_BITS],
  ['DELETE', RM_HEAP, XLOG_HEAP_DELETE, deleteData, VISIBILITYMAP_VALID_BITS],
  ['LOCK', RM_HEAP, XLOG_HEAP_LOCK, deleteData, VISIBILITYMAP_ALL_FROZEN],
  ['LOCK_UPDATED', RM_HEAP2, XLOG_HEAP2_LOCK_UPDATED, deleteData, VISIBILITYMAP_ALL_FROZEN],
  ['MULTI_INSERT', RM_HEAP2, XLOG_HEAP2_MULTI_INSERT, multiInsertData, VISIBILITYMAP_VALID_BITS],
  ['MULTI_INSERT+INIT', RM_HEAP2, XLOG_HEAP2_MULTI_INSERT_INIT, multiInsertData, VISIBILITYMAP_VALID_BITS],
];

describe.each(single)('%s', (_, resourceManager, info, mainData, bits) => {
  const map: RecordBlock = { fork: 2, blockNumber: 1, sameRelation: true };
  const redo = resourceManager === RM_HEAP ? redoHeap : redoHeap2;
  const initializes = info === XLOG_HEAP2_MULTI_INSERT_INIT;
  const heap: RecordBlock = { blockNumber: FAR_BLOCK, willInitialize: initializes };

  test('clears the block beside the references only if its flag says so', () => {
    expect(clearsOf(record(resourceManager, info, mainData(1)))).toEqual([[FAR_BLOCK, bits]]);
    expect(clearsOf(record(resourceManager, info, mainData(0xfe)))).toEqual([]);
  });

  test('does not where the map is a block reference, which replay then changes', () => {
    const parts = record(resourceManager, info, mainData(1), [heap, map]);
    expect(clearsOf(parts)).toEqual([]);
    const page = fullMapPage();
    expect(redo(page, buildRecord(parts), 1, settings)).toBe(true);
    expect(getVisibility(page, FAR_BLOCK)).toBe(VISIBILITYMAP_VALID_BITS & ~bits);
    expect(getVisibility(page, FAR_BLOCK + 1)).toBe(VISIBILITYMAP_VALID_BITS);
    expect(redo(page, buildRecord(parts), 1, settings), 'nothing was set: not stamped').toBe(false);
  });

  test('refuses a map page that it does not clear, or that is not the right one', () => {
    const refusesMap = (flags: number, block: RecordBlock, page = fullMapPage()) =>
      redoRefuses(redo, page, buildRecord(record(resourceManager, info, mainData(flags), [heap, block])), 1);
    expect(refusesMap(1, map)).toBe(false);
    expect(refusesMap(0, map)).toBe(true);
    expect(refusesMap(1, { ...map, blockNumber: 0 })).toBe(true);
    expect(refusesMap(1, { ...map, fork: 0 }), 'a page that is no map').toBe(true);
    expect(refusesMap(1, map, new Page()), 'a page that was never written').toBe(true);
  });

  test('refuses main data without the flags, and a record without its heap block', () => {
    const whole = mainData(1).finish();
    const flagsAt = whole.lastIndexOf(1);
    for (let length = 0; length <= flagsAt; length++) {
      const cut = record(resourceManager, info, new ByteWriter().bytes(whole.slice(0, length)));
      expect(
        refuses(() => clearsOf(cut)),
        `${length}`,
      ).toBe(true);
    }
    expect(refuses(() => clearsOf(record(resourceManager, info, mainData(1), [])))).toBe(true);
  });
});

describe.each([
  ['UPDATE', XLOG_HEAP_UPDATE],
  ['HOT_UPDATE', XLOG_HEAP_HOT_UPDATE],
])('%s', (_, info) => {
  const newBlock: RecordBlock = { blockNumber: FAR_BLOCK };
  const oldBlock: RecordBlock = { blockNumber: NEAR_BLOCK };

  test('on one page clears that page once', () => {
    for (const flags of [1, 2, 3]) {
      expect(clearsOf(record(RM_HEAP, info, updateData(flags), [newBlock]))).toEqual([
        [FAR_BLOCK, VISIBILITYMAP_VALID_BITS],
      ]);
    }
    expect(clearsOf(record(RM_HEAP, info, updateData(0xfc), [newBlock]))).toEqual([]);
  });

  test('across pages clears what its flags say', () => {
    const blocks = [newBlock, oldBlock];
    const bits = VISIBILITYMAP_VALID_BITS;
    expect(clearsOf(record(RM_HEAP, info, updateData(1), blocks))).toEqual([[NEAR_BLOCK, bits]]);
    expect(clearsOf(record(RM_HEAP, info, updateData(2), blocks))).toEqual([[FAR_BLOCK, bits]]);
    expect(clearsOf(record(RM_HEAP, info, updateData(3), blocks))).toEqual([
      [FAR_BLOCK, bits],
      [NEAR_BLOCK, bits],
    ]);
  });

  test('clears nothing beside the references as soon as it names a page of the map', () => {
    for (const id of [2, 3]) {
      const blocks = [newBlock, oldBlock, { id, fork: 2, blockNumber: 0 }];
      expect(clearsOf(record(RM_HEAP, info, updateData(3), blocks))).toEqual([]);
    }
  });
});

describe("an update's pages of the map", () => {
  const replayMap = (
    flags: number,
    blockId: number,
    blocks: readonly RecordBlock[],
    page = fullMapPage(),
  ): [boolean, Page] => [
    redoHeap(
      page,
      buildRecord(record(RM_HEAP, XLOG_HEAP_UPDATE, updateData(flags), blocks)),
      blockId,
      settings,
    ),
    page,
  ];
  const bitsOf = (page: Page, ...blocks: number[]) => blocks.map((block) => getVisibility(page, block));

  test('one page for both heap pages clears both', () => {
    const blocks = [{ blockNumber: 7 }, { blockNumber: 9 }, { id: 2, fork: 2, blockNumber: 0 }];
    const [cleared, page] = replayMap(3, 2, blocks);
    expect(cleared).toBe(true);
    expect(bitsOf(page, 7, 8, 9)).toEqual([0, 3, 0]);
    const [newOnly, other] = replayMap(2, 2, blocks);
    expect(newOnly).toBe(true);
    expect(bitsOf(other, 7, 8, 9)).toEqual([0, 3, 3]);
  });

  test('the stamp is due if either bit was set', () => {
    const blocks = [{ blockNumber: 7 }, { blockNumber: 9 }, { id: 2, fork: 2, blockNumber: 0 }];
    const page = fullMapPage();
    replayMap(2, 2, blocks, page);
    expect(replayMap(3, 2, blocks, page)[0], 'the old one was').toBe(true);
    expect(replayMap(3, 2, blocks, page)[0], 'none was').toBe(false);
  });

  test('pages of their own clear one each', () => {
    const maps = [
      { id: 2, fork: 2, blockNumber: 1 },
      { id: 3, fork: 2, blockNumber: 0 },
    ];
    const blocks = [{ blockNumber: FAR_BLOCK }, { blockNumber: NEAR_BLOCK }, ...maps];
    const [, newMap] = replayMap(3, 2, blocks);
    expect(bitsOf(newMap, FAR_BLOCK, NEAR_BLOCK)).toEqual([0, 3]);
    const [, oldMap] = replayMap(3, 3, blocks);
    expect(bitsOf(oldMap, FAR_BLOCK, NEAR_BLOCK)).toEqual([3, 0]);
  });

  test('the old page alone, also where it is the new one too', () => {
    const map = { id: 3, fork: 2, blockNumber: 0 };
    const [cleared, page] = replayMap(1, 3, [{ blockNumber: 7 }, { blockNumber: 9 }, map]);
    expect(cleared).toBe(true);
    expect(bitsOf(page, 7, 9)).toEqual([3, 0]);
    expect(bitsOf(replayMap(1, 3, [{ blockNumber: 7 }, map])[1], 7)).toEqual([0]);
  });

  test('refuses pages that the flags do not speak of', () => {
    const blocks = [{ blockNumber: 7 }, { blockNumber: 9 }, { fork: 2 }, { fork: 2 }];
    const refusesMap = (flags: number, blockId: number) => refuses(() => replayMap(flags, blockId, blocks));
    expect([refusesMap(1, 2), refusesMap(2, 3), refusesMap(3, 2), refusesMap(3, 3)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

test('other records clear nothing', () => {
  const ones = new ByteWriter().bytes(new Array(20).fill(0xff));
  for (const [resourceManager, info] of [
    [RM_HEAP, XLOG_HEAP_CONFIRM],
    [RM_HEAP2, XLOG_HEAP2_VISIBLE],
    [RM_HEAP2, XLOG_HEAP2_PRUNE_VACUUM_SCAN],
    [RM_BTREE, XLOG_HEAP_INSERT],
  ] as const) {
    expect(clearsOf(record(resourceManager, info, ones))).toEqual([]);
  }
});

test('a clear beside the references is replayed whatever the LSN of the map, which stays', () => {
  const parts = record(RM_HEAP, XLOG_HEAP_UPDATE, updateData(3), [
    { blockNumber: FAR_BLOCK },
    { blockNumber: NEAR_BLOCK },
  ]);
  const page = fullMapPage();
  setPageLsn(page, 0xffff, 0);
  expect(redoVisibilityClears(page, buildRecord(parts), 1)).toBe(true);
  expect(getVisibility(page, FAR_BLOCK)).toBe(0);
  expect(getVisibility(page, NEAR_BLOCK), 'is in another page of the map').toBe(3);
  expect(getPageLsn(page)).toBe(0xffff * 0x1_0000_0000);
  expect(redoVisibilityClears(page, buildRecord(parts), 1)).toBe(false);
  expect(redoVisibilityClears(page, buildRecord(parts), 7)).toBe(false);
});

test('a clear in a page of the map that was never written makes it an empty one', () => {
  const parts = record(RM_HEAP, XLOG_HEAP_LOCK, deleteData(1));
  const page = new Page();
  expect(redoVisibilityClears(page, buildRecord(parts), 0), 'another page').toBe(false);
  expect(page.bytes).toEqual(new Page().bytes);
  expect(redoVisibilityClears(page, buildRecord(parts), 1)).toBe(true);
  expect(page.bytes).toEqual(heapPage().bytes);
  expect(getVisibility(page, FAR_BLOCK) & VISIBILITYMAP_ALL_VISIBLE).toBe(0);
});
