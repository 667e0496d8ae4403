import { expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordBlock } from '../../../test/support/record-builder.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { btreeResourceManager } from './btree.ts';
import type { BtreeBody } from './btree-body.ts';
import { RM_BTREE } from './resource-manager.ts';

const words = (...values: number[]): Uint8Array => new ByteWriter().u16s(...values).finish();
const decode = (info: number, mainData: Uint8Array, blocks: readonly RecordBlock[] = []): BtreeBody =>
  btreeResourceManager.decodeBody(buildRecord({ resourceManager: RM_BTREE, info, mainData, blocks }));
const tuple = new ByteWriter().u32(7).u16s(1, 16).u32s(1, 0).finish();
const meta = new ByteWriter().u32s(4, 3, 1, 5, 2, 9).u8(1).zeros(3).finish();
const metadata = {
  version: 4,
  root: 3,
  level: 1,
  fastRoot: 5,
  fastLevel: 2,
  lastCleanupDeletedPages: 9,
  allEqualImage: true,
};

/** Every kind's info byte, main data, blocks, and what they say. */
const records: readonly [number, Uint8Array, readonly RecordBlock[], BtreeBody][] = [
  [
    0x00,
    words(5),
    [{ data: tuple }],
    { kind: 'INSERT_LEAF', offsetNumber: 5, tuple, postingOffset: undefined, metadata: undefined },
  ],
  [
    0x10,
    words(5),
    [{ data: tuple }, {}],
    { kind: 'INSERT_UPPER', offsetNumber: 5, tuple, postingOffset: undefined, metadata: undefined },
  ],
  [
    0x20,
    words(5),
    [{ data: tuple }, {}, { data: meta }],
    { kind: 'INSERT_META', offsetNumber: 5, tuple, postingOffset: undefined, metadata },
  ],
  [
    0x30,
    new ByteWriter().u32(0).u16s(7, 6, 2).finish(),
    [{ data: tuple }, { data: meta }],
    {
      kind: 'SPLIT_L',
      level: 0,
      firstRightOffset: 7,
      newItemOffset: 6,
      postingOffset: 2,
      leftTuples: tuple,
      rightTuples: meta,
    },
  ],
  [
    0x50,
    words(5),
    [{ data: new ByteWriter().u16(3).bytes(tuple).finish() }],
    { kind: 'INSERT_POST', offsetNumber: 5, tuple, postingOffset: 3, metadata: undefined },
  ],
  [
    0x60,
    words(2),
    [{ data: words(1, 2, 5, 6) }],
    {
      kind: 'DEDUP',
      intervalCount: 2,
      intervals: [
        { baseOffset: 1, itemCount: 2 },
        { baseOffset: 5, itemCount: 6 },
      ],
    },
  ],
  [
    0x70,
    new ByteWriter().u32(700).u16s(2, 1).u8(1).finish(),
    [{ data: words(3, 4, 6, 2, 0, 1) }],
    {
      kind: 'DELETE',
      snapshotConflictHorizon: 700,
      isCatalogRelation: true,
      deletedCount: 2,
      updatedCount: 1,
      deleted: [3, 4],
      updated: [{ offsetNumber: 6, deletedTids: [0, 1] }],
    },
  ],
  [
    0x90,
    new ByteWriter().u32s(1, 2, 0, 0).u64(0x1_0000_02bcn).u32s(3, 4, 5).finish(),
    [{}, {}, {}, {}, { data: meta }],
    {
      kind: 'UNLINK_PAGE_META',
      leftSibling: 1,
      rightSibling: 2,
      level: 0,
      safeXid: 0x1_0000_02bcn,
      leafLeftSibling: 3,
      leafRightSibling: 4,
      leafTopParent: 5,
      metadata,
    },
  ],
  [
    0xa0,
    new ByteWriter().u32s(3, 1).finish(),
    [{ data: tuple }, {}, { data: meta }],
    { kind: 'NEWROOT', rootBlock: 3, level: 1, tuples: tuple, metadata },
  ],
  [
    0xb0,
    new ByteWriter().u16s(4, 0xffff).u32s(8, 7, 9, 0xffff_ffff).finish(),
    [],
    {
      kind: 'MARK_PAGE_HALFDEAD',
      parentOffset: 4,
      leafBlock: 8,
      leftBlock: 7,
      rightBlock: 9,
      topParent: 0xffff_ffff,
    },
  ],
  [
    0xc0,
    words(1, 0),
    [{ data: words(9) }],
    { kind: 'VACUUM', deletedCount: 1, updatedCount: 0, deleted: [9], updated: [] },
  ],
  [
    0xd0,
    new ByteWriter().u32s(1663, 5, 16384, 77).u64(0x2_0000_0001n).u8(0).finish(),
    [],
    {
      kind: 'REUSE_PAGE',
      relation: { tablespace: 1663, database: 5, relation: 16384 },
      block: 77,
      snapshotConflictHorizon: 0x2_0000_0001n,
      isCatalogRelation: false,
    },
  ],
  [0xe0, words(), [{ data: meta }], { kind: 'META_CLEANUP', metadata }],
];

test.each(records)('info %i', (info, mainData, blocks, body) => {
  expect(decode(info, mainData, blocks)).toEqual(body);
  expect(btreeResourceManager.kindName(info)).toBe(body.kind);
  for (let length = 0; length < mainData.length; length++) {
    expect(() => decode(info, mainData.slice(0, length), blocks)).toThrow(CorruptionError);
  }
  expect(() => decode(info, Uint8Array.from([...mainData, 0]), blocks)).toThrow(/nothing explains/);
});

test('block data that an image has replaced are undefined', () => {
  const image = { image: new Uint8Array(8192) };
  expect(decode(0x00, words(5), [image])).toMatchObject({ tuple: undefined });
  expect(decode(0x50, words(5), [image])).toMatchObject({ postingOffset: undefined, tuple: undefined });
  expect(decode(0x60, words(5), [image])).toMatchObject({ intervalCount: 5, intervals: undefined });
  expect(decode(0xc0, words(5, 1), [image])).toMatchObject({ deletedCount: 5, deleted: undefined });
  expect(() => decode(0xc0, words(5, 1), [{ ...image, applyImage: false }])).toThrow(CorruptionError);
});

test('block data that contradict their counts are refused', () => {
  expect(() => decode(0x60, words(1), [{ data: words(1, 2, 3) }])).toThrow(/nothing explains/);
  expect(() => decode(0x60, words(2), [{ data: words(1, 2, 3) }])).toThrow(CorruptionError);
  expect(() => decode(0xc0, words(1, 1), [{ data: words(3, 4, 9) }])).toThrow(CorruptionError);
  expect(() => decode(0xe0, words(), [{ data: meta.slice(1) }])).toThrow(CorruptionError);
});

test('an unknown kind is refused', () => {
  expect(btreeResourceManager.kindName(0xf0)).toBeUndefined();
  expect(() => decode(0xf0, words())).toThrow(UnknownRecordError);
});
