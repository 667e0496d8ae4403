import { describe, expect, test } from 'vitest';
import {
  expectBlockDataIsChecked,
  expectDamageIsRefused,
  expectMainDataIsChecked,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { appendItem, indexTuple, itemsOf, lineFlagsOf } from '../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  GIST_DELETED,
  GIST_FLAGS,
  GIST_FOLLOW_RIGHT,
  GIST_HAS_GARBAGE,
  GIST_LEAF,
  GIST_NSN_HIGH,
  GIST_NSN_LOW,
  GIST_RIGHT_LINK,
  GIST_TUPLES_DELETED,
  initializeGistPage,
} from '../postgres/page/gist-page.ts';
import { LINE_DEAD, linePointerOffset, PAGE_LOWER, PAGE_SPECIAL, Page } from '../postgres/page/page.ts';
import {
  XLOG_GIST_ASSIGN_LSN,
  XLOG_GIST_DELETE,
  XLOG_GIST_PAGE_DELETE,
  XLOG_GIST_PAGE_REUSE,
  XLOG_GIST_PAGE_SPLIT,
  XLOG_GIST_PAGE_UPDATE,
} from '../postgres/rmgr/gist.ts';
import { RM_GIST } from '../postgres/rmgr/resource-manager.ts';
import { redoGist, redoGistRestored } from './gist.ts';
import { REDO_RESTORED, redo } from './redo.ts';

const tuples = [indexTuple(1, 1), indexTuple(2, 2, 24, 0xbb), indexTuple(3, 3, 32, 0xcc), indexTuple(4, 4)];

function gistPage(flags: number): Page {
  const page = new Page();
  initializeGistPage(page, flags);
  for (const tuple of tuples) appendItem(page, tuple);
  return page;
}

const flagsOf = (page: Page) => page.view.getUint16(GIST_FLAGS, true);
const nsnOf = (page: Page) => [
  page.view.getUint32(GIST_NSN_HIGH, true),
  page.view.getUint32(GIST_NSN_LOW, true),
];

/** The offset numbers are not aligned to anything in a record, so tuples begin at odd places. */
function update(deleted: readonly number[], inserted: readonly Uint8Array[]): RecordParts {
  const data = new ByteWriter().u16s(...deleted);
  for (const tuple of inserted) data.bytes(tuple);
  return {
    resourceManager: RM_GIST,
    info: XLOG_GIST_PAGE_UPDATE,
    mainData: new ByteWriter().u16s(deleted.length, inserted.length).finish(),
    blocks: [{ blockNumber: 5, data: data.finish() }, { blockNumber: 6 }],
  };
}

