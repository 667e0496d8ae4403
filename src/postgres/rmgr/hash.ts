/** Records of hash indexes (rmgrdesc/hashdesc.c). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import type {
  HashAddOverflowPageBody,
  HashBody,
  HashInsertBody,
  HashMovedTuples,
  HashMovePageContentsBody,
  HashSplitAllocatePageBody,
  HashSqueezePageBody,
  HashVacuumOnePageBody,
} from './hash-body.ts';
import {
  XLH_SPLIT_META_UPDATE_MASKS,
  XLH_SPLIT_META_UPDATE_SPLITPOINT,
  XLOG_HASH_ADD_OVFL_PAGE,
  XLOG_HASH_DELETE,
  XLOG_HASH_INIT_BITMAP_PAGE,
  XLOG_HASH_INIT_META_PAGE,
  XLOG_HASH_INSERT,
  XLOG_HASH_MOVE_PAGE_CONTENTS,
  XLOG_HASH_SPLIT_ALLOCATE_PAGE,
  XLOG_HASH_SPLIT_CLEANUP,
  XLOG_HASH_SPLIT_COMPLETE,
  XLOG_HASH_SPLIT_PAGE,
  XLOG_HASH_SQUEEZE_PAGE,
  XLOG_HASH_UPDATE_META_PAGE,
  XLOG_HASH_VACUUM_ONE_PAGE,
} from './hash-layout.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_HASH, refuseBody } from './resource-manager.ts';

const kindNames = new Map<number, HashBody['kind']>([
  [XLOG_HASH_INIT_META_PAGE, 'INIT_META_PAGE'],
  [XLOG_HASH_INIT_BITMAP_PAGE, 'INIT_BITMAP_PAGE'],
  [XLOG_HASH_INSERT, 'INSERT'],
  [XLOG_HASH_ADD_OVFL_PAGE, 'ADD_OVFL_PAGE'],
  [XLOG_HASH_SPLIT_ALLOCATE_PAGE, 'SPLIT_ALLOCATE_PAGE'],
  [XLOG_HASH_SPLIT_PAGE, 'SPLIT_PAGE'],
  [XLOG_HASH_SPLIT_COMPLETE, 'SPLIT_COMPLETE'],
  [XLOG_HASH_MOVE_PAGE_CONTENTS, 'MOVE_PAGE_CONTENTS'],
  [XLOG_HASH_SQUEEZE_PAGE, 'SQUEEZE_PAGE'],
  [XLOG_HASH_DELETE, 'DELETE'],
  [XLOG_HASH_SPLIT_CLEANUP, 'SPLIT_CLEANUP'],
  [XLOG_HASH_UPDATE_META_PAGE, 'UPDATE_META_PAGE'],
  [XLOG_HASH_VACUUM_ONE_PAGE, 'VACUUM_ONE_PAGE'],
]);

/** A reader of the block's data, or undefined where the record has no such block, or an image in place of its data. */
function readBlock(record: DecodedRecord, blockId: number): BodyReader | undefined {
  return record.hasBlock(blockId) ? BodyReader.findBlockData(record, blockId) : undefined;
}

function readSingle(record: DecodedRecord, blockId: number): number | undefined {
  const reader = readBlock(record, blockId);
  if (reader === undefined) return undefined;
  const value = reader.u32();
  reader.expectEnd();
  return value;
}

function readOffsetNumbers(record: DecodedRecord, blockId: number): readonly number[] | undefined {
  const reader = readBlock(record, blockId);
  if (reader === undefined) return undefined;
  const offsetNumbers = reader.u16Array(Math.floor(reader.remaining / 2));
  reader.expectEnd();
  return offsetNumbers;
}

function readMovedTuples(record: DecodedRecord, tupleCount: number): HashMovedTuples | undefined {
  const reader = readBlock(record, 1);
  if (reader === undefined) return undefined;
  const offsetNumbers = reader.u16Array(tupleCount);
  return { offsetNumbers, tuples: reader.bytes(reader.remaining) };
}

function readDouble(reader: BodyReader): number {
  const bytes = reader.bytes(8);
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
}

function decodeInsert(record: DecodedRecord, main: BodyReader): HashInsertBody {
  const data = readBlock(record, 0);
  return { kind: 'INSERT', offsetNumber: main.u16(), tuple: data?.bytes(data.remaining) };
}

function decodeAddOverflowPage(record: DecodedRecord, main: BodyReader): HashAddOverflowPageBody {
  return {
    kind: 'ADD_OVFL_PAGE',
    bitmapBytes: main.u16(),
    bitmapPageFound: main.bool(),
    bucket: readSingle(record, 0),
    bitmapBit: readSingle(record, 2),
    firstFree: readSingle(record, 4),
  };
}

