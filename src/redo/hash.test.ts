import { describe, expect, test } from 'vitest';
import { makeHashPage, makeTuple, tid } from '../../test/support/btree-and-hash-pages.ts';
import {
  type BlockSample,
  expectCutsAreRefused,
  expectDamageIsRefused,
  expectRandomRecordsAreRefused,
  redoRefuses,
} from '../../test/support/hostile-records.ts';
import { itemsOf } from '../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  joinBytes,
  type RecordBlock,
  type RecordParts,
} from '../../test/support/record-builder.ts';
import { UnknownRecordError } from '../base/errors.ts';
import {
  HASH_BITMAP,
  HASH_BUCKET,
  HASH_FLAG,
  HASH_META_BITMAP_BLOCKS,
  HASH_META_BITMAPS,
  HASH_META_FIRST_FREE,
  HASH_META_HIGH_MASK,
  HASH_META_LOW_MASK,
  HASH_META_MAX_BUCKET,
  HASH_META_OVERFLOW_POINT,
  HASH_META_SPARES,
  HASH_META_TUPLES,
  HASH_NEXT_BLOCK,
  HASH_OPAQUE,
  HASH_PAGE_ID,
  HASH_PAGE_ID_OFFSET,
  HASH_PREVIOUS_BLOCK,
} from '../postgres/page/hash-page.ts';
import { lineCount, PAGE_LOWER, PAGE_UPPER, Page } from '../postgres/page/page.ts';
import { RM_HASH } from '../postgres/rmgr/resource-manager.ts';
import { redoHash } from './hash.ts';
import { spareIndex, totalBuckets } from './hash-meta.ts';

const NONE = 0xffff_ffff;
const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const longs = (...values: number[]): Uint8Array => new ByteWriter().u32s(...values).finish();
const double = (value: number): Uint8Array => new Uint8Array(new Float64Array([value]).buffer);
const parts = (info: number, mainData: Uint8Array, blocks: readonly RecordBlock[]): RecordParts => ({
  resourceManager: RM_HASH,
  info,
  mainData,
  blocks,
});
const replay = (page: Page, record: RecordParts, blockId: number): boolean =>
  redoHash(page, buildRecord(record), blockId);
const isRefused = (page: Page, record: RecordParts, blockId: number): boolean =>
  redoRefuses(redoHash, page, buildRecord(record), blockId);
const garbage = (): Page => new Page(new Uint8Array(8192).fill(0xee));
const opaqueOf = ({ view }: Page): object => ({
  previous: view.getUint32(HASH_PREVIOUS_BLOCK, true),
  next: view.getUint32(HASH_NEXT_BLOCK, true),
  bucket: view.getUint32(HASH_BUCKET, true),
  flag: view.getUint16(HASH_FLAG, true),
});
const u32 = (page: Page, offset: number): number => page.view.getUint32(offset, true);

const tuples = [1, 2, 3, 4].map((key) => makeTuple(key, tid(0, key)));
const [t1, t2, t3, t4] = tuples as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];

const initMeta = (tupleCount: number, fillFactor: number): RecordParts =>
  parts(0x00, joinBytes(double(tupleCount), longs(425), words(fillFactor)), [{ willInitialize: true }]);
const initBitmap = parts(0x10, words(4096), [{ willInitialize: true, blockNumber: 9 }, {}]);
const insert = parts(0x20, words(2), [{ data: t2 }, {}]);
const addOverflow = (found: number, newBitmap: boolean): RecordParts =>
  parts(0x30, new ByteWriter().u16(4096).u8(found).finish(), [
    { id: 0, willInitialize: true, blockNumber: 20, data: longs(3) },
    { id: 1, blockNumber: 19 },
    { id: 2, data: longs(37) },
    ...(newBitmap ? [{ id: 3, willInitialize: true, blockNumber: 21 }] : []),
    { id: 4, data: longs(38) },
  ]);
const allocate = (flags: number, ...data: number[]): RecordParts =>
  parts(0x40, new ByteWriter().u32(5).u16s(0x22, 0x12).u8(flags).finish(), [
    {},
    { willInitialize: true },
    { data: longs(...data) },
  ]);
const complete = parts(0x60, words(0x42, 0x02), [{}, {}]);
const move = (count: number, data: Uint8Array, deleted: Uint8Array): RecordParts =>
  parts(0x70, new ByteWriter().u16(count).u8(0).finish(), [{}, { data }, { data: deleted }]);
