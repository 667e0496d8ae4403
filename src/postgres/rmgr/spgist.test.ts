import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { refuses } from '../../../test/support/hostile-records.ts';
import { ByteWriter, buildRecord } from '../../../test/support/record-builder.ts';
import { innerTuple, leafTuple } from '../../../test/support/spgist-tuples.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { RM_SPGIST } from './resource-manager.ts';
import { spgistResourceManager } from './spgist.ts';

const decode = (info: number, mainData: Uint8Array) =>
  spgistResourceManager.decodeBody(buildRecord({ resourceManager: RM_SPGIST, info, mainData, blocks: [{}] }));

const leafs = [leafTuple(97), leafTuple(98, 1, 32), leafTuple(99, 2, 40)];
const leafBytes = leafs.flatMap((tuple) => [...tuple]);
const inner = innerTuple([16, 8], 8);
const pad = 0xa5;
const state = (writer: ByteWriter) => writer.u32(777).u8(1).bytes([pad, pad, pad]);
const decodedState = { redirectXid: 777, isBuild: true };

const samples: readonly { readonly info: number; readonly mainData: Uint8Array; readonly body: object }[] = [
  {
    info: 0x10,
    mainData: new ByteWriter().u8(1).u8(0).u16s(2, 3, 4, 5).bytes(leafs[1]).finish(),
    body: {
      kind: 'ADD_LEAF',
      newPage: true,
      storesNulls: false,
      offsetLeaf: 2,
      offsetHeadLeaf: 3,
      offsetParent: 4,
      node: 5,
      leafTuple: leafs[1],
    },
  },
  {
    info: 0x20,
    mainData: state(new ByteWriter().u16(2).bytes([0, 0, 1, pad]).u16s(6, 7).bytes([pad, pad]))
      .u16s(8, 9, 1, 2, 3)
      .bytes(leafBytes)
      .finish(),
    body: {
      kind: 'MOVE_LEAFS',
      newPage: false,
      replaceDead: false,
      storesNulls: true,
      offsetParent: 6,
      node: 7,
      state: decodedState,
      deleted: [8, 9],
      inserted: [1, 2, 3],
      leafTuples: leafs,
    },
  },
  {
    info: 0x20,
    mainData: state(new ByteWriter().u16(1).bytes([1, 1, 0, pad]).u16s(6, 7).bytes([pad, pad]))
      .u16s(8, 1)
      .bytes(leafs[0])
      .finish(),
    body: {
      kind: 'MOVE_LEAFS',
      newPage: true,
      replaceDead: true,
      storesNulls: false,
      offsetParent: 6,
      node: 7,
      state: decodedState,
      deleted: [8],
      inserted: [1],
      leafTuples: [leafs[0]],
    },
  },
  {
    info: 0x30,
    mainData: state(new ByteWriter().u16s(2, 3).u8(1).u8(-1).u16s(4, 5).bytes([pad, pad]))
      .bytes(inner)
      .finish(),
    body: {
      kind: 'ADD_NODE',
      offset: 2,
      offsetNew: 3,
      newPage: true,
      parentBlock: -1,
      offsetParent: 4,
      node: 5,
      state: decodedState,
      innerTuple: inner,
    },
  },
  {
    info: 0x40,
    mainData: new ByteWriter()
      .u16s(2, 3)
      .u8(0)
      .u8(1)
      .bytes(innerTuple([8]))
      .bytes(inner)
      .finish(),
    body: {
      kind: 'SPLIT_TUPLE',
      offsetPrefix: 2,
      offsetPostfix: 3,
      newPage: false,
      postfixOnSamePage: true,
      prefixTuple: innerTuple([8]),
      postfixTuple: inner,
    },
  },
  {
    info: 0x50,
    mainData: state(
      new ByteWriter()
        .bytes([1, pad])
        .u16s(2, 3)
        .bytes([0, 1])
        .u16(9)
        .bytes([0, 1, 1, pad])
        .u16s(10, 11)
        .bytes([pad, pad]),
    )
      .u16s(4, 5, 6, 7, 8)
      .bytes([0, 1, 1])
      .bytes(inner)
      .bytes(leafBytes)
      .finish(),
    body: {
      kind: 'PICKSPLIT',
      isRootSplit: true,
      initializeSource: false,
      initializeDestination: true,
      offsetInner: 9,
      initializeInner: false,
      storesNulls: true,
      innerIsParent: true,
      offsetParent: 10,
      node: 11,
      state: decodedState,
      deleted: [4, 5],
      inserted: [6, 7, 8],
      toDestination: [false, true, true],
      innerTuple: inner,
      leafTuples: leafs,
    },
  },
  {
    info: 0x60,
    mainData: state(new ByteWriter().u16s(1, 2, 1, 2))
      .u16s(1, 2, 3, 4, 5, 6, 7, 8, 9)
      .finish(),
    body: {
      kind: 'VACUUM_LEAF',
      state: decodedState,
      dead: [1],
      placeholders: [2, 3],
      moveSources: [4],
      moveDestinations: [5],
      chainSources: [6, 7],
      chainDestinations: [8, 9],
    },
  },
  {
    info: 0x70,
    mainData: state(new ByteWriter().u16(2).bytes([pad, pad]))
      .u16s(3, 4)
      .finish(),
    body: { kind: 'VACUUM_ROOT', state: decodedState, deleted: [3, 4] },
  },
  {
    info: 0x80,
    mainData: new ByteWriter().u16s(2, 5).u32(600).u8(1).u8(pad).u16s(3, 4).finish(),
    body: {
      kind: 'VACUUM_REDIRECT',
      firstPlaceholder: 5,
      snapshotConflictHorizon: 600,
      isCatalogRelation: true,
      toPlaceholder: [3, 4],
    },
  },
];

describe.each(samples)('info $info', ({ info, mainData, body }) => {
  test('decodes', () => {
    expect(decode(info, mainData)).toEqual(body);
  });

  test('refuses main data of any other length', () => {
    for (let length = 0; length < mainData.length; length++) {
      expect(() => decode(info, mainData.slice(0, length)), `cut to ${length}`).toThrow(CorruptionError);
    }
    expect(() => decode(info, Uint8Array.from([...mainData, 0]))).toThrow(/nothing explains/);
  });
});

test('every kind has been decoded', () => {
  const kinds = new Set(samples.map(({ info }) => spgistResourceManager.kindName(info)));
  expect([...kinds]).toEqual(spgistResourceManager.kinds);
});

test('refuses unknown records, and a parent block that does not exist', () => {
  for (const info of [0x00, 0x90, 0xf0]) {
    expect(spgistResourceManager.kindName(info)).toBeUndefined();
    expect(() => decode(info, new Uint8Array(0))).toThrow(UnknownRecordError);
  }
  const node = samples.find((sample) => sample.info === 0x30)?.mainData.slice() ?? new Uint8Array(0);
  node[5] = 3;
  expect(() => decode(0x30, node)).toThrow(CorruptionError);
});

test('any bytes give a body or a typed error', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { maxLength: 4 }),
      fc.uint8Array({ maxLength: 64 }),
      ({ info, mainData }, changes, random) => {
        const damaged = mainData.slice();
        for (const [offset, value] of changes) damaged[offset % damaged.length] = value;
        refuses(() => decode(info, damaged));
        refuses(() => decode(info, random));
      },
    ),
    { numRuns: 2000 },
  );
});