function decodeSplitAllocatePage(record: DecodedRecord, main: BodyReader): HashSplitAllocatePageBody {
  const newBucket = main.u32();
  const oldBucketFlag = main.u16();
  const newBucketFlag = main.u16();
  const flags = main.u8();
  if ((flags & ~(XLH_SPLIT_META_UPDATE_MASKS | XLH_SPLIT_META_UPDATE_SPLITPOINT)) !== 0) {
    refuseBody('Hash', record, `the record has unknown flags ${flags}`);
  }
  const data = readBlock(record, 2);
  let masks: HashSplitAllocatePageBody['masks'];
  let splitpoint: HashSplitAllocatePageBody['splitpoint'];
  if (data !== undefined) {
    if ((flags & XLH_SPLIT_META_UPDATE_MASKS) !== 0) masks = { low: data.u32(), high: data.u32() };
    if ((flags & XLH_SPLIT_META_UPDATE_SPLITPOINT) !== 0) {
      splitpoint = { overflowPoint: data.u32(), overflowPages: data.u32() };
    }
    data.expectEnd();
  }
  return { kind: 'SPLIT_ALLOCATE_PAGE', newBucket, oldBucketFlag, newBucketFlag, flags, masks, splitpoint };
}

function decodeMovePageContents(record: DecodedRecord, main: BodyReader): HashMovePageContentsBody {
  const tupleCount = main.u16();
  return {
    kind: 'MOVE_PAGE_CONTENTS',
    tupleCount,
    isPrimaryBucketPage: main.bool(),
    moved: readMovedTuples(record, tupleCount),
    deleted: readOffsetNumbers(record, 2),
  };
}

function decodeSqueezePage(record: DecodedRecord, main: BodyReader): HashSqueezePageBody {
  const previousBlock = main.u32();
  const nextBlock = main.u32();
  const tupleCount = main.u16();
  return {
    kind: 'SQUEEZE_PAGE',
    previousBlock,
    nextBlock,
    tupleCount,
    isPrimaryBucketPage: main.bool(),
    isPreviousPage: main.bool(),
    moved: readMovedTuples(record, tupleCount),
    bitmapBit: readSingle(record, 5),
    firstFree: readSingle(record, 6),
  };
}

function decodeVacuumOnePage(main: BodyReader): HashVacuumOnePageBody {
  const snapshotConflictHorizon = main.u32();
  const count = main.u16();
  const isCatalogRelation = main.bool();
  main.skip(1);
  return {
    kind: 'VACUUM_ONE_PAGE',
    snapshotConflictHorizon,
    isCatalogRelation,
    deleted: main.u16Array(count),
  };
}

function decodeKind(record: DecodedRecord, main: BodyReader): HashBody {
  const kind = findKindName(kindNames, record.info);
  switch (kind) {
    case 'INIT_META_PAGE':
      return { kind, tupleCount: readDouble(main), procedure: main.u32(), fillFactor: main.u16() };
    case 'INIT_BITMAP_PAGE':
      return { kind, bitmapBytes: main.u16() };
    case 'INSERT':
      return decodeInsert(record, main);
    case 'ADD_OVFL_PAGE':
      return decodeAddOverflowPage(record, main);
    case 'SPLIT_ALLOCATE_PAGE':
      return decodeSplitAllocatePage(record, main);
    case 'SPLIT_COMPLETE':
      return { kind, oldBucketFlag: main.u16(), newBucketFlag: main.u16() };
    case 'MOVE_PAGE_CONTENTS':
      return decodeMovePageContents(record, main);
    case 'SQUEEZE_PAGE':
      return decodeSqueezePage(record, main);
    case 'DELETE':
      return {
        kind,
        clearDeadMarking: main.bool(),
        isPrimaryBucketPage: main.bool(),
        deleted: readOffsetNumbers(record, 1),
      };
    case 'SPLIT_PAGE':
    case 'SPLIT_CLEANUP':
      return { kind };
    case 'UPDATE_META_PAGE':
      return { kind, tupleCount: readDouble(main) };
    case 'VACUUM_ONE_PAGE':
      return decodeVacuumOnePage(main);
    default:
      return refuseKind('Hash', record);
  }
}

export const hashResourceManager: ResourceManager<HashBody> = {
  id: RM_HASH,
  name: 'Hash',
  kindName: (info) => findKindName(kindNames, info),
  kinds: [...kindNames.values()],
  decodeBody(record) {
    const main = BodyReader.mainData(record);
    const body = decodeKind(record, main);
    main.expectEnd();
    return body;
  },
};