const squeeze = (count: number, isPrevious: number, data: Uint8Array): RecordParts =>
  parts(0x80, new ByteWriter().u32s(18, 22).u16(count).u8(0).u8(isPrevious).finish(), [
    {},
    { data },
    {},
    {},
    {},
    { data: longs(37) },
    { data: longs(37) },
  ]);
const remove = (clear: number, data: Uint8Array): RecordParts =>
  parts(0x90, new ByteWriter().u8(clear).u8(1).finish(), [{}, { data }]);
const vacuum = (...lines: number[]): RecordParts =>
  parts(
    0xc0,
    new ByteWriter()
      .u32(700)
      .u16(lines.length)
      .u8(1)
      .u8(0xcc)
      .u16s(...lines)
      .finish(),
    [{}, {}],
  );

function metaPage(tupleCount = 0): Page {
  const page = garbage();
  replay(page, initMeta(tupleCount, 307), 0);
  return page;
}

function bitmapPage(): Page {
  const page = garbage();
  replay(page, initBitmap, 0);
  return page;
}

describe('the meta page', () => {
  test('of a small index', () => {
    const page = garbage();
    expect(replay(page, initMeta(0, 307), 0)).toBe(true);
    const head = new ByteWriter()
      .u32s(0x6440640, 4, 0, 0)
      .u16s(307, 8152, 4096, 15)
      .u32s(1, 3, 1, 1, 0, 0, 425, 0, 1, 0)
      .finish();
    expect(page.bytes.slice(24, 24 + head.length)).toEqual(head);
    expect(page.bytes.slice(24 + head.length, HASH_OPAQUE).every((byte) => byte === 0)).toBe(true);
    expect(opaqueOf(page)).toEqual({ previous: NONE, next: NONE, bucket: NONE, flag: 8 });
    expect(page.view.getUint16(HASH_PAGE_ID_OFFSET, true)).toBe(HASH_PAGE_ID);
    expect(page.view.getUint16(PAGE_LOWER, true)).toBe(24 + 4544);
    expect(page.view.getUint16(PAGE_UPPER, true)).toBe(HASH_OPAQUE);
  });

  test.each([
    // tuples, buckets, splitpoint, high mask
    [614, 2, 1, 3],
    [307 * 100, 128, 7, 255],
    [307 * 600, 640, 10, 1023],
    [307 * 1025, 1280, 14, 2047],
    [1e300, 0x4000_0000, 93, 0x7fff_ffff],
  ])('of an index for %d tuples has %i buckets', (tupleCount, buckets, splitpoint, highMask) => {
    const page = metaPage(tupleCount);
    expect(u32(page, HASH_META_MAX_BUCKET)).toBe(buckets - 1);
    expect(u32(page, HASH_META_OVERFLOW_POINT)).toBe(splitpoint);
    expect(u32(page, HASH_META_SPARES + splitpoint * 4)).toBe(1);
    expect(u32(page, HASH_META_HIGH_MASK)).toBe(highMask);
    expect(u32(page, HASH_META_LOW_MASK)).toBe(Math.floor(highMask / 2));
  });

  test('a fill factor of zero and a count that is no number are refused', () => {
    expect(isRefused(garbage(), initMeta(10, 0), 0)).toBe(true);
    expect(isRefused(garbage(), initMeta(Number.NaN, 10), 0)).toBe(true);
  });

  test('each splitpoint has room for the buckets that lead to it', () => {
    for (let splitpoint = 0; splitpoint <= 97; splitpoint++) {
      expect(spareIndex(totalBuckets(splitpoint))).toBe(splitpoint);
      if (splitpoint < 97) expect(spareIndex(totalBuckets(splitpoint) + 1)).toBe(splitpoint + 1);
    }
  });

  test('counts tuples', () => {
    const page = metaPage();
    for (let count = 0; count < 4; count++) expect(replay(page, insert, 1)).toBe(true);
    expect(replay(page, vacuum(1, 2, 3), 1)).toBe(true);
    expect(page.view.getFloat64(HASH_META_TUPLES, true)).toBe(1);
    expect(replay(page, parts(0xb0, double(123.5), [{}]), 0)).toBe(true);
    expect(page.view.getFloat64(HASH_META_TUPLES, true)).toBe(123.5);
  });

  test('learns of bitmap pages', () => {
    const page = metaPage();
    expect(replay(page, initBitmap, 1)).toBe(true);
    expect(u32(page, HASH_META_BITMAPS)).toBe(1);
    expect(u32(page, HASH_META_BITMAP_BLOCKS)).toBe(3);
    page.view.setUint32(HASH_META_BITMAPS, 1024, true);
    expect(() => replay(page, initBitmap, 1)).toThrow(/1024 bitmap pages/);
  });

  test('learns of overflow pages', () => {
    const page = metaPage();
    expect(replay(page, addOverflow(1, false), 4)).toBe(true);
    expect(u32(page, HASH_META_FIRST_FREE)).toBe(38);
    expect(u32(page, HASH_META_SPARES + 4)).toBe(1);
    replay(page, addOverflow(0, false), 4);
    expect(u32(page, HASH_META_SPARES + 4)).toBe(2);
    replay(page, addOverflow(0, true), 4);
    expect(u32(page, HASH_META_SPARES + 4)).toBe(4);
    expect([u32(page, HASH_META_BITMAPS), u32(page, HASH_META_BITMAP_BLOCKS)]).toEqual([1, 21]);
    expect(replay(page, squeeze(0, 0, words()), 6)).toBe(true);
    expect(u32(page, HASH_META_FIRST_FREE)).toBe(37);
    page.view.setUint32(HASH_META_OVERFLOW_POINT, 98, true);
    expect(() => replay(page, addOverflow(0, false), 4)).toThrow(/splitpoint 98/);
  });

  test('learns of buckets, masks and splitpoints', () => {
    const page = metaPage();
    expect(replay(page, allocate(0), 2)).toBe(true);
    expect(u32(page, HASH_META_MAX_BUCKET)).toBe(5);
    replay(page, allocate(1, 7, 15), 2);
    expect([u32(page, HASH_META_LOW_MASK), u32(page, HASH_META_HIGH_MASK)]).toEqual([7, 15]);
    replay(page, allocate(2, 4, 66), 2);
    expect([u32(page, HASH_META_OVERFLOW_POINT), u32(page, HASH_META_SPARES + 16)]).toEqual([4, 66]);
    replay(page, allocate(3, 15, 31, 97, 67), 2);
    expect([u32(page, HASH_META_LOW_MASK), u32(page, HASH_META_HIGH_MASK)]).toEqual([15, 31]);
    expect([u32(page, HASH_META_OVERFLOW_POINT), u32(page, HASH_META_SPARES + 97 * 4)]).toEqual([97, 67]);
    expect(() => replay(page, allocate(2, 98, 1), 2)).toThrow(/no splitpoint 98/);
    expect(() => replay(page, allocate(4), 2)).toThrow(/unknown flags/);
  });

  test('a page that is none is refused', () => {
    expect(() => replay(makeHashPage(), insert, 1)).toThrow(/meta page/);
    expect(() => replay(garbage(), insert, 1)).toThrow(/special space/);
  });
});

