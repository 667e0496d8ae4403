/** Records of GIN indexes (rmgrdesc/gindesc.c). */
import { POSTING_LIST_BYTES, POSTING_LIST_NBYTES, postingListSize } from '../page/gin-page.ts';
import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from '../page/index-tuple.ts';
import { ITEM_POINTER_BYTES } from '../page/item-pointer.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import type {
  GinBody,
  GinDeleteListPageBody,
  GinDeletePageBody,
  GinEntryChange,
  GinInsertBody,
  GinInternalChange,
  GinItemPointer,
  GinLeafChange,
  GinMetadata,
  GinSegmentAction,
  GinSplitBody,
  GinUpdateMetaPageBody,
} from './gin-body.ts';
import {
  GIN_DELETE_LISTPAGE_BYTES,
  GIN_DELETE_PAGE_RIGHT_LINK,
  GIN_INSERT_ENTRY_TUPLE,
  GIN_INSERT_ISDATA,
  GIN_INSERT_ISLEAF,
  GIN_INSERT_VALID_FLAGS,
  GIN_SEGMENT_ADDITEMS,
  GIN_SEGMENT_DELETE,
  GIN_SEGMENT_INSERT,
  GIN_SEGMENT_REPLACE,
  GIN_SPLIT_BYTES,
  GIN_SPLIT_ROOT,
  GIN_SPLIT_VALID_FLAGS,
  GIN_UPDATE_META_BYTES,
  GIN_UPDATE_META_METADATA,
  XLOG_GIN_CREATE_PTREE,
  XLOG_GIN_DELETE_LISTPAGE,
  XLOG_GIN_DELETE_PAGE,
  XLOG_GIN_INSERT,
  XLOG_GIN_INSERT_LISTPAGE,
  XLOG_GIN_SPLIT,
  XLOG_GIN_UPDATE_META_PAGE,
  XLOG_GIN_VACUUM_DATA_LEAF_PAGE,
  XLOG_GIN_VACUUM_PAGE,
} from './gin-layout.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_GIN, refuseBody } from './resource-manager.ts';

const kinds: ReadonlyMap<number, GinBody['kind']> = new Map([
  [XLOG_GIN_CREATE_PTREE, 'CREATE_PTREE'],
  [XLOG_GIN_INSERT, 'INSERT'],
  [XLOG_GIN_SPLIT, 'SPLIT'],
  [XLOG_GIN_VACUUM_PAGE, 'VACUUM_PAGE'],
  [XLOG_GIN_VACUUM_DATA_LEAF_PAGE, 'VACUUM_DATA_LEAF_PAGE'],
  [XLOG_GIN_DELETE_PAGE, 'DELETE_PAGE'],
  [XLOG_GIN_UPDATE_META_PAGE, 'UPDATE_META_PAGE'],
  [XLOG_GIN_INSERT_LISTPAGE, 'INSERT_LISTPAGE'],
  [XLOG_GIN_DELETE_LISTPAGE, 'DELETE_LISTPAGE'],
]);

/** A block number as two half-words (BlockIdData). */
function readBlockId(reader: BodyReader): number {
  return reader.u16() * 0x1_0000 + reader.u16();
}

function readItemPointer(reader: BodyReader): GinItemPointer {
  return { block: readBlockId(reader), offsetNumber: reader.u16() };
}

/** `count` index tuples that make up all of the data of a block reference. */
function readTuples(record: DecodedRecord, blockId: number, count: number): Uint8Array[] {
  const reader = BodyReader.blockData(record, blockId);
  const tuples: Uint8Array[] = [];
  // Each tuple takes bytes, so the data bound the loop, whatever the count.
  for (let index = 0; index < count; index++)
    tuples.push(reader.sizedBytes(INDEX_TUPLE_HEADER_BYTES, indexTupleSize));
  reader.expectEnd();
  return tuples;
}

function readPostingList(reader: BodyReader): Uint8Array {
  return reader.sizedBytes(POSTING_LIST_BYTES, (view, offset) =>
    postingListSize(view.getUint16(offset + POSTING_LIST_NBYTES, true)),
  );
}

