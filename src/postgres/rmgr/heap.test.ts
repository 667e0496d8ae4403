import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { heapResourceManager } from './heap.ts';
import { heap2ResourceManager } from './heap2.ts';
import { RM_HEAP, RM_HEAP2 } from './resource-manager.ts';

const managers = { [RM_HEAP]: heapResourceManager, [RM_HEAP2]: heap2ResourceManager };
type Manager = keyof typeof managers;

function parts(resourceManager: Manager, info: number, mainData: ByteWriter, data?: ByteWriter): RecordParts {
  const block = data === undefined ? {} : { data: data.finish() };
  return { resourceManager, info, mainData: mainData.finish(), blocks: [block] };
}

const decode = (record: RecordParts) =>
  managers[record.resourceManager as Manager].decodeBody(buildRecord(record));
const w = () => new ByteWriter();
const walTuple = (...data: number[]) => w().u16(3).u16(0x902).u8(24).bytes(data);
const tuple = (...data: number[]) => ({
  infomask2: 3,
  infomask: 0x902,
  hoff: 24,
  data: Uint8Array.from(data),
});

/** A record of each kind and what it says. */
const samples: readonly (readonly [RecordParts, object])[] = [
  [
    parts(RM_HEAP, 0x00, w().u16(4).u8(8), walTuple(0, 1, 2)),
    { kind: 'INSERT', offsetNumber: 4, flags: 8, tuple: tuple(0, 1, 2) },
  ],
  [
    parts(RM_HEAP, 0x80, w().u16(1).u8(0), walTuple(0)),
    { kind: 'INSERT+INIT', offsetNumber: 1, flags: 0, tuple: tuple(0) },
  ],
  [
    parts(RM_HEAP, 0x10, w().u32(900).u16(4).u8(0x10).u8(4).bytes(walTuple(7).finish())),
    { kind: 'DELETE', xmax: 900, offsetNumber: 4, infobits: 0x10, flags: 4, oldTuple: tuple(7) },
  ],
  [
    parts(
      RM_HEAP,
      0x20,
      w().u32(900).u16(4).u8(1).u8(0x60).u32(901).u16(5),
      w().u16s(11, 12).bytes(walTuple(0).finish()),
    ),
    {
      ...{
        kind: 'UPDATE',
        oldXmax: 900,
        oldOffsetNumber: 4,
        oldInfobits: 1,
        flags: 0x60,
        oldTuple: undefined,
      },
      ...{ newXmax: 901, newOffsetNumber: 5, prefixLength: 11, suffixLength: 12, newTuple: tuple(0) },
    },
  ],
  [
    parts(
      RM_HEAP,
      0x40,
      w().u32(900).u16(4).u8(1).u8(0x44).u32(901).u16(5).bytes(walTuple(8).finish()),
      w().u16(9).bytes(walTuple(0).finish()),
    ),
    {
      ...{
        kind: 'HOT_UPDATE',
        oldXmax: 900,
        oldOffsetNumber: 4,
        oldInfobits: 1,
        flags: 0x44,
        oldTuple: tuple(8),
      },
      ...{ newXmax: 901, newOffsetNumber: 5, prefixLength: 0, suffixLength: 9, newTuple: tuple(0) },
    },
  ],
  [
    parts(RM_HEAP, 0x30, w().u32(5).u32(2).u8(1).zeros(3).u32s(16384, 16390)),
    { kind: 'TRUNCATE', database: 5, flags: 1, relations: [16384, 16390] },
  ],
  [parts(RM_HEAP, 0x50, w().u16(3)), { kind: 'HEAP_CONFIRM', offsetNumber: 3 }],
  [
    parts(RM_HEAP, 0x60, w().u32(900).u16(4).u8(2).u8(1)),
    { kind: 'LOCK', xmax: 900, offsetNumber: 4, infobits: 2, flags: 1 },
  ],
  [
    parts(RM_HEAP, 0x70, w().u16(3), w().bytes([1, 2])),
    { kind: 'INPLACE', offsetNumber: 3, data: Uint8Array.of(1, 2) },
  ],
  [
    parts(
      RM_HEAP2,
      0x00,
      w().u32s(900, 5, 1259).zeros(4).u64(72n).u32(1).zeros(4).lsn(0x1_0000_0010).zeros(36),
    ),
    {
      ...{ kind: 'REWRITE', mappedXid: 900, mappedDatabase: 5, mappedRelation: 1259, fileOffset: 72n },
      ...{ startLsn: 0x1_0000_0010, mappings: new Uint8Array(36) },
    },
  ],
  [
    parts(
      RM_HEAP2,
      0x10,
      w().u8(0xa5).u8(0xf8).u32(777),
      w()
        .u16s(1, 0)
        .u32(9)
        .u16s(3, 0x902)
        .u8(2)
        .u8(0)
        .u16(2)
        .u16s(1, 5, 6)
        .u16s(1, 7)
        .u16s(2, 8, 9)
        .u16s(10, 11),
    ),
    {
      ...{ kind: 'PRUNE_ON_ACCESS', flags: 0xf8, snapshotConflictHorizon: 777 },
      changes: {
        freezePlans: [{ xmax: 9, infomask2: 3, infomask: 0x902, flags: 2, offsetNumbers: [10, 11] }],
        redirected: [{ from: 5, to: 6 }],
        dead: [7],
        unused: [8, 9],
      },
    },
  ],
  [
    parts(RM_HEAP2, 0x30, w().u8(0).u8(0x80), w().u16s(1, 8)),
    {
      ...{ kind: 'PRUNE_VACUUM_CLEANUP', flags: 0x80, snapshotConflictHorizon: undefined },
      changes: { freezePlans: [], redirected: [], dead: [], unused: [8] },
    },
  ],
  [parts(RM_HEAP2, 0x40, w().u32(777).u8(7)), { kind: 'VISIBLE', snapshotConflictHorizon: 777, flags: 7 }],
  [
    parts(
      RM_HEAP2,
      0x50,
      w().u8(2).u8(0).u16(2).u16s(4, 9),
      w().u16(2).bytes(walTuple(0, 1).finish()).align(2).u16(1).bytes(walTuple(0).finish()),
    ),
    { kind: 'MULTI_INSERT', flags: 2, offsetNumbers: [4, 9], tuples: [tuple(0, 1), tuple(0)] },
  ],
  [
    parts(RM_HEAP2, 0xd0, w().u8(0x20).u8(0).u16(1), w().u16(1).bytes(walTuple(0).finish())),
    { kind: 'MULTI_INSERT+INIT', flags: 0x20, offsetNumbers: [1], tuples: [tuple(0)] },
  ],
  [
    parts(RM_HEAP2, 0x60, w().u32(900).u16(4).u8(2).u8(1)),
    { kind: 'LOCK_UPDATED', xmax: 900, offsetNumber: 4, infobits: 2, flags: 1 },
  ],
  [
    parts(RM_HEAP2, 0x70, w().u32s(900, 1, 2, 3).u32s(1663, 5, 1259).u16s(1, 2, 7)),
    {
      ...{ kind: 'NEW_CID', topXid: 900, cmin: 1, cmax: 2, comboCid: 3 },
      ...{ tablespace: 1663, database: 5, relation: 1259, blockNumber: 0x1_0002, offsetNumber: 7 },
    },
  ],
];

