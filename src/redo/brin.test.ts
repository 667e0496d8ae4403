import { describe, expect, test } from 'vitest';
import {
  expectDamageIsRefused,
  expectMainDataIsChecked,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { appendItem, itemsOf, lineFlagsOf } from '../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  BRIN_META_LAST_REVMAP_PAGE,
  BRIN_META_LOWER,
  BRIN_PAGE_TYPE,
  BRIN_PAGETYPE_META,
  BRIN_PAGETYPE_REGULAR,
  BRIN_PAGETYPE_REVMAP,
  initializeBrinPage,
  REVMAP_PAGE_MAXITEMS,
} from '../postgres/page/brin-page.ts';
import { LINE_UNUSED, lineCount, PAGE_LOWER, PAGE_UPPER, Page } from '../postgres/page/page.ts';
import { RM_BRIN } from '../postgres/rmgr/resource-manager.ts';
import { redoBrin } from './brin.ts';
import { RedoFailure } from './redo-failure.ts';

const garbage = (): Page => new Page(new Uint8Array(8192).fill(0xee));
const record = (info: number, mainData: ByteWriter, blocks: readonly RecordBlock[]): RecordParts => ({
  resourceManager: RM_BRIN,
  info,
  mainData: mainData.finish(),
  blocks,
});
const replay = (page: Page, parts: RecordParts, blockId: number): boolean =>
  redoBrin(page, buildRecord(parts), blockId);

/** A tuple of `size` bytes for the range that begins at `heapBlock`. */
function brinTuple(heapBlock: number, size = 24, fill = 0): Uint8Array {
  const writer = new ByteWriter().u32(heapBlock).u8(8);
  while (writer.length < size) writer.u8(fill);
  return writer.finish();
}

function brinPage(type: number, ...items: readonly Uint8Array[]): Page {
  const page = new Page();
  initializeBrinPage(page, type);
  for (const item of items) appendItem(page, item);
  return page;
}

const a = brinTuple(0, 24, 1);
const b = brinTuple(128, 32, 2);
const c = brinTuple(256, 24, 3);
const d = brinTuple(384, 40, 4);

const create = record(0x00, new ByteWriter().u32(128).u16(1), [{ willInitialize: true }]);
const insertion = (offsetNumber: number, heapBlock: number, pagesPerRange = 128): ByteWriter =>
  new ByteWriter().u32s(heapBlock, pagesPerRange).u16(offsetNumber);
const insert = (offsetNumber: number, info = 0x10, tuple = d): RecordParts =>
  record(info, insertion(offsetNumber, 384), [
    { blockNumber: 0x23456, data: tuple, willInitialize: (info & 0x80) !== 0 },
    { blockNumber: 1 },
  ]);
const update = (offsetNumber: number, oldOffsetNumber: number, info = 0x20): RecordParts =>
  record(info, new ByteWriter().u16s(oldOffsetNumber, 0xabab).bytes(insertion(offsetNumber, 384).finish()), [
    { blockNumber: 3, data: d, willInitialize: (info & 0x80) !== 0 },
    { blockNumber: 1 },
    { blockNumber: 2 },
  ]);
const samepage = (offsetNumber: number, tuple: Uint8Array): RecordParts =>
  record(0x30, new ByteWriter().u16(offsetNumber), [{ data: tuple }]);
const extend = (target: number): RecordParts =>
  record(0x40, new ByteWriter().u32(target), [{}, { blockNumber: target, willInitialize: true }]);
const desummarize = (offsetNumber: number, heapBlock = 384): RecordParts =>
  record(0x50, new ByteWriter().u32s(128, heapBlock).u16(offsetNumber), [
    { blockNumber: 1 },
    { blockNumber: 2 },
  ]);

describe('CREATE_INDEX and REVMAP_EXTEND', () => {
  test('make the meta page and the pages of the range map', () => {
    const meta = garbage();
    expect(replay(meta, create, 0)).toBe(true);
    const expected = brinPage(BRIN_PAGETYPE_META);
    expected.bytes.set(new ByteWriter().u32s(0xa810_9cfa, 1, 128, 0).finish(), 24);
    expected.view.setUint16(PAGE_LOWER, 40, true);
    expect(meta).toEqual(expected);
    expect(meta.bytes.slice(8184)).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0x91, 0xf0));

    meta.view.setUint16(PAGE_LOWER, 24, true);
    expect(replay(meta, extend(1), 0)).toBe(true);
    expect(meta.view.getUint32(BRIN_META_LAST_REVMAP_PAGE, true)).toBe(1);
    expect(meta.view.getUint16(PAGE_LOWER, true)).toBe(BRIN_META_LOWER);
    const revmap = garbage();
    expect(replay(revmap, extend(1), 1)).toBe(true);
    expect(revmap).toEqual(brinPage(BRIN_PAGETYPE_REVMAP));
  });

  test('check their data', () => {
    const meta = garbage();
    replay(meta, create, 0);
    expectMainDataIsChecked(redoBrin, garbage(), create, 0);
    expectMainDataIsChecked(redoBrin, meta, extend(1), 0);
    expectMainDataIsChecked(redoBrin, garbage(), extend(1), 1);
    expect(() => replay(meta, extend(2), 0)).toThrow(/block 2 after block 0/);
    expect(() => replay(meta, extend(0), 0)).toThrow(RedoFailure);
    const odd = { ...extend(1), blocks: [{}, { blockNumber: 4, willInitialize: true }] };
    for (const blockId of [0, 1]) expect(() => replay(meta, odd, blockId)).toThrow(/at odds/);
    expect(() => replay(garbage(), { ...create, blocks: [{}] }, 0)).toThrow(RedoFailure);
    expect(() => replay(garbage(), { ...extend(1), blocks: [{}, { blockNumber: 1 }] }, 1)).toThrow(
      RedoFailure,
    );
  });
});