function readSegmentAction(record: DecodedRecord, reader: BodyReader): GinSegmentAction {
  const segment = reader.u8();
  const type = reader.u8();
  const nothing = { postingList: undefined, addedItems: undefined };
  switch (type) {
    case GIN_SEGMENT_DELETE:
      return { segment, action: 'delete', ...nothing };
    case GIN_SEGMENT_INSERT:
      return { segment, action: 'insert', ...nothing, postingList: readPostingList(reader) };
    case GIN_SEGMENT_REPLACE:
      return { segment, action: 'replace', ...nothing, postingList: readPostingList(reader) };
    case GIN_SEGMENT_ADDITEMS: {
      const addedItems = reader.items(reader.u16(), ITEM_POINTER_BYTES, () => readItemPointer(reader));
      return { segment, action: 'add items', ...nothing, addedItems };
    }
    default:
      return refuseBody('Gin', record, `a posting tree's leaf knows no action ${type}`);
  }
}

function readLeafChange(record: DecodedRecord, reader: BodyReader): GinLeafChange {
  const count = reader.u16();
  const actions: GinSegmentAction[] = [];
  for (let index = 0; index < count; index++) actions.push(readSegmentAction(record, reader));
  reader.expectEnd();
  return { type: 'leaf', actions };
}

function readInternalChange(reader: BodyReader): GinInternalChange {
  const offsetNumber = reader.u16();
  const childBlock = readBlockId(reader);
  const key = readItemPointer(reader);
  reader.expectEnd();
  return { type: 'internal', offsetNumber, childBlock, key };
}

function readEntryChange(reader: BodyReader): GinEntryChange {
  const offsetNumber = reader.u16();
  const isDelete = reader.bool();
  reader.skip(GIN_INSERT_ENTRY_TUPLE - reader.consumed);
  const tuple = reader.sizedBytes(INDEX_TUPLE_HEADER_BYTES, indexTupleSize);
  reader.expectEnd();
  return { type: 'entry', offsetNumber, isDelete, tuple };
}

function readInsert(record: DecodedRecord): GinInsertBody {
  const main = BodyReader.mainData(record);
  const flags = main.u16();
  if ((flags & ~GIN_INSERT_VALID_FLAGS) !== 0)
    refuseBody('Gin', record, `an insertion has the unknown flags ${flags}`);
  const isData = (flags & GIN_INSERT_ISDATA) !== 0;
  const isLeaf = (flags & GIN_INSERT_ISLEAF) !== 0;
  const children = isLeaf ? undefined : { left: readBlockId(main), right: readBlockId(main) };
  main.expectEnd();
  const data = BodyReader.findBlockData(record, 0);
  let change: GinInsertBody['change'];
  if (data !== undefined) {
    if (!isData) change = readEntryChange(data);
    else change = isLeaf ? readLeafChange(record, data) : readInternalChange(data);
  }
  return { kind: 'INSERT', isData, isLeaf, children, change };
}

function readRelation(reader: BodyReader): { tablespace: number; database: number; relation: number } {
  return { tablespace: reader.u32(), database: reader.u32(), relation: reader.u32() };
}

function readSplit(record: DecodedRecord): GinSplitBody {
  const main = BodyReader.mainData(record);
  const relation = readRelation(main);
  const rightLink = main.u32();
  const leftChild = main.u32();
  const rightChild = main.u32();
  const flags = main.u16();
  main.skip(GIN_SPLIT_BYTES - main.consumed);
  main.expectEnd();
  if ((flags & ~GIN_SPLIT_VALID_FLAGS) !== 0)
    refuseBody('Gin', record, `a split has the unknown flags ${flags}`);
  const isData = (flags & GIN_INSERT_ISDATA) !== 0;
  const isLeaf = (flags & GIN_INSERT_ISLEAF) !== 0;
  const isRootSplit = (flags & GIN_SPLIT_ROOT) !== 0;
  return { kind: 'SPLIT', relation, rightLink, leftChild, rightChild, isData, isLeaf, isRootSplit };
}

function readCreatePostingTree(record: DecodedRecord): GinBody {
  const main = BodyReader.mainData(record);
  const postingLists = main.bytes(main.u32());
  main.expectEnd();
  return { kind: 'CREATE_PTREE', postingLists };
}

function readVacuumPage(record: DecodedRecord): GinBody {
  BodyReader.mainData(record).expectEnd();
  return { kind: 'VACUUM_PAGE' };
}

function readVacuumDataLeafPage(record: DecodedRecord): GinBody {
  BodyReader.mainData(record).expectEnd();
  const data = BodyReader.findBlockData(record, 0);
  return { kind: 'VACUUM_DATA_LEAF_PAGE', change: data && readLeafChange(record, data) };
}

