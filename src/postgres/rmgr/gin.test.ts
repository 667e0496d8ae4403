import { describe, expect, test } from 'vitest';
import { type HeapTid, postingList, tidBytes, tidsBytes } from '../../../test/support/gin-pages.ts';
import { refuses } from '../../../test/support/hostile-records.ts';
import { indexTuple } from '../../../test/support/index-pages.ts';
import {
  ByteWriter,
  buildRecord,
  joinBytes,
  type RecordBlock,
  type RecordParts,
} from '../../../test/support/record-builder.ts';
import { UnknownRecordError } from '../../base/errors.ts';
import { ginResourceManager } from './gin.ts';
import type { GinBody } from './gin-body.ts';
import { RM_GIN } from './resource-manager.ts';

const NONE = 0xffff_ffff;
const image = new Uint8Array(8192);
const record = (info: number, mainData: ByteWriter, blocks: readonly RecordBlock[] = [{}]): RecordParts => ({
  resourceManager: RM_GIN,
  info,
  mainData: mainData.finish(),
  blocks,
});
const decode = (parts: RecordParts): GinBody => ginResourceManager.decodeBody(buildRecord(parts));

/** Demands that main data, or the data of the block, are refused if a byte is missing or too many. */
function expectLengthsAreChecked(parts: RecordParts, blockId?: number): void {
  const mainData = parts.mainData ?? new Uint8Array(0);
  expect(decode(parts).kind).toBe(ginResourceManager.kindName(parts.info));
  for (let length = 0; length <= mainData.length + 1; length++) {
    if (length === mainData.length) continue;
    const changed = new Uint8Array(length);
    changed.set(mainData.slice(0, length));
    expect(
      refuses(() => decode({ ...parts, mainData: changed })),
      `main data of ${length}`,
    ).toBe(true);
  }
  if (blockId === undefined) return;
  const data = parts.blocks?.[blockId]?.data ?? new Uint8Array(0);
  for (let length = 0; length <= data.length + 1; length++) {
    if (length === data.length) continue;
    const changed = new Uint8Array(length);
    changed.set(data.slice(0, length));
    const blocks = parts.blocks?.map((block, index) =>
      index === blockId ? { ...block, data: changed } : block,
    );
    expect(
      refuses(() => decode({ ...parts, blocks: blocks ?? [] })),
      `block data of ${length}`,
    ).toBe(true);
  }
}

const tuple = indexTuple(5, 6, 24, 7);
const list = postingList([
  [1, 1],
  [0x12345, 9],
]);
const metadata = new ByteWriter()
  .u32s(3, 9, 1234, 2)
  .u64(55n)
  .u32s(40, 20, 10, 0)
  .u64(999n)
  .u32s(2, 0)
  .finish();
const metadataBody = {
  head: 3,
  tail: 9,
  tailFreeBytes: 1234,
  pendingPages: 2,
  pendingHeapTuples: 55n,
  totalPages: 40,
  entryPages: 20,
  dataPages: 10,
  entries: 999n,
  version: 2,
};

describe('INSERT', () => {
  test('into the entry tree', () => {
    const data = joinBytes(Uint8Array.of(3, 0, 1, 0), tuple);
    const leaf = record(0x20, new ByteWriter().u16(2), [{ data }]);
    const change = { type: 'entry', offsetNumber: 3, isDelete: true, tuple };
    expect(decode(leaf)).toEqual({
      kind: 'INSERT',
      isData: false,
      isLeaf: true,
      children: undefined,
      change,
    });
    expectLengthsAreChecked(leaf, 0);
    const inner = record(0x20, new ByteWriter().u16s(0, 1, 2, 0xffff, 0xffff), [
      { data },
      { blockNumber: 1 },
    ]);
    expect(decode(inner)).toMatchObject({ isLeaf: false, children: { left: 0x10002, right: NONE } });
    expectLengthsAreChecked(inner, 0);
  });

  test('into a posting tree', () => {
    const item = joinBytes(Uint8Array.of(2, 0, 1, 0, 3, 0), tidBytes([7, 8]));
    const inner = record(0x20, new ByteWriter().u16s(1, 0, 1, 0, 2), [{ data: item }]);
    const key = { block: 7, offsetNumber: 8 };
    const change = { type: 'internal', offsetNumber: 2, childBlock: 0x10003, key };
    expect(decode(inner)).toMatchObject({ isData: true, isLeaf: false, change });
    expectLengthsAreChecked(inner, 0);
  });

  test('an image stands for the data', () => {
    const parts = record(0x20, new ByteWriter().u16(2), [{ image }]);
    expect(decode(parts)).toMatchObject({ kind: 'INSERT', change: undefined });
    const compared = record(0x20, new ByteWriter().u16(2), [{ image, applyImage: false }]);
    expect(refuses(() => decode(compared))).toBe(true);
  });

  test('unknown flags', () => {
    expect(() => decode(record(0x20, new ByteWriter().u16(4)))).toThrow(/unknown flags 4/);
  });
});