describe('INSERT and UPDATE', () => {
  test('put the tuple at the end or on an unused line', () => {
    const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
    expect(replay(page, insert(4), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, b, c, d]);
    expect(replay(page, desummarize(2), 1)).toBe(true);
    expect(lineFlagsOf(page, 2)).toBe(LINE_UNUSED);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(8184 - 24 - 24 - 40);
    expect(replay(page, insert(2), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, d, c, d]);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(8184 - 24 - 24 - 40 - 40);
  });

  test.each([
    ['INSERT', insert(1, 0x90)],
    ['UPDATE', update(1, 1, 0xa0)],
  ])('%s with INIT makes the page anew', (_, parts) => {
    const page = garbage();
    expect(replay(page, parts, 0)).toBe(true);
    expect(page).toEqual(brinPage(BRIN_PAGETYPE_REGULAR, d));
    const old = { ...parts, blocks: [{ ...parts.blocks?.[0], willInitialize: false }] };
    expect(() => replay(brinPage(BRIN_PAGETYPE_REGULAR), old, 0)).toThrow(RedoFailure);
  });

  test('note the tuple’s place in the range map', () => {
    const page = brinPage(BRIN_PAGETYPE_REVMAP);
    expect(replay(page, insert(7), 1)).toBe(true);
    expect([...page.bytes.slice(24, 24 + 30)]).toEqual([
      ...new Array(18).fill(0),
      2,
      0,
      0x56,
      0x34,
      7,
      0,
      ...new Array(6).fill(0),
    ]);
    expect(replay(page, desummarize(7), 0)).toBe(true);
    expect([...page.bytes.slice(24 + 18, 24 + 24)]).toEqual([0xff, 0xff, 0xff, 0xff, 0, 0]);
  });

  test('the range map’s items wrap around from page to page', () => {
    expect(REVMAP_PAGE_MAXITEMS).toBe(1360);
    const page = brinPage(BRIN_PAGETYPE_REVMAP);
    const last = record(0x10, insertion(9, 128 * (1360 * 2 + 1359) + 127), [{ data: d }, {}]);
    expect(replay(page, last, 1)).toBe(true);
    expect([...page.bytes.slice(8178, 8184)]).toEqual([0, 0, 0, 0, 9, 0]);
    expect(page.view.getUint16(BRIN_PAGE_TYPE, true)).toBe(BRIN_PAGETYPE_REVMAP);
    const highest = record(0x10, insertion(9, 0xffff_ffff, 1), [{ data: d }, {}]);
    expect(replay(page, highest, 1)).toBe(true);
    const index = 0xffff_ffff % 1360;
    expect(page.view.getUint16(24 + index * 6 + 4, true)).toBe(9);
    const nothing = record(0x10, insertion(9, 384, 0), [{ data: d }, {}]);
    expect(() => replay(page, nothing, 1)).toThrow(/no pages/);
  });

  test('UPDATE takes the tuple from its old page', () => {
    const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
    expect(replay(page, update(1, 3), 2)).toBe(true);
    expect(itemsOf(page)).toEqual([a, b]);
    expect(replay(page, update(1, 1), 2)).toBe(true);
    expect(lineCount(page)).toBe(2);
    expect(itemsOf(page)[1]).toEqual(b);
    const target = brinPage(BRIN_PAGETYPE_REGULAR);
    expect(replay(target, update(1, 3), 0)).toBe(true);
    expect(itemsOf(target)).toEqual([d]);
    const revmap = brinPage(BRIN_PAGETYPE_REVMAP);
    expect(replay(revmap, update(5, 3), 1)).toBe(true);
    expect([...revmap.bytes.slice(24 + 18, 24 + 24)]).toEqual([0, 0, 3, 0, 5, 0]);
  });

  test('refuse lines that are in use or not there', () => {
    const page = (): Page => brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
    for (const offsetNumber of [0, 1, 5, 2049, 0xffff]) {
      expect(() => replay(page(), insert(offsetNumber), 0)).toThrow(RedoFailure);
    }
    for (const offsetNumber of [0, 4, 0xffff]) {
      expect(() => replay(page(), update(1, offsetNumber), 2)).toThrow(RedoFailure);
      expect(() => replay(page(), desummarize(offsetNumber), 1)).toThrow(RedoFailure);
    }
    expect(() => replay(brinPage(BRIN_PAGETYPE_REVMAP), insert(0), 1)).toThrow(/no line/);
    expect(() => replay(page(), insert(4, 0x10, a), 0)).toThrow(/another range/);
  });

  test('check their data', () => {
    const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
    const revmap = brinPage(BRIN_PAGETYPE_REVMAP);
    expectMainDataIsChecked(redoBrin, page, insert(4), 0);
    expectMainDataIsChecked(redoBrin, revmap, insert(4), 1);
    expectMainDataIsChecked(redoBrin, page, update(4, 1), 0);
    expectMainDataIsChecked(redoBrin, revmap, update(4, 1), 1);
    expectMainDataIsChecked(redoBrin, page, update(4, 1), 2);
    expectMainDataIsChecked(redoBrin, revmap, desummarize(1), 0);
    expectMainDataIsChecked(redoBrin, page, desummarize(1), 1);
    // Nothing in the record but the block data's own length says how long the tuple is.
    for (let size = 0; size < 5; size++) {
      expect(() => replay(page, insert(4, 0x10, d.slice(0, size)), 0)).toThrow(/cut off/);
      expect(() => replay(page, samepage(1, d.slice(0, size)), 0)).toThrow(/cut off/);
    }
  });
});