function readDeletePage(record: DecodedRecord): GinDeletePageBody {
  const main = BodyReader.mainData(record);
  const parentOffset = main.u16();
  main.skip(GIN_DELETE_PAGE_RIGHT_LINK - main.consumed);
  const rightLink = main.u32();
  const deleteXid = main.u32();
  main.expectEnd();
  return { kind: 'DELETE_PAGE', parentOffset, rightLink, deleteXid };
}

/** GinMetaPageData, padding and all. */
function readMetadata(reader: BodyReader): GinMetadata {
  const head = reader.u32();
  const tail = reader.u32();
  const tailFreeBytes = reader.u32();
  const pendingPages = reader.u32();
  const pendingHeapTuples = reader.i64();
  const totalPages = reader.u32();
  const entryPages = reader.u32();
  const dataPages = reader.u32();
  reader.skip(4);
  const entries = reader.i64();
  const version = reader.i32();
  reader.skip(4);
  return {
    head,
    tail,
    tailFreeBytes,
    pendingPages,
    pendingHeapTuples,
    totalPages,
    entryPages,
    dataPages,
    entries,
    version,
  };
}

function readUpdateMetaPage(record: DecodedRecord): GinUpdateMetaPageBody {
  const main = BodyReader.mainData(record);
  const relation = readRelation(main);
  main.skip(GIN_UPDATE_META_METADATA - main.consumed);
  const metadata = readMetadata(main);
  const previousTail = main.u32();
  const newRightLink = main.u32();
  const tupleCount = main.i32();
  main.skip(GIN_UPDATE_META_BYTES - main.consumed);
  main.expectEnd();
  if (tupleCount < 0) refuseBody('Gin', record, `the list grows by ${tupleCount} tuples`);
  const hasTuples = tupleCount > 0 && BodyReader.findBlockData(record, 1) !== undefined;
  const tuples = hasTuples ? readTuples(record, 1, tupleCount) : undefined;
  return { kind: 'UPDATE_META_PAGE', relation, metadata, previousTail, newRightLink, tupleCount, tuples };
}

function readInsertListPage(record: DecodedRecord): GinBody {
  const main = BodyReader.mainData(record);
  const rightLink = main.u32();
  const count = main.i32();
  main.expectEnd();
  if (count < 0) refuseBody('Gin', record, `a list page has ${count} tuples`);
  return { kind: 'INSERT_LISTPAGE', rightLink, tuples: readTuples(record, 0, count) };
}

function readDeleteListPage(record: DecodedRecord): GinDeleteListPageBody {
  const main = BodyReader.mainData(record);
  const metadata = readMetadata(main);
  const deletedCount = main.i32();
  main.skip(GIN_DELETE_LISTPAGE_BYTES - main.consumed);
  main.expectEnd();
  if (deletedCount < 0) refuseBody('Gin', record, `${deletedCount} list pages are deleted`);
  return { kind: 'DELETE_LISTPAGE', metadata, deletedCount };
}

/** GIN (gindesc.c, gin_identify). */
export const ginResourceManager: ResourceManager<GinBody> = {
  id: RM_GIN,
  name: 'Gin',
  kinds: [...kinds.values()],
  kindName: (info) => findKindName(kinds, info),
  decodeBody(record) {
    switch (record.info & ~RECORD_INFO_MASK) {
      case XLOG_GIN_CREATE_PTREE:
        return readCreatePostingTree(record);
      case XLOG_GIN_INSERT:
        return readInsert(record);
      case XLOG_GIN_SPLIT:
        return readSplit(record);
      case XLOG_GIN_VACUUM_PAGE:
        return readVacuumPage(record);
      case XLOG_GIN_VACUUM_DATA_LEAF_PAGE:
        return readVacuumDataLeafPage(record);
      case XLOG_GIN_DELETE_PAGE:
        return readDeletePage(record);
      case XLOG_GIN_UPDATE_META_PAGE:
        return readUpdateMetaPage(record);
      case XLOG_GIN_INSERT_LISTPAGE:
        return readInsertListPage(record);
      case XLOG_GIN_DELETE_LISTPAGE:
        return readDeleteListPage(record);
      default:
        return refuseKind(ginResourceManager.name, record);
    }
  },
};