describe('changes of a leaf', () => {
  const added: HeapTid[] = [
    [4, 5],
    [6, 7],
  ];
  const actions = new ByteWriter().u16(4).bytes([0, 1, 1, 2]).bytes(list).bytes([1, 3]).bytes(list);
  const data = actions.bytes([9, 4]).u16(2).bytes(tidsBytes(added)).finish();
  const change = {
    type: 'leaf',
    actions: [
      { segment: 0, action: 'delete', postingList: undefined, addedItems: undefined },
      { segment: 1, action: 'insert', postingList: list, addedItems: undefined },
      { segment: 1, action: 'replace', postingList: list, addedItems: undefined },
      {
        segment: 9,
        action: 'add items',
        postingList: undefined,
        addedItems: [
          { block: 4, offsetNumber: 5 },
          { block: 6, offsetNumber: 7 },
        ],
      },
    ],
  };

  test('by an insertion and by VACUUM_DATA_LEAF_PAGE', () => {
    const insertion = record(0x20, new ByteWriter().u16(3), [{ data }]);
    expect(decode(insertion)).toMatchObject({ isData: true, isLeaf: true, change });
    expectLengthsAreChecked(insertion, 0);
    const vacuum = record(0x90, new ByteWriter(), [{ data }]);
    expect(decode(vacuum)).toEqual({ kind: 'VACUUM_DATA_LEAF_PAGE', change });
    expectLengthsAreChecked(vacuum, 0);
    const replaced = record(0x90, new ByteWriter(), [{ image }]);
    expect(decode(replaced)).toEqual({ kind: 'VACUUM_DATA_LEAF_PAGE', change: undefined });
  });

  test('unknown actions', () => {
    for (const action of [0, 5, 255]) {
      const parts = record(0x90, new ByteWriter(), [{ data: Uint8Array.of(1, 0, 0, action) }]);
      expect(() => decode(parts)).toThrow(new RegExp(`no action ${action}`));
    }
  });
});

test('CREATE_PTREE, SPLIT, VACUUM_PAGE and DELETE_PAGE', () => {
  const create = record(0x10, new ByteWriter().u32(list.length).bytes(list));
  expect(decode(create)).toEqual({ kind: 'CREATE_PTREE', postingLists: list });
  expectLengthsAreChecked(create);
  const split = record(0x30, new ByteWriter().u32s(1663, 5, 16384, 10, 11, 12).u16s(6, 0));
  expect(decode(split)).toEqual({
    kind: 'SPLIT',
    relation: { tablespace: 1663, database: 5, relation: 16384 },
    rightLink: 10,
    leftChild: 11,
    rightChild: 12,
    isData: false,
    isLeaf: true,
    isRootSplit: true,
  });
  expectLengthsAreChecked(split);
  expect(() => decode(record(0x30, new ByteWriter().zeros(24).u16s(8, 0)))).toThrow(/unknown flags 8/);
  expect(decode(record(0x40, new ByteWriter()))).toEqual({ kind: 'VACUUM_PAGE' });
  expectLengthsAreChecked(record(0x40, new ByteWriter()));
  const deletion = record(0x50, new ByteWriter().u16s(3, 0xabab).u32s(77, 4242));
  expect(decode(deletion)).toEqual({ kind: 'DELETE_PAGE', parentOffset: 3, rightLink: 77, deleteXid: 4242 });
  expectLengthsAreChecked(deletion);
});

describe('the list of pending entries', () => {
  const updateMeta = (count: number, tail?: RecordBlock): RecordParts => {
    const mainData = new ByteWriter().u32s(1663, 5, 16384, 0).bytes(metadata).u32s(NONE, 31, count, 0);
    return record(0x60, mainData, tail === undefined ? [{}] : [{}, tail]);
  };

  test('UPDATE_META_PAGE', () => {
    const parts = updateMeta(2, { data: joinBytes(tuple, tuple) });
    expect(decode(parts)).toEqual({
      kind: 'UPDATE_META_PAGE',
      relation: { tablespace: 1663, database: 5, relation: 16384 },
      metadata: metadataBody,
      previousTail: NONE,
      newRightLink: 31,
      tupleCount: 2,
      tuples: [tuple, tuple],
    });
    expectLengthsAreChecked(parts, 1);
    expect(decode(updateMeta(0))).toMatchObject({ tupleCount: 0, tuples: undefined });
    expect(decode(updateMeta(2, { image }))).toMatchObject({ tupleCount: 2, tuples: undefined });
    expect(refuses(() => decode(updateMeta(0x7fff_ffff, { data: tuple })))).toBe(true);
    expect(refuses(() => decode(updateMeta(-1, { data: tuple })))).toBe(true);
  });

  test('INSERT_LISTPAGE and DELETE_LISTPAGE', () => {
    const insertion = record(0x70, new ByteWriter().u32s(8, 2), [{ data: joinBytes(tuple, tuple) }]);
    expect(decode(insertion)).toEqual({ kind: 'INSERT_LISTPAGE', rightLink: 8, tuples: [tuple, tuple] });
    expectLengthsAreChecked(insertion, 0);
    const small = record(0x70, new ByteWriter().u32s(8, 1), [{ data: indexTuple(1, 1, 4).slice(0, 8) }]);
    expect(() => decode(small)).toThrow(/claims 4 bytes/);
    expect(() => decode(record(0x70, new ByteWriter().u32s(8, NONE)))).toThrow(/-1 tuples/);
    const deletion = record(0x80, new ByteWriter().bytes(metadata).u32s(3, 0));
    expect(decode(deletion)).toEqual({ kind: 'DELETE_LISTPAGE', metadata: metadataBody, deletedCount: 3 });
    expectLengthsAreChecked(deletion);
    expect(() => decode(record(0x80, new ByteWriter().bytes(metadata).u32s(NONE, 0)))).toThrow(
      /-1 list pages/,
    );
  });
});

test('unknown kinds', () => {
  for (const info of [0x00, 0xa0, 0xf0]) {
    expect(ginResourceManager.kindName(info)).toBeUndefined();
    expect(() => decode(record(info, new ByteWriter()))).toThrow(UnknownRecordError);
  }
});