describe('SAMEPAGE_UPDATE', () => {
  test('replaces a tuple by a longer or a shorter one', () => {
    const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
    expect(replay(page, samepage(2, d), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, d, c]);
    expect(replay(page, samepage(2, a), 0)).toBe(true);
    expect(itemsOf(page)).toEqual([a, a, c]);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(8184 - 3 * 24);
    expectMainDataIsChecked(redoBrin, page, samepage(1, d), 0);
    for (const offsetNumber of [0, 4, 0xffff]) {
      expect(() => replay(page, samepage(offsetNumber, d), 0)).toThrow(RedoFailure);
    }
    expect(() => replay(page, samepage(1, brinTuple(0, 8184)), 0)).toThrow(/no room/);
  });
});

test('block references that a kind does not have, and unknown kinds', () => {
  const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
  for (const parts of [create, insert(1), update(1, 1), samepage(1, a), extend(1), desummarize(1)]) {
    expect(() => replay(page, parts, 3)).toThrow(/no such block/);
  }
  for (const info of [0x60, 0x70, 0x80, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0]) {
    expect(() => replay(page, { ...create, info }, 0)).toThrow(UnknownRecordError);
  }
});

test('pages of another type, or announced as new, are refused', () => {
  const kinds: readonly [RecordParts, number, number][] = [
    [insert(1), 0, BRIN_PAGETYPE_REGULAR],
    [insert(1), 1, BRIN_PAGETYPE_REVMAP],
    [update(1, 1), 2, BRIN_PAGETYPE_REGULAR],
    [samepage(1, a), 0, BRIN_PAGETYPE_REGULAR],
    [extend(1), 0, BRIN_PAGETYPE_META],
    [desummarize(1), 0, BRIN_PAGETYPE_REVMAP],
    [desummarize(1), 1, BRIN_PAGETYPE_REGULAR],
  ];
  for (const [parts, blockId, type] of kinds) {
    for (const other of [BRIN_PAGETYPE_META, BRIN_PAGETYPE_REVMAP, BRIN_PAGETYPE_REGULAR, 0]) {
      if (other !== type) expect(() => replay(brinPage(other, a), parts, blockId)).toThrow(/page's type/);
    }
    const blocks = parts.blocks?.map((block, index) =>
      index === blockId ? { ...block, willInitialize: true } : block,
    );
    expect(
      redoRefuses(redoBrin, brinPage(type, a), buildRecord({ ...parts, blocks: blocks ?? [] }), blockId),
    ).toBe(true);
  }
});

test('any bytes', () => {
  const page = brinPage(BRIN_PAGETYPE_REGULAR, a, b, c);
  replay(page, desummarize(2), 1);
  const meta = garbage();
  replay(meta, create, 0);
  const revmap = brinPage(BRIN_PAGETYPE_REVMAP);
  expectDamageIsRefused(redoBrin, [
    { page, parts: insert(2) },
    { page, parts: update(4, 1) },
    { page, parts: samepage(1, d) },
    { page, parts: desummarize(3) },
    { page: revmap, parts: insert(4) },
    { page: revmap, parts: desummarize(3) },
    { page: meta, parts: extend(1) },
    { page: meta, parts: create },
  ]);
});
