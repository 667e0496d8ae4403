import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { refuses } from '../../../test/support/hostile-records.ts';
import { indexTuple } from '../../../test/support/index-pages.ts';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { gistResourceManager } from './gist.ts';
import { RM_GIST } from './resource-manager.ts';

const decode = (parts: Omit<RecordParts, 'resourceManager'>) =>
  gistResourceManager.decodeBody(buildRecord({ ...parts, resourceManager: RM_GIST }));
const tuples = [indexTuple(1, 1), indexTuple(2, 2, 24, 0xbb)];
const tupleBytes = tuples.flatMap((tuple) => [...tuple]);

const update = { info: 0x00, mainData: new ByteWriter().u16s(1, 2).finish() };
const updateData = new ByteWriter().u16(3).bytes(tupleBytes).finish();
const deletion = {
  info: 0x10,
  mainData: new ByteWriter().u32(700).u16(2).u8(1).u8(0xa5).u16s(4, 5).finish(),
  blocks: [{}],
};
const reuse = {
  info: 0x20,
  mainData: new ByteWriter().u32s(1663, 5, 16390, 12).u64(0x1_0000_0005n).u8(1).finish(),
};
const split = {
  info: 0x30,
  mainData: new ByteWriter().u32(9).zeros(4).u64(0x2_0000_0001n).u8(1).u8(0).u16(2).u8(1).zeros(3).finish(),
  blocks: [
    { id: 1, willInitialize: true, data: new ByteWriter().u32(2).bytes(tupleBytes).finish() },
    { id: 2, willInitialize: true, data: new ByteWriter().u32(1).bytes(tuples[0]).finish() },
  ],
};
const pageDeletion = {
  info: 0x60,
  mainData: new ByteWriter().u64(0x3_0000_0007n).u16(6).finish(),
  blocks: [{}, {}],
};

describe('decodes', () => {
  test('PAGE_UPDATE, whose block data an image may replace', () => {
    expect(decode({ ...update, blocks: [{ data: updateData }, {}] })).toEqual({
      kind: 'PAGE_UPDATE',
      deleteCount: 1,
      insertCount: 2,
      change: { deleted: [3], inserted: tuples },
      completesSplit: true,
    });
    const image = new Uint8Array(8192);
    expect(decode({ ...update, blocks: [{ image }] })).toMatchObject({
      change: undefined,
      completesSplit: false,
    });
    expect(decode({ ...update, blocks: [{ image, data: updateData }] })).toMatchObject({
      change: { deleted: [3], inserted: tuples },
    });
    expect(() => decode({ ...update, blocks: [{ image, applyImage: false }] })).toThrow(CorruptionError);
  });

  test('DELETE', () => {
    expect(decode(deletion)).toEqual({
      kind: 'DELETE',
      snapshotConflictHorizon: 700,
      isCatalogRelation: true,
      deleted: [4, 5],
    });
  });

  test('PAGE_REUSE', () => {
    expect(decode(reuse)).toEqual({
      kind: 'PAGE_REUSE',
      tablespace: 1663,
      database: 5,
      relation: 16390,
      blockNumber: 12,
      snapshotConflictHorizon: 0x1_0000_0005n,
      isCatalogRelation: true,
    });
  });

  test('PAGE_SPLIT', () => {
    expect(decode(split)).toEqual({
      kind: 'PAGE_SPLIT',
      originalRightLink: 9,
      originalNsn: 0x2_0000_0001n,
      originalIsLeaf: true,
      markFollowRight: true,
      pages: [tuples, [tuples[0]]],
      completesSplit: false,
    });
    expect(() => decode({ ...split, blocks: split.blocks.slice(0, 1) })).toThrow(/without block 2/);
  });

  test('PAGE_DELETE and ASSIGN_LSN', () => {
    expect(decode(pageDeletion)).toEqual({
      kind: 'PAGE_DELETE',
      deleteXid: 0x3_0000_0007n,
      downlinkOffset: 6,
    });
    expect(decode({ info: 0x70, mainData: new Uint8Array(4) })).toEqual({ kind: 'ASSIGN_LSN' });
  });
});

test('refuses unknown records', () => {
  for (const info of [0x40, 0x50, 0x80, 0xf0]) {
    expect(gistResourceManager.kindName(info)).toBeUndefined();
    expect(() => decode({ info })).toThrow(UnknownRecordError);
  }
});

test('refuses main data of any other length', () => {
  for (const parts of [deletion, reuse, split, pageDeletion, { info: 0x70, mainData: new Uint8Array(4) }]) {
    for (let length = 0; length < parts.mainData.length; length++) {
      const cut = { ...parts, mainData: parts.mainData.slice(0, length) };
      expect(() => decode(cut), `info ${parts.info} cut to ${length}`).toThrow(CorruptionError);
    }
    const longer = { ...parts, mainData: Uint8Array.from([...parts.mainData, 0]) };
    expect(() => decode(longer)).toThrow(/nothing explains/);
  }
});

test('refuses tuples that do not add up', () => {
  for (let length = 0; length < updateData.length; length++) {
    const cut = { ...update, blocks: [{ data: updateData.slice(0, length) }] };
    expect(() => decode(cut), `cut to ${length}`).toThrow(CorruptionError);
  }
  expect(() =>
    decode({ ...update, blocks: [{ data: Uint8Array.from([...updateData, ...tuples[0]]) }] }),
  ).toThrow(/more than/);
  const sizeless = tuples[0].slice().fill(0, 6, 8);
  expect(() => decode({ ...update, blocks: [{ data: Uint8Array.from([3, 0, ...sizeless]) }] })).toThrow(
    /claims 0 bytes/,
  );
});

test('any bytes give a body or a typed error', () => {
  const bytes = fc.uint8Array({ maxLength: 64 });
  fc.assert(
    fc.property(fc.nat(15), bytes, fc.array(bytes, { maxLength: 4 }), (kind, mainData, datas) => {
      refuses(() => decode({ info: kind << 4, mainData, blocks: datas.map((data) => ({ data })) }));
    }),
    { numRuns: 2000 },
  );
});