describe('bitmap pages', () => {
  test('are full of ones', () => {
    for (const [record, blockId] of [
      [initBitmap, 0],
      [addOverflow(0, true), 3],
    ] as const) {
      const page = garbage();
      expect(replay(page, record, blockId)).toBe(true);
      expect(page.bytes.slice(24, 24 + 4096).every((byte) => byte === 0xff)).toBe(true);
      expect(page.bytes.slice(24 + 4096, HASH_OPAQUE).every((byte) => byte === 0)).toBe(true);
      expect(page.view.getUint16(PAGE_LOWER, true)).toBe(24 + 4096);
      expect(opaqueOf(page)).toEqual({ previous: NONE, next: NONE, bucket: NONE, flag: 4 });
    }
    expect(() => replay(garbage(), { ...initBitmap, mainData: words(8153) }, 0)).toThrow(/does not fit/);
  });

  test('get and lose bits', () => {
    const page = bitmapPage();
    expect(replay(page, squeeze(0, 0, words()), 5)).toBe(true);
    expect([u32(page, HASH_BITMAP), u32(page, HASH_BITMAP + 4)]).toEqual([NONE, NONE - (1 << 5)]);
    expect(replay(page, addOverflow(1, false), 2)).toBe(true);
    expect(u32(page, HASH_BITMAP + 4)).toBe(NONE);
    const beyond = { ...addOverflow(1, false), blocks: [{ id: 2, data: longs(8152 * 8) }] };
    expect(() => replay(page, beyond, 2)).toThrow(/no bit/);
  });
});