describe('PAGE_UPDATE', () => {
  test('appends tuples', () => {
    const page = gistPage(GIST_LEAF);
    const added = [indexTuple(9, 1, 40, 0xdd), indexTuple(9, 2)];
    expect(redoGist(page, buildRecord(update([], added)), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([...tuples, ...added]);
    expect(flagsOf(page)).toBe(GIST_LEAF);
  });

  test('deletes tuples, which a leaf remembers', () => {
    const leaf = gistPage(GIST_LEAF);
    redoGist(leaf, buildRecord(update([1, 2, 4], [])), 0);
    expect(itemsOf(leaf)).toEqual([tuples[2]]);
    expect(flagsOf(leaf)).toBe(GIST_LEAF | GIST_TUPLES_DELETED);
    const inner = gistPage(0);
    redoGist(inner, buildRecord(update([2], [indexTuple(8, 8), indexTuple(9, 9)])), 0);
    expect(itemsOf(inner)).toEqual([tuples[0], tuples[2], tuples[3], indexTuple(8, 8), indexTuple(9, 9)]);
    expect(flagsOf(inner)).toBe(0);
  });

  test.each([8, 24, 64])(
    'replaces one tuple by one of %i bytes in its place, keeping the line as it was',
    (size) => {
      const page = gistPage(GIST_LEAF);
      const line = linePointerOffset(2);
      page.view.setUint32(line, (page.view.getUint32(line, true) | (LINE_DEAD << 15)) >>> 0, true);
      const replacement = indexTuple(7, 7, size, 0xee);
      redoGist(page, buildRecord(update([2], [replacement])), 0);
      expect(itemsOf(page)).toEqual([tuples[0], replacement, tuples[2], tuples[3]]);
      expect(lineFlagsOf(page, 2)).toBe(LINE_DEAD);
      expect(flagsOf(page), 'no tuple counts as deleted').toBe(GIST_LEAF);
    },
  );

  test('completes a split: the left half gets the NSN and no longer sends readers to the right', () => {
    const page = gistPage(GIST_LEAF | GIST_FOLLOW_RIGHT);
    const record = buildRecord({ ...update([], [indexTuple(9, 9)]), startLsn: 0x7_0123_0000 });
    expect(redoGist(page, record, 1)).toBe(true);
    expect(nsnOf(page)).toEqual([record.endLsnHigh, record.endLsnLow]);
    expect(flagsOf(page)).toBe(GIST_LEAF);
    expect(itemsOf(page)).toEqual(tuples);
    expect(redoRefuses(redoGist, page, record, 2), 'no third block').toBe(true);
  });

  test('refuses lines that are not there, and announced numbers that are wrong', () => {
    const page = gistPage(GIST_LEAF);
    for (const deleted of [[0], [5], [0xffff], [2, 9], [3, 2, 1], [1, 1, 1]]) {
      expect(redoRefuses(redoGist, page, buildRecord(update(deleted, [])), 0), `${deleted}`).toBe(true);
    }
    const parts = update([2], [indexTuple(7, 7), indexTuple(8, 8)]);
    for (const counts of [
      [1, 1],
      [1, 3],
      [0xffff, 0xffff],
      [0, 0],
    ]) {
      const wrong = buildRecord({ ...parts, mainData: new ByteWriter().u16s(...counts).finish() });
      expect(redoRefuses(redoGist, page, wrong, 0), `${counts}`).toBe(true);
    }
    const sizeless = indexTuple(7, 7);
    sizeless.fill(0, 6, 8);
    expect(redoRefuses(redoGist, page, buildRecord(update([], [sizeless])), 0)).toBe(true);
    const large = buildRecord(update([], [indexTuple(7, 7, 8000)]));
    expect(redoRefuses(redoGist, page, large, 0), 'there is room').toBe(false);
    const full = update([], [indexTuple(7, 7, 8000), indexTuple(7, 8, 200)]);
    expect(redoRefuses(redoGist, page, buildRecord(full), 0), 'no room').toBe(true);
  });

  test('checks its data to the byte', () => {
    expectMainDataIsChecked(redoGist, gistPage(GIST_LEAF), update([2], [indexTuple(7, 7)]), 0);
    expectBlockDataIsChecked(redoGist, gistPage(GIST_LEAF), update([2], [indexTuple(7, 7)]), 0);
    expectBlockDataIsChecked(redoGist, gistPage(GIST_LEAF), update([2, 3], [indexTuple(7, 7), tuples[1]]), 0);
  });
});

describe('DELETE', () => {
  const parts = (deleted: readonly number[]): RecordParts => ({
    resourceManager: RM_GIST,
    info: XLOG_GIST_DELETE,
    mainData: new ByteWriter()
      .u32(700)
      .u16(deleted.length)
      .u8(0)
      .u8(0x5a)
      .u16s(...deleted)
      .finish(),
    blocks: [{ blockNumber: 5 }],
  });

  test('deletes tuples and the mark that there is garbage', () => {
    const page = gistPage(GIST_LEAF | GIST_HAS_GARBAGE);
    expect(redoGist(page, buildRecord(parts([1, 3, 4])), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([tuples[1]]);
    expect(flagsOf(page)).toBe(GIST_LEAF | GIST_TUPLES_DELETED);
  });

  test('refuses lines that are not there and other lengths', () => {
    const page = gistPage(GIST_LEAF);
    expect(redoRefuses(redoGist, page, buildRecord(parts([5])), 0)).toBe(true);
    expect(redoRefuses(redoGist, page, buildRecord(parts([0, 1, 2])), 0)).toBe(true);
    expect(redoRefuses(redoGist, page, buildRecord({ ...parts([1]), blocks: [{}, {}] }), 1)).toBe(true);
    expectMainDataIsChecked(redoGist, page, parts([1, 2, 3]), 0);
  });
});

describe('PAGE_SPLIT', () => {
  interface Split {
    readonly leaf: boolean;
    readonly follow: boolean;
    readonly blocks: readonly number[];
    readonly pageCount?: number;
  }
  const split = ({ leaf, follow, blocks, pageCount }: Split): RecordParts => ({
    resourceManager: RM_GIST,
    info: XLOG_GIST_PAGE_SPLIT,
    mainData: new ByteWriter()
      .u32(77)
      .u32(0xa5a5_a5a5)
      .u64(0x1_0000_0023n)
      .u8(leaf ? 1 : 0)
      .u8(0xa5)
      .u16(pageCount ?? blocks.length)
      .u8(follow ? 1 : 0)
      .bytes([0xa5, 0xa5, 0xa5])
      .finish(),
    blocks: blocks.map((blockNumber, index) => ({
      id: index + 1,
      blockNumber,
      willInitialize: true,
      data: new ByteWriter()
        .u32(index + 1)
        .bytes(tuples.slice(0, index + 1).flatMap((tuple) => [...tuple]))
        .finish(),
    })),
  });
  const fill = (parts: RecordParts, blockId: number): Page => {
    const page = new Page(new Uint8Array(8192).fill(0x5a));
    expect(redoGist(page, buildRecord(parts), blockId)).toBe(true);
    return page;
  };
  const rightLinkOf = (page: Page) => page.view.getUint32(GIST_RIGHT_LINK, true);

  test('makes the pages anew, each with a link to the next, the last one with the old link', () => {
    const parts = split({ leaf: true, follow: true, blocks: [5, 12, 9] });
    const pages = [1, 2, 3].map((blockId) => fill(parts, blockId));
    expect(pages.map(itemsOf)).toEqual([tuples.slice(0, 1), tuples.slice(0, 2), tuples.slice(0, 3)]);
    expect(pages.map(rightLinkOf)).toEqual([12, 9, 77]);
    expect(pages.map(flagsOf)).toEqual([
      GIST_LEAF | GIST_FOLLOW_RIGHT,
      GIST_LEAF | GIST_FOLLOW_RIGHT,
      GIST_LEAF,
    ]);
    for (const page of pages) expect(nsnOf(page)).toEqual([1, 0x23]);
    const expected = new Page();
    initializeGistPage(expected, GIST_LEAF | GIST_FOLLOW_RIGHT);
    appendItem(expected, tuples[0]);
    expected.view.setUint32(GIST_RIGHT_LINK, 12, true);
    expected.view.setUint32(GIST_NSN_HIGH, 1, true);
    expected.view.setUint32(GIST_NSN_LOW, 0x23, true);
    expect(pages[0].bytes).toEqual(expected.bytes);
  });

  test('marks no page to follow right where the record does not want it', () => {
    const parts = split({ leaf: false, follow: false, blocks: [5, 12] });
    expect([1, 2].map((blockId) => flagsOf(fill(parts, blockId)))).toEqual([0, 0]);
  });

  test('of the root: it becomes an inner page without siblings, and its children need no marks', () => {
    const parts = split({ leaf: true, follow: true, blocks: [0, 4, 5] });
    const pages = [1, 2, 3].map((blockId) => fill(parts, blockId));
    expect(pages.map(flagsOf)).toEqual([0, GIST_LEAF, GIST_LEAF]);
    expect(pages.map(rightLinkOf)).toEqual([0xffff_ffff, 5, 77]);
  });

  test('completes the split of the page in block 0', () => {
    const parts = split({ leaf: false, follow: true, blocks: [5, 12] });
    const record = buildRecord({ ...parts, blocks: [{ id: 0, blockNumber: 2 }, ...(parts.blocks ?? [])] });
    const page = gistPage(GIST_LEAF | GIST_FOLLOW_RIGHT);
    redoGist(page, record, 0);
    expect(flagsOf(page)).toBe(GIST_LEAF);
    expect(nsnOf(page)).toEqual([record.endLsnHigh, record.endLsnLow]);
  });

  test('refuses what does not fit together', () => {
    const page = new Page();
    const good = split({ leaf: true, follow: true, blocks: [5, 12] });
    const refused = (parts: RecordParts, blockId: number) =>
      redoRefuses(redoGist, page, buildRecord(parts), blockId);
    expect(refused(split({ leaf: true, follow: true, blocks: [5, 12], pageCount: 1 }), 2), 'beyond').toBe(
      true,
    );
    expect(
      refused(split({ leaf: true, follow: true, blocks: [5, 12], pageCount: 3 }), 2),
      'next missing',
    ).toBe(true);
    expect(refused(split({ leaf: true, follow: true, blocks: [5, 0] }), 2), 'root is not first').toBe(true);
    const [first, second] = good.blocks ?? [];
    expect(refused({ ...good, blocks: [{ ...first, willInitialize: false }, second] }, 1)).toBe(true);
    expect(
      refused({ ...good, blocks: [second].map((block) => ({ ...block, id: 2 })) }, 2),
      'first missing',
    ).toBe(true);
    for (const count of [0, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      const data = new ByteWriter().u32(count).bytes(tuples[0]).finish();
      expect(refused({ ...good, blocks: [{ ...first, data }, second] }, 1), `count ${count}`).toBe(true);
    }
    expectMainDataIsChecked(redoGist, page, good, 1);
    expectBlockDataIsChecked(redoGist, page, good, 2);
  });
});

describe('PAGE_DELETE', () => {
  const parts = (downlink: number): RecordParts => ({
    resourceManager: RM_GIST,
    info: XLOG_GIST_PAGE_DELETE,
    mainData: new ByteWriter().u64(0x2_0000_0309n).u16(downlink).finish(),
    blocks: [{ blockNumber: 5 }, { blockNumber: 0 }],
  });

  test('the empty leaf keeps the transaction in the place of its lines', () => {
    const page = new Page();
    initializeGistPage(page, GIST_LEAF | GIST_TUPLES_DELETED);
    expect(redoGist(page, buildRecord(parts(2)), 0)).toBe(true);
    expect(flagsOf(page)).toBe(GIST_LEAF | GIST_TUPLES_DELETED | GIST_DELETED);
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(32);
    expect(page.view.getBigUint64(24, true)).toBe(0x2_0000_0309n);
  });

  test('the parent loses its downlink', () => {
    const page = gistPage(0);
    redoGist(page, buildRecord(parts(2)), 1);
    expect(itemsOf(page)).toEqual([tuples[0], tuples[2], tuples[3]]);
    expect(flagsOf(page)).toBe(0);
  });

  test('refuses a leaf with tuples, a downlink that is not there, and other lengths', () => {
    expect(redoRefuses(redoGist, gistPage(GIST_LEAF), buildRecord(parts(2)), 0)).toBe(true);
    for (const downlink of [0, 5, 0xffff]) {
      expect(redoRefuses(redoGist, gistPage(0), buildRecord(parts(downlink)), 1)).toBe(true);
    }
    expectMainDataIsChecked(redoGist, gistPage(0), parts(1), 1);
    expect(redoRefuses(redoGist, gistPage(0), buildRecord({ ...parts(1), blocks: [{}, {}, {}] }), 2)).toBe(
      true,
    );
  });
});

test('records that change no page leave it alone', () => {
  for (const info of [XLOG_GIST_PAGE_REUSE, XLOG_GIST_ASSIGN_LSN]) {
    const page = gistPage(GIST_LEAF);
    expect(redoGist(page, buildRecord({ resourceManager: RM_GIST, info, blocks: [{}] }), 0)).toBe(false);
    expect(page.bytes).toEqual(gistPage(GIST_LEAF).bytes);
  }
});

test('a page restored from an image still gets the NSN if it is the left half of a completed split', () => {
  const left = gistPage(GIST_LEAF | GIST_FOLLOW_RIGHT);
  const record = buildRecord(update([], [indexTuple(9, 9)]));
  expect(redoGistRestored(left, record, 0)).toBe(false);
  expect(left.bytes).toEqual(gistPage(GIST_LEAF | GIST_FOLLOW_RIGHT).bytes);
  expect(redoGistRestored(left, record, 1)).toBe(true);
  expect(nsnOf(left)).toEqual([record.endLsnHigh, record.endLsnLow]);
  expect(flagsOf(left)).toBe(GIST_LEAF);
  const split = buildRecord({ resourceManager: RM_GIST, info: XLOG_GIST_PAGE_SPLIT, blocks: [{}, {}] });
  expect(redoGistRestored(gistPage(0), split, 0)).toBe(true);
  expect(redoGistRestored(gistPage(0), split, 1)).toBe(false);
  const deletion = buildRecord({ resourceManager: RM_GIST, info: XLOG_GIST_PAGE_DELETE, blocks: [{}, {}] });
  expect(redoGistRestored(gistPage(0), deletion, 1)).toBe(false);
});

test('redo does so after it has restored the image', () => {
  const before = gistPage(GIST_LEAF | GIST_FOLLOW_RIGHT);
  const { blocks = [], ...rest } = update([], [indexTuple(9, 9)]);
  const record = buildRecord({ ...rest, blocks: [blocks[0], { ...blocks[1], image: before.bytes }] });
  const page = new Page();
  expect(redo(page, record, 1, { hintBitsAreLogged: false })).toBe(REDO_RESTORED);
  expect(nsnOf(page)).toEqual([record.endLsnHigh, record.endLsnLow]);
  expect(flagsOf(page)).toBe(GIST_LEAF);
  expect(itemsOf(page)).toEqual(tuples);
});

test('refuses unknown records, pages of another kind, and pages that are announced as new', () => {
  for (const info of [0x40, 0x50, 0x80, 0xf0]) {
    const record = buildRecord({ resourceManager: RM_GIST, info, blocks: [{}] });
    expect(() => redoGist(gistPage(0), record, 0)).toThrow(UnknownRecordError);
  }
  const foreign = gistPage(GIST_LEAF);
  foreign.view.setUint16(PAGE_SPECIAL, 8184, true);
  expect(redoRefuses(redoGist, foreign, buildRecord(update([], [tuples[0]])), 0)).toBe(true);
  expect(redoRefuses(redoGist, new Page(), buildRecord(update([], [tuples[0]])), 1)).toBe(true);
  const parts = update([], [tuples[0]]);
  const initialised = (parts.blocks ?? []).map((block) => ({ ...block, willInitialize: true }));
  expect(redoRefuses(redoGist, gistPage(0), buildRecord({ ...parts, blocks: initialised }), 0)).toBe(true);
});

test('any bytes give a page or a typed error', () => {
  const main = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
  const info = (value: number, mainData: Uint8Array): RecordParts => ({
    resourceManager: RM_GIST,
    info: value,
    mainData,
    blocks: [
      {},
      {
        blockNumber: 4,
        willInitialize: value === XLOG_GIST_PAGE_SPLIT,
        data: Uint8Array.from([1, 0, 0, 0, ...tuples[1]]),
      },
    ],
  });
  const page = gistPage(GIST_LEAF);
  expectDamageIsRefused(redoGist, [
    { page, parts: update([2], [indexTuple(7, 7, 40)]) },
    { page, parts: update([1, 2, 3], [indexTuple(7, 7), tuples[2]]) },
    { page, parts: info(XLOG_GIST_DELETE, main('0000000003000000010002000400')) },
    { page, parts: info(XLOG_GIST_PAGE_SPLIT, main('010000000000000005000000000000000100010001000000')) },
    { page, parts: info(XLOG_GIST_PAGE_DELETE, main('05000000000000000200')) },
    { page, parts: info(XLOG_GIST_PAGE_REUSE, main('')) },
  ]);
});
