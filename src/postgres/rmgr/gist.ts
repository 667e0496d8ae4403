import { INDEX_TUPLE_HEADER_BYTES, indexTupleSize } from '../page/index-tuple.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, type KindNames, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_GIST, refuseBody } from './resource-manager.ts';

/** Record kinds of GiST indexes (access/gistxlog.h). */
export const XLOG_GIST_PAGE_UPDATE = 0x00;
export const XLOG_GIST_DELETE = 0x10;
export const XLOG_GIST_PAGE_REUSE = 0x20;
export const XLOG_GIST_PAGE_SPLIT = 0x30;
export const XLOG_GIST_PAGE_DELETE = 0x60;
export const XLOG_GIST_ASSIGN_LSN = 0x70;

/** gistxlogPageUpdate. Block 0's data: ntodelete offset numbers, then ntoinsert index tuples. */
export const GIST_PAGE_UPDATE_DELETE_COUNT = 0;
export const GIST_PAGE_UPDATE_INSERT_COUNT = 2;
export const GIST_PAGE_UPDATE_BYTES: number = 2 + 2;

/** gistxlogDelete: the fixed part up to its offset numbers (SizeOfGistxlogDelete). */
export const GIST_DELETE_CONFLICT_HORIZON = 0;
export const GIST_DELETE_COUNT = 4;
export const GIST_DELETE_IS_CATALOG = 6;
/** A byte of padding comes before the offset numbers. */
export const GIST_DELETE_OFFSETS: number = 4 + 2 + 1 + 1;

/** gistxlogPageSplit, eight-aligned. Data of block 1 and above: an int that counts the index tuples after it. */
export const GIST_PAGE_SPLIT_ORIGINAL_RIGHT_LINK = 0;
export const GIST_PAGE_SPLIT_ORIGINAL_NSN = 8;
export const GIST_PAGE_SPLIT_ORIGINAL_LEAF = 16;
export const GIST_PAGE_SPLIT_PAGE_COUNT = 18;
export const GIST_PAGE_SPLIT_MARK_FOLLOW_RIGHT = 20;
export const GIST_PAGE_SPLIT_BYTES = 24;
/** First block reference of a page that the split fills; block 0 is the left child, if there is one. */
export const GIST_PAGE_SPLIT_FIRST_BLOCK = 1;

/** gistxlogPageDelete (SizeOfGistxlogPageDelete). */
export const GIST_PAGE_DELETE_XID = 0;
export const GIST_PAGE_DELETE_DOWNLINK = 8;
export const GIST_PAGE_DELETE_BYTES: number = 8 + 2;

export interface GistPageUpdateBody {
  readonly kind: 'PAGE_UPDATE';
  readonly deleteCount: number;
  readonly insertCount: number;
  /** Undefined where a full-page image of block 0 stands in for the data. */
  readonly change:
    | { readonly deleted: readonly number[]; readonly inserted: readonly Uint8Array[] }
    | undefined;
  /** The record also completes the split of the page in block 1. */
  readonly completesSplit: boolean;
}

export interface GistDeleteBody {
  readonly kind: 'DELETE';
  readonly snapshotConflictHorizon: number;
  readonly isCatalogRelation: boolean;
  readonly deleted: readonly number[];
}

export interface GistPageReuseBody {
  readonly kind: 'PAGE_REUSE';
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  readonly blockNumber: number;
  /** A full transaction id, epoch and all. */
  readonly snapshotConflictHorizon: bigint;
  readonly isCatalogRelation: boolean;
}

export interface GistPageSplitBody {
  readonly kind: 'PAGE_SPLIT';
  readonly originalRightLink: number;
  readonly originalNsn: bigint;
  readonly originalIsLeaf: boolean;
  readonly markFollowRight: boolean;
  /** The index tuples of each page, in the order of the block references from 1 on. */
  readonly pages: readonly (readonly Uint8Array[])[];
  /** The record also completes the split of the page in block 0. */
  readonly completesSplit: boolean;
}

export interface GistPageDeleteBody {
  readonly kind: 'PAGE_DELETE';
  /** A full transaction id, epoch and all. */
  readonly deleteXid: bigint;
  readonly downlinkOffset: number;
}

/** Nothing but a record that takes up an LSN. */
export interface GistAssignLsnBody {
  readonly kind: 'ASSIGN_LSN';
}

export type GistBody =
  | GistPageUpdateBody
  | GistDeleteBody
  | GistPageReuseBody
  | GistPageSplitBody
  | GistPageDeleteBody
  | GistAssignLsnBody;

const KINDS = new Map([
  [XLOG_GIST_PAGE_UPDATE, 'PAGE_UPDATE'],
  [XLOG_GIST_DELETE, 'DELETE'],
  [XLOG_GIST_PAGE_REUSE, 'PAGE_REUSE'],
  [XLOG_GIST_PAGE_SPLIT, 'PAGE_SPLIT'],
  [XLOG_GIST_PAGE_DELETE, 'PAGE_DELETE'],
  [XLOG_GIST_ASSIGN_LSN, 'ASSIGN_LSN'],
]) satisfies KindNames;