describe('buckets', () => {
  test('get tuples', () => {
    const page = makeHashPage({ items: [t1, t3] });
    expect(replay(page, insert, 0)).toBe(true);
    expect(itemsOf(page)).toEqual([t1, t2, t3]);
    expect(isRefused(page, { ...insert, mainData: words(5) }, 0)).toBe(true);
    expect(isRefused(page, { ...insert, mainData: words(0) }, 0)).toBe(true);
  });

  test('get overflow pages', () => {
    const page = garbage();
    expect(replay(page, addOverflow(1, false), 0)).toBe(true);
    expect(opaqueOf(page)).toEqual({ previous: 19, next: NONE, bucket: 3, flag: 1 });
    expect(lineCount(page)).toBe(0);
    const before = makeHashPage({ items: [t1] });
    expect(replay(before, addOverflow(1, false), 1)).toBe(true);
    expect(opaqueOf(before)).toMatchObject({ next: 20 });
  });

  test('are split', () => {
    const old = makeHashPage({ items: [t1] });
    expect(replay(old, allocate(0), 0)).toBe(true);
    expect(opaqueOf(old)).toMatchObject({ previous: 5, flag: 0x22 });
    const added = garbage();
    expect(replay(added, allocate(0), 1)).toBe(true);
    expect(opaqueOf(added)).toEqual({ previous: 5, next: NONE, bucket: 5, flag: 0x12 });
    expect(replay(old, complete, 0)).toBe(true);
    expect(opaqueOf(old)).toMatchObject({ flag: 0x42 });
    expect(replay(added, complete, 1)).toBe(true);
    expect(opaqueOf(added)).toMatchObject({ flag: 0x02 });
    expect(replay(old, parts(0xa0, words(), [{}]), 0)).toBe(true);
    expect(opaqueOf(old)).toMatchObject({ flag: 0x02 });
    expect(() => replay(added, parts(0x50, words(), [{}]), 0)).toThrow(/no full-page image/);
  });

  test('pass tuples on', () => {
    const record = move(2, joinBytes(words(2, 1), t2, t4), words(1, 2));
    const to = makeHashPage({ items: [t1] });
    expect(replay(to, record, 1)).toBe(true);
    expect(itemsOf(to)).toEqual([t4, t1, t2]);
    const from = makeHashPage({ items: [t2, t4, t3] });
    expect(replay(from, record, 2)).toBe(true);
    expect(itemsOf(from)).toEqual([t3]);
    const first = makeHashPage({ items: [t1] });
    const before = first.bytes.slice();
    expect(replay(first, record, 0)).toBe(false);
    expect(first.bytes).toEqual(before);
  });

  test('lose an overflow page', () => {
    const data = joinBytes(words(2), t2);
    const to = makeHashPage({ items: [t1] });
    expect(replay(to, squeeze(1, 0, data), 1)).toBe(true);
    expect(itemsOf(to)).toEqual([t1, t2]);
    expect(opaqueOf(to)).toMatchObject({ next: NONE });
    const previous = makeHashPage({ items: [t1] });
    expect(replay(previous, squeeze(1, 1, data), 1)).toBe(true);
    expect(opaqueOf(previous)).toMatchObject({ next: 22 });
    expect(replay(previous, squeeze(0, 1, words()), 1), 'only the link changes').toBe(true);
    expect(replay(previous, squeeze(0, 0, words()), 1), 'nothing changes').toBe(false);
    const freed = makeHashPage({ flag: 1, items: [t1, t2] });
    expect(replay(freed, squeeze(1, 0, data), 2)).toBe(true);
    expect(opaqueOf(freed)).toEqual({ previous: NONE, next: NONE, bucket: NONE, flag: 0 });
    expect(lineCount(freed)).toBe(0);
    const before = makeHashPage({ items: [t1] });
    expect(replay(before, squeeze(1, 0, data), 3)).toBe(true);
    expect(opaqueOf(before)).toMatchObject({ next: 22 });
    expect(() => replay(before, squeeze(1, 1, data), 3)).toThrow(/that of block 1/);
    const after = makeHashPage({ flag: 1, items: [t1] });
    expect(replay(after, squeeze(1, 0, data), 4)).toBe(true);
    expect(opaqueOf(after)).toMatchObject({ previous: 18 });
    expect(replay(before, squeeze(1, 0, data), 0)).toBe(false);
  });

  test('lose tuples', () => {
    const page = makeHashPage({ flag: 0x82, items: tuples });
    expect(replay(page, remove(0, words(1, 3, 4)), 1)).toBe(true);
    expect(itemsOf(page)).toEqual([t2]);
    expect(opaqueOf(page)).toMatchObject({ flag: 0x82 });
    expect(replay(page, remove(1, words()), 1)).toBe(true);
    expect(opaqueOf(page)).toMatchObject({ flag: 0x02 });
    expect(replay(page, remove(0, words(1)), 0)).toBe(false);
    const dead = makeHashPage({ flag: 0x82, items: tuples });
    expect(replay(dead, vacuum(2, 4), 0)).toBe(true);
    expect(itemsOf(dead)).toEqual([t1, t3]);
    expect(opaqueOf(dead)).toMatchObject({ flag: 0x02 });
  });

  test('tuples and lines that do not fit are refused', () => {
    const page = makeHashPage({ items: [t1] });
    const refused = (record: RecordParts, blockId: number): boolean => isRefused(page, record, blockId);
    expect(refused(move(2, joinBytes(words(2, 3), t2), words(1)), 1), 'one tuple too few').toBe(true);
    expect(refused(move(1, joinBytes(words(2), t2, t3), words(1)), 1), 'one tuple too many').toBe(true);
    expect(refused(move(1, joinBytes(words(9), t2), words(1)), 1), 'line 9').toBe(true);
    expect(refused(move(0xffff, joinBytes(words(9), t2), words(1)), 1), 'a huge count').toBe(true);
    expect(refused(move(1, joinBytes(words(2), t2), words(2)), 2), 'line 2').toBe(true);
    expect(refused(move(1, joinBytes(words(2), t2), new Uint8Array(3)), 2), 'half a line').toBe(true);
    expect(refused(vacuum(1, 2, 3), 0), 'lines 2 and 3').toBe(true);
  });
});