/** Bytes of main data and block data that are needed, where the rest is a tuple that may end anywhere. */
const REQUIRED: Readonly<Record<string, readonly [number, number]>> = {
  INSERT: [3, 5],
  'INSERT+INIT': [3, 5],
  DELETE: [8 + 5, 0],
  UPDATE: [14, 2 + 2 + 5],
  HOT_UPDATE: [14 + 5, 2 + 5],
  INPLACE: [2, 0],
};

describe.each(samples)('%#', (record, body) => {
  test('is read', () => {
    expect(decode(record)).toEqual(body);
    const manager = managers[record.resourceManager as Manager];
    expect(manager.kindName(record.info)).toBe((body as { kind: string }).kind);
  });

  test('is refused when it is cut off, or too long', () => {
    const mainData = record.mainData ?? new Uint8Array(0);
    const data = record.blocks?.[0]?.data ?? new Uint8Array(0);
    const [mainRequired, dataRequired] = REQUIRED[(body as { kind: string }).kind] ?? [
      mainData.length,
      data.length,
    ];
    for (let length = 0; length < mainRequired; length++) {
      const cut = { ...record, mainData: mainData.slice(0, length) };
      expect(() => decode(cut), `${length} bytes of main data`).toThrow(CorruptionError);
    }
    // Without any data of the block, there may be a full-page image instead.
    for (let length = 1; length < dataRequired; length++) {
      const cut = { ...record, blocks: [{ data: data.slice(0, length) }] };
      expect(() => decode(cut), `${length} bytes of block data`).toThrow(CorruptionError);
    }
    if (mainRequired < mainData.length) return;
    const extended = { ...record, mainData: Uint8Array.from([...mainData, 0]) };
    expect(() => decode(extended)).toThrow(CorruptionError);
  });
});

test('unknown kinds and flags are refused by name', () => {
  for (const info of [0x90, 0xb0, 0xd0, 0xe0, 0xf0]) {
    expect(() => decode(parts(RM_HEAP, info, w()))).toThrow(UnknownRecordError);
  }
  for (const info of [0x80, 0x90, 0xc0, 0xe0, 0xf0]) {
    expect(() => decode(parts(RM_HEAP2, info, w()))).toThrow(UnknownRecordError);
  }
  expect(() => decode(parts(RM_HEAP2, 0x10, w().u8(0).u8(1)))).toThrow(/unknown flags/);
  expect(() => decode(parts(RM_HEAP2, 0x40, w().u32(1).u8(8)))).toThrow(/unknown visibility flags/);
});

test('counts are checked before anything is made', () => {
  expect(() => decode(parts(RM_HEAP, 0x30, w().u32(5).u32(0xffff_ffff).u32(0)))).toThrow(CorruptionError);
  expect(() =>
    decode(parts(RM_HEAP2, 0x00, w().u32s(1, 2, 3, 0).u64(0n).u32s(0xffff_ffff, 0, 0, 0))),
  ).toThrow(CorruptionError);
  expect(() => decode(parts(RM_HEAP2, 0x10, w().u8(0).u8(0x10), w().u16s(0xffff, 0)))).toThrow(
    CorruptionError,
  );
});

test('any bytes give a body or a refusal', () => {
  const random = fc.record({
    resourceManager: fc.constantFrom<Manager>(RM_HEAP, RM_HEAP2),
    info: fc.nat(15).map((kind) => kind << 4),
    mainData: fc.uint8Array({ maxLength: 80 }),
    blocks: fc.array(fc.record({ data: fc.uint8Array({ maxLength: 80 }) }), { maxLength: 2 }),
  });
  fc.assert(
    fc.property(random, (record) => {
      try {
        expect(decode(record).kind).toBe(managers[record.resourceManager].kindName(record.info));
      } catch (error) {
        if (!(error instanceof CorruptionError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});