/** `count` index tuples that take up all of the data that is left. */
function readTuples(record: DecodedRecord, reader: BodyReader, count: number): Uint8Array[] {
  const tuples: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (tuples.length === count) refuseBody('Gist', record, `more than the announced ${count} index tuples`);
    tuples.push(reader.sizedBytes(INDEX_TUPLE_HEADER_BYTES, indexTupleSize));
  }
  if (tuples.length !== count)
    refuseBody('Gist', record, `${tuples.length} index tuples instead of ${count}`);
  return tuples;
}

function readPageUpdate(record: DecodedRecord): GistPageUpdateBody {
  const main = BodyReader.mainData(record);
  const deleteCount = main.u16();
  const insertCount = main.u16();
  main.expectEnd();
  const data = BodyReader.findBlockData(record, 0);
  let change: GistPageUpdateBody['change'];
  if (data !== undefined) {
    const deleted = data.u16Array(deleteCount);
    change = { deleted, inserted: readTuples(record, data, insertCount) };
  }
  return { kind: 'PAGE_UPDATE', deleteCount, insertCount, change, completesSplit: record.hasBlock(1) };
}

function readDelete(record: DecodedRecord): GistDeleteBody {
  const main = BodyReader.mainData(record);
  const snapshotConflictHorizon = main.u32();
  const count = main.u16();
  const isCatalogRelation = main.bool();
  main.skip(GIST_DELETE_OFFSETS - main.consumed);
  const deleted = main.u16Array(count);
  main.expectEnd();
  return { kind: 'DELETE', snapshotConflictHorizon, isCatalogRelation, deleted };
}

function readPageReuse(record: DecodedRecord): GistPageReuseBody {
  const main = BodyReader.mainData(record);
  const body: GistPageReuseBody = {
    kind: 'PAGE_REUSE',
    tablespace: main.u32(),
    database: main.u32(),
    relation: main.u32(),
    blockNumber: main.u32(),
    snapshotConflictHorizon: main.u64(),
    isCatalogRelation: main.bool(),
  };
  main.expectEnd();
  return body;
}

function readPageSplit(record: DecodedRecord): GistPageSplitBody {
  const main = BodyReader.mainData(record);
  const originalRightLink = main.u32();
  main.skip(GIST_PAGE_SPLIT_ORIGINAL_NSN - main.consumed);
  const originalNsn = main.u64();
  const originalIsLeaf = main.bool();
  main.skip(GIST_PAGE_SPLIT_PAGE_COUNT - main.consumed);
  const pageCount = main.u16();
  const markFollowRight = main.bool();
  main.skip(GIST_PAGE_SPLIT_BYTES - main.consumed);
  main.expectEnd();
  const pages: Uint8Array[][] = [];
  for (let page = 0; page < pageCount; page++) {
    const blockId = GIST_PAGE_SPLIT_FIRST_BLOCK + page;
    if (!record.hasBlock(blockId))
      refuseBody('Gist', record, `a split into ${pageCount} pages without block ${blockId}`);
    const data = BodyReader.blockData(record, blockId);
    const count = data.i32();
    pages.push(readTuples(record, data, count));
  }
  const completesSplit = record.hasBlock(0);
  return {
    kind: 'PAGE_SPLIT',
    originalRightLink,
    originalNsn,
    originalIsLeaf,
    markFollowRight,
    pages,
    completesSplit,
  };
}

function readPageDelete(record: DecodedRecord): GistPageDeleteBody {
  const main = BodyReader.mainData(record);
  const body: GistPageDeleteBody = { kind: 'PAGE_DELETE', deleteXid: main.u64(), downlinkOffset: main.u16() };
  main.expectEnd();
  return body;
}

/** gistXLogAssignLSN writes an int 0, since a record cannot be empty. */
function readAssignLsn(record: DecodedRecord): GistAssignLsnBody {
  const main = BodyReader.mainData(record);
  main.skip(4);
  main.expectEnd();
  return { kind: 'ASSIGN_LSN' };
}

/** GiST (gistxlog.h, gistdesc.c). */
export const gistResourceManager: ResourceManager<GistBody> = {
  id: RM_GIST,
  name: 'Gist',
  kinds: [...KINDS.values()],
  kindName: (info) => findKindName(KINDS, info),
  decodeBody(record) {
    switch (record.info & ~RECORD_INFO_MASK) {
      case XLOG_GIST_PAGE_UPDATE:
        return readPageUpdate(record);
      case XLOG_GIST_DELETE:
        return readDelete(record);
      case XLOG_GIST_PAGE_REUSE:
        return readPageReuse(record);
      case XLOG_GIST_PAGE_SPLIT:
        return readPageSplit(record);
      case XLOG_GIST_PAGE_DELETE:
        return readPageDelete(record);
      case XLOG_GIST_ASSIGN_LSN:
        return readAssignLsn(record);
      default:
        return refuseKind('Gist', record);
    }
  },
};