test('an unknown kind, and blocks that a kind does not have, are refused', () => {
  expect(() => replay(makeHashPage(), parts(0xd0, words(), [{}]), 0)).toThrow(UnknownRecordError);
  const blocks = Array.from({ length: 8 }, () => ({}));
  for (let info = 0; info <= 0xc0; info += 0x10) {
    expect(() => replay(makeHashPage(), parts(info, words(), blocks), 7)).toThrow(/no such block reference/);
  }
});

const samples: BlockSample[] = [
  { page: garbage(), parts: initMeta(1000, 30), blockId: 0 },
  { page: garbage(), parts: initBitmap, blockId: 0 },
  { page: makeHashPage({ items: [t1, t3] }), parts: insert, blockId: 0 },
  { page: garbage(), parts: addOverflow(0, true), blockId: 3 },
  { page: metaPage(), parts: addOverflow(0, true), blockId: 4 },
  { page: metaPage(), parts: allocate(3, 15, 31, 3, 67), blockId: 2 },
  { page: makeHashPage(), parts: allocate(0), blockId: 0 },
  { page: makeHashPage(), parts: complete, blockId: 1 },
  {
    page: makeHashPage({ items: [t1] }),
    parts: move(2, joinBytes(words(2, 1), t2, t4), words(1, 2)),
    blockId: 1,
  },
  { page: makeHashPage({ items: [t1] }), parts: squeeze(2, 1, joinBytes(words(2, 1), t2, t4)), blockId: 1 },
  { page: makeHashPage(), parts: squeeze(0, 0, words()), blockId: 3 },
  { page: bitmapPage(), parts: addOverflow(1, false), blockId: 2, unnoticed: { main: [0, 1, 2] } },
  { page: makeHashPage({ items: tuples }), parts: vacuum(1, 3, 4), blockId: 0 },
  {
    page: makeHashPage({ items: tuples }),
    parts: remove(1, words(1, 2, 4)),
    blockId: 1,
    // Any number of lines may be deleted.
    unnoticed: { block: [0, 2, 4] },
  },
];

test.each(samples)('a record that is cut off is refused: sample %#', (sample) => {
  expectCutsAreRefused(redoHash, sample);
});

test('damaged records and pages give typed errors only', () => {
  expectDamageIsRefused(redoHash, samples);
  expectRandomRecordsAreRefused(redoHash, RM_HASH);
});
