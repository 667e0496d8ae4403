import { expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordBlock } from '../../../test/support/record-builder.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { hashResourceManager } from './hash.ts';
import type { HashBody } from './hash-body.ts';
import { RM_HASH } from './resource-manager.ts';

const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const longs = (...values: number[]): Uint8Array => new ByteWriter().u32s(...values).finish();
const decode = (info: number, mainData: Uint8Array, blocks: readonly RecordBlock[] = []): HashBody =>
  hashResourceManager.decodeBody(buildRecord({ resourceManager: RM_HASH, info, mainData, blocks }));
const tuple = new ByteWriter().u32(7).u16s(1, 16).u32s(1, 0).finish();
const double = new Uint8Array(new Float64Array([1000]).buffer);
const moved = { offsetNumbers: [3], tuples: tuple };
const movedData = new ByteWriter().u16(3).bytes(tuple).finish();

/** Every kind's info byte, main data, blocks, and what they say. */
const records: readonly [number, Uint8Array, readonly RecordBlock[], HashBody][] = [
  [
    0x00,
    new ByteWriter().bytes(double).u32(425).u16(307).finish(),
    [],
    { kind: 'INIT_META_PAGE', tupleCount: 1000, procedure: 425, fillFactor: 307 },
  ],
  [0x10, words(4096), [], { kind: 'INIT_BITMAP_PAGE', bitmapBytes: 4096 }],
  [0x20, words(5), [{ data: tuple }, {}], { kind: 'INSERT', offsetNumber: 5, tuple }],
  [
    0x30,
    new ByteWriter().u16(4096).u8(1).finish(),
    [{ data: longs(6) }, {}, { data: longs(7) }, {}, { data: longs(8) }],
    {
      kind: 'ADD_OVFL_PAGE',
      bitmapBytes: 4096,
      bitmapPageFound: true,
      bucket: 6,
      bitmapBit: 7,
      firstFree: 8,
    },
  ],
  [
    0x40,
    new ByteWriter().u32(5).u16s(0x22, 0x12).u8(3).finish(),
    [{}, {}, { data: longs(7, 15, 4, 66) }],
    {
      kind: 'SPLIT_ALLOCATE_PAGE',
      newBucket: 5,
      oldBucketFlag: 0x22,
      newBucketFlag: 0x12,
      flags: 3,
      masks: { low: 7, high: 15 },
      splitpoint: { overflowPoint: 4, overflowPages: 66 },
    },
  ],
  [0x50, words(), [], { kind: 'SPLIT_PAGE' }],
  [0x60, words(1, 2), [], { kind: 'SPLIT_COMPLETE', oldBucketFlag: 1, newBucketFlag: 2 }],
  [
    0x70,
    new ByteWriter().u16(1).u8(1).finish(),
    [
      { id: 1, data: movedData },
      { id: 2, data: words(4) },
    ],
    { kind: 'MOVE_PAGE_CONTENTS', tupleCount: 1, isPrimaryBucketPage: true, moved, deleted: [4] },
  ],
  [
    0x80,
    new ByteWriter().u32s(18, 22).u16(1).u8(0).u8(1).finish(),
    [{}, { data: movedData }, {}, {}, {}, { data: longs(37) }],
    {
      kind: 'SQUEEZE_PAGE',
      previousBlock: 18,
      nextBlock: 22,
      tupleCount: 1,
      isPrimaryBucketPage: false,
      isPreviousPage: true,
      moved,
      bitmapBit: 37,
      firstFree: undefined,
    },
  ],
  [
    0x90,
    new ByteWriter().u8(1).u8(0).finish(),
    [{}, { data: words(1, 2) }],
    { kind: 'DELETE', clearDeadMarking: true, isPrimaryBucketPage: false, deleted: [1, 2] },
  ],
  [0xa0, words(), [], { kind: 'SPLIT_CLEANUP' }],
  [0xb0, double, [], { kind: 'UPDATE_META_PAGE', tupleCount: 1000 }],
  [
    0xc0,
    new ByteWriter().u32(700).u16(2).u8(1).u8(0xcc).u16s(1, 2).finish(),
    [],
    { kind: 'VACUUM_ONE_PAGE', snapshotConflictHorizon: 700, isCatalogRelation: true, deleted: [1, 2] },
  ],
];

test.each(records)('info %i', (info, mainData, blocks, body) => {
  expect(decode(info, mainData, blocks)).toEqual(body);
  expect(hashResourceManager.kindName(info)).toBe(body.kind);
  for (let length = 0; length < mainData.length; length++) {
    expect(() => decode(info, mainData.slice(0, length), blocks)).toThrow(CorruptionError);
  }
  expect(() => decode(info, Uint8Array.from([...mainData, 0]), blocks)).toThrow(/nothing explains/);
});

test('block data that an image has replaced are undefined', () => {
  const image = { image: new Uint8Array(8192) };
  expect(decode(0x20, words(5), [image])).toMatchObject({ tuple: undefined });
  expect(decode(0x90, words(0), [{}, image])).toMatchObject({ deleted: undefined });
  const move = new ByteWriter().u16(1).u8(1).finish();
  expect(decode(0x70, move, [{}, image, image])).toMatchObject({ moved: undefined, deleted: undefined });
});

test('block data that contradict their counts or flags are refused', () => {
  const allocate = (flags: number): Uint8Array => new ByteWriter().u32(5).u16s(1, 2).u8(flags).finish();
  expect(() => decode(0x40, allocate(4), [{}, {}, {}])).toThrow(/unknown flags 4/);
  expect(() => decode(0x40, allocate(1), [{}, {}, { data: longs(1) }])).toThrow(CorruptionError);
  expect(() => decode(0x40, allocate(0), [{}, {}, { data: longs(1) }])).toThrow(/nothing explains/);
  expect(() => decode(0x90, words(0), [{}, { data: new Uint8Array(3) }])).toThrow(/nothing explains/);
});

test('an unknown kind is refused', () => {
  expect(hashResourceManager.kindName(0xd0)).toBeUndefined();
  expect(() => decode(0xd0, words())).toThrow(UnknownRecordError);
});
