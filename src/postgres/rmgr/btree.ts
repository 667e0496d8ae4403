/** Records of btree indexes (rmgrdesc/nbtdesc.c). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import type {
  BtreeBody,
  BtreeDedupBody,
  BtreeDeleteBody,
  BtreeDeletions,
  BtreeInsertBody,
  BtreeMarkPageHalfdeadBody,
  BtreeMetadata,
  BtreeNewrootBody,
  BtreeReusePageBody,
  BtreeSplitBody,
  BtreeUnlinkPageBody,
} from './btree-body.ts';
import {
  XLOG_BTREE_DEDUP,
  XLOG_BTREE_DELETE,
  XLOG_BTREE_INSERT_LEAF,
  XLOG_BTREE_INSERT_META,
  XLOG_BTREE_INSERT_POST,
  XLOG_BTREE_INSERT_UPPER,
  XLOG_BTREE_MARK_PAGE_HALFDEAD,
  XLOG_BTREE_META_CLEANUP,
  XLOG_BTREE_NEWROOT,
  XLOG_BTREE_REUSE_PAGE,
  XLOG_BTREE_SPLIT_L,
  XLOG_BTREE_SPLIT_R,
  XLOG_BTREE_UNLINK_PAGE,
  XLOG_BTREE_UNLINK_PAGE_META,
  XLOG_BTREE_VACUUM,
} from './btree-layout.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_BTREE } from './resource-manager.ts';

const kindNames = new Map<number, BtreeBody['kind']>([
  [XLOG_BTREE_INSERT_LEAF, 'INSERT_LEAF'],
  [XLOG_BTREE_INSERT_UPPER, 'INSERT_UPPER'],
  [XLOG_BTREE_INSERT_META, 'INSERT_META'],
  [XLOG_BTREE_SPLIT_L, 'SPLIT_L'],
  [XLOG_BTREE_SPLIT_R, 'SPLIT_R'],
  [XLOG_BTREE_INSERT_POST, 'INSERT_POST'],
  [XLOG_BTREE_DEDUP, 'DEDUP'],
  [XLOG_BTREE_DELETE, 'DELETE'],
  [XLOG_BTREE_UNLINK_PAGE, 'UNLINK_PAGE'],
  [XLOG_BTREE_UNLINK_PAGE_META, 'UNLINK_PAGE_META'],
  [XLOG_BTREE_NEWROOT, 'NEWROOT'],
  [XLOG_BTREE_MARK_PAGE_HALFDEAD, 'MARK_PAGE_HALFDEAD'],
  [XLOG_BTREE_VACUUM, 'VACUUM'],
  [XLOG_BTREE_REUSE_PAGE, 'REUSE_PAGE'],
  [XLOG_BTREE_META_CLEANUP, 'META_CLEANUP'],
]);

function readRest(record: DecodedRecord, blockId: number): Uint8Array | undefined {
  const reader = BodyReader.findBlockData(record, blockId);
  return reader?.bytes(reader.remaining);
}

function readMetadata(record: DecodedRecord, blockId: number): BtreeMetadata | undefined {
  const reader = BodyReader.findBlockData(record, blockId);
  if (reader === undefined) return undefined;
  const metadata: BtreeMetadata = {
    version: reader.u32(),
    root: reader.u32(),
    level: reader.u32(),
    fastRoot: reader.u32(),
    fastLevel: reader.u32(),
    lastCleanupDeletedPages: reader.u32(),
    allEqualImage: reader.bool(),
  };
  reader.skip(3);
  reader.expectEnd();
  return metadata;
}

function decodeInsert(
  record: DecodedRecord,
  main: BodyReader,
  kind: BtreeInsertBody['kind'],
): BtreeInsertBody {
  const offsetNumber = main.u16();
  const data = BodyReader.findBlockData(record, 0);
  return {
    kind,
    offsetNumber,
    postingOffset: kind === 'INSERT_POST' ? data?.u16() : undefined,
    tuple: data?.bytes(data.remaining),
    metadata: kind === 'INSERT_META' ? readMetadata(record, 2) : undefined,
  };
}

function decodeSplit(record: DecodedRecord, main: BodyReader, kind: BtreeSplitBody['kind']): BtreeSplitBody {
  return {
    kind,
    level: main.u32(),
    firstRightOffset: main.u16(),
    newItemOffset: main.u16(),
    postingOffset: main.u16(),
    leftTuples: readRest(record, 0),
    rightTuples: readRest(record, 1),
  };
}

function decodeDedup(record: DecodedRecord, main: BodyReader): BtreeDedupBody {
  const intervalCount = main.u16();
  const data = BodyReader.findBlockData(record, 0);
  if (data === undefined) return { kind: 'DEDUP', intervalCount, intervals: undefined };
  const values = data.u16Array(intervalCount * 2);
  data.expectEnd();
  const intervals = Array.from({ length: intervalCount }, (_, index) => ({
    baseOffset: values[index * 2] as number,
    itemCount: values[index * 2 + 1] as number,
  }));
  return { kind: 'DEDUP', intervalCount, intervals };
}

function decodeDeletions(record: DecodedRecord, deletedCount: number, updatedCount: number): BtreeDeletions {
  const data = BodyReader.findBlockData(record, 0);
  if (data === undefined) return { deletedCount, updatedCount, deleted: undefined, updated: undefined };
  const deleted = data.u16Array(deletedCount);
  const updated = data.u16Array(updatedCount).map((offsetNumber) => ({
    offsetNumber,
    deletedTids: data.u16Array(data.u16()),
  }));
  data.expectEnd();
  return { deletedCount, updatedCount, deleted, updated };
}

function decodeDelete(record: DecodedRecord, main: BodyReader): BtreeDeleteBody {
  const snapshotConflictHorizon = main.u32();
  const deletions = decodeDeletions(record, main.u16(), main.u16());
  return { kind: 'DELETE', snapshotConflictHorizon, isCatalogRelation: main.bool(), ...deletions };
}

function decodeMarkPageHalfdead(main: BodyReader): BtreeMarkPageHalfdeadBody {
  const parentOffset = main.u16();
  main.skip(2);
  return {
    kind: 'MARK_PAGE_HALFDEAD',
    parentOffset,
    leafBlock: main.u32(),
    leftBlock: main.u32(),
    rightBlock: main.u32(),
    topParent: main.u32(),
  };
}

function decodeUnlinkPage(
  record: DecodedRecord,
  main: BodyReader,
  kind: BtreeUnlinkPageBody['kind'],
): BtreeUnlinkPageBody {
  const leftSibling = main.u32();
  const rightSibling = main.u32();
  const level = main.u32();
  main.skip(4);
  return {
    kind,
    leftSibling,
    rightSibling,
    level,
    safeXid: main.u64(),
    leafLeftSibling: main.u32(),
    leafRightSibling: main.u32(),
    leafTopParent: main.u32(),
    metadata: kind === 'UNLINK_PAGE_META' ? readMetadata(record, 4) : undefined,
  };
}

function decodeNewroot(record: DecodedRecord, main: BodyReader): BtreeNewrootBody {
  return {
    kind: 'NEWROOT',
    rootBlock: main.u32(),
    level: main.u32(),
    tuples: readRest(record, 0),
    metadata: readMetadata(record, 2),
  };
}

function decodeReusePage(main: BodyReader): BtreeReusePageBody {
  return {
    kind: 'REUSE_PAGE',
    relation: { tablespace: main.u32(), database: main.u32(), relation: main.u32() },
    block: main.u32(),
    snapshotConflictHorizon: main.u64(),
    isCatalogRelation: main.bool(),
  };
}

function decodeKind(record: DecodedRecord, main: BodyReader): BtreeBody {
  const kind = findKindName(kindNames, record.info);
  switch (kind) {
    case 'INSERT_LEAF':
    case 'INSERT_UPPER':
    case 'INSERT_META':
    case 'INSERT_POST':
      return decodeInsert(record, main, kind);
    case 'SPLIT_L':
    case 'SPLIT_R':
      return decodeSplit(record, main, kind);
    case 'DEDUP':
      return decodeDedup(record, main);
    case 'VACUUM':
      return { kind, ...decodeDeletions(record, main.u16(), main.u16()) };
    case 'DELETE':
      return decodeDelete(record, main);
    case 'MARK_PAGE_HALFDEAD':
      return decodeMarkPageHalfdead(main);
    case 'UNLINK_PAGE':
    case 'UNLINK_PAGE_META':
      return decodeUnlinkPage(record, main, kind);
    case 'NEWROOT':
      return decodeNewroot(record, main);
    case 'REUSE_PAGE':
      return decodeReusePage(main);
    case 'META_CLEANUP':
      return { kind, metadata: readMetadata(record, 0) };
    default:
      return refuseKind('Btree', record);
  }
}

export const btreeResourceManager: ResourceManager<BtreeBody> = {
  id: RM_BTREE,
  name: 'Btree',
  kindName: (info) => findKindName(kindNames, info),
  kinds: [...kindNames.values()],
  decodeBody(record) {
    const main = BodyReader.mainData(record);
    const body = decodeKind(record, main);
    main.expectEnd();
    return body;
  },
};
