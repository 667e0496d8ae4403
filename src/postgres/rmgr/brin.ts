/** Records of BRIN indexes (access/brin_xlog.h, rmgrdesc/brindesc.c). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { RECORD_INFO_MASK } from '../wal/record-header.ts';
import { findKindName, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_BRIN } from './resource-manager.ts';

export const XLOG_BRIN_CREATE_INDEX = 0x00;
export const XLOG_BRIN_INSERT = 0x10;
export const XLOG_BRIN_UPDATE = 0x20;
export const XLOG_BRIN_SAMEPAGE_UPDATE = 0x30;
export const XLOG_BRIN_REVMAP_EXTEND = 0x40;
export const XLOG_BRIN_DESUMMARIZE = 0x50;
/** With INSERT and UPDATE: block 0 is made anew. */
export const XLOG_BRIN_INIT_PAGE = 0x80;

/** xl_brin_createidx. Block 0: the meta page. */
export const BRIN_CREATE_PAGES_PER_RANGE = 0;
export const BRIN_CREATE_VERSION = 4;
export const BRIN_CREATE_BYTES = 6;

/** xl_brin_insert. Blocks: 0 a regular page, whose data are the tuple, 1 a revmap page. */
export const BRIN_INSERT_HEAP_BLOCK = 0;
export const BRIN_INSERT_PAGES_PER_RANGE = 4;
export const BRIN_INSERT_OFFSET = 8;
export const BRIN_INSERT_BYTES = 10;

/** xl_brin_update: padding comes before its xl_brin_insert. Blocks like an insertion, and 2 the tuple's old page. */
export const BRIN_UPDATE_OLD_OFFSET = 0;
export const BRIN_UPDATE_INSERT = 4;
export const BRIN_UPDATE_BYTES: number = BRIN_UPDATE_INSERT + BRIN_INSERT_BYTES;

/** xl_brin_samepage_update. Block 0: a regular page, whose data are the new tuple. */
export const BRIN_SAMEPAGE_UPDATE_OFFSET = 0;
export const BRIN_SAMEPAGE_UPDATE_BYTES = 2;

/** xl_brin_revmap_extend. Blocks: 0 meta page, 1 the new revmap page, whose number is also `targetBlk`. */
export const BRIN_REVMAP_EXTEND_TARGET = 0;
export const BRIN_REVMAP_EXTEND_BYTES = 4;

/** xl_brin_desummarize. Blocks: 0 revmap page, 1 regular page. */
export const BRIN_DESUMMARIZE_PAGES_PER_RANGE = 0;
export const BRIN_DESUMMARIZE_HEAP_BLOCK = 4;
export const BRIN_DESUMMARIZE_OFFSET = 8;
export const BRIN_DESUMMARIZE_BYTES = 10;

export interface BrinCreateIndexBody {
  readonly kind: 'CREATE_INDEX';
  readonly pagesPerRange: number;
  readonly version: number;
}

export interface BrinInsertBody {
  readonly kind: 'INSERT' | 'INSERT+INIT';
  readonly heapBlock: number;
  readonly pagesPerRange: number;
  readonly offsetNumber: number;
  /** Undefined, here and below, where a full-page image has made it superfluous. */
  readonly tuple: Uint8Array | undefined;
}

export interface BrinUpdateBody {
  readonly kind: 'UPDATE' | 'UPDATE+INIT';
  readonly oldOffsetNumber: number;
  readonly heapBlock: number;
  readonly pagesPerRange: number;
  readonly offsetNumber: number;
  readonly tuple: Uint8Array | undefined;
}

export interface BrinSamepageUpdateBody {
  readonly kind: 'SAMEPAGE_UPDATE';
  readonly offsetNumber: number;
  readonly tuple: Uint8Array | undefined;
}

export interface BrinRevmapExtendBody {
  readonly kind: 'REVMAP_EXTEND';
  readonly targetBlock: number;
}

export interface BrinDesummarizeBody {
  readonly kind: 'DESUMMARIZE';
  readonly pagesPerRange: number;
  readonly heapBlock: number;
  readonly offsetNumber: number;
}

export type BrinBody =
  | BrinCreateIndexBody
  | BrinInsertBody
  | BrinUpdateBody
  | BrinSamepageUpdateBody
  | BrinRevmapExtendBody
  | BrinDesummarizeBody;

const kinds: ReadonlyMap<number, BrinBody['kind']> = new Map([
  [XLOG_BRIN_CREATE_INDEX, 'CREATE_INDEX'],
  [XLOG_BRIN_INSERT, 'INSERT'],
  [XLOG_BRIN_INSERT | XLOG_BRIN_INIT_PAGE, 'INSERT+INIT'],
  [XLOG_BRIN_UPDATE, 'UPDATE'],
  [XLOG_BRIN_UPDATE | XLOG_BRIN_INIT_PAGE, 'UPDATE+INIT'],
  [XLOG_BRIN_SAMEPAGE_UPDATE, 'SAMEPAGE_UPDATE'],
  [XLOG_BRIN_REVMAP_EXTEND, 'REVMAP_EXTEND'],
  [XLOG_BRIN_DESUMMARIZE, 'DESUMMARIZE'],
]);

/** The tuple that is all of block 0's data. */
function findTuple(record: DecodedRecord): Uint8Array | undefined {
  const data = BodyReader.findBlockData(record, 0);
  return data?.bytes(data.remaining);
}

function readInsert(record: DecodedRecord, kind: BrinInsertBody['kind']): BrinInsertBody {
  const main = BodyReader.mainData(record);
  const heapBlock = main.u32();
  const pagesPerRange = main.u32();
  const offsetNumber = main.u16();
  main.expectEnd();
  return { kind, heapBlock, pagesPerRange, offsetNumber, tuple: findTuple(record) };
}

function readUpdate(record: DecodedRecord, kind: BrinUpdateBody['kind']): BrinUpdateBody {
  const main = BodyReader.mainData(record);
  const oldOffsetNumber = main.u16();
  main.skip(BRIN_UPDATE_INSERT - main.consumed);
  const heapBlock = main.u32();
  const pagesPerRange = main.u32();
  const offsetNumber = main.u16();
  main.expectEnd();
  return { kind, oldOffsetNumber, heapBlock, pagesPerRange, offsetNumber, tuple: findTuple(record) };
}

function readSmallBody(record: DecodedRecord, kind: BrinBody['kind']): BrinBody {
  const main = BodyReader.mainData(record);
  let body: BrinBody;
  switch (kind) {
    case 'CREATE_INDEX':
      body = { kind, pagesPerRange: main.u32(), version: main.u16() };
      break;
    case 'SAMEPAGE_UPDATE':
      body = { kind, offsetNumber: main.u16(), tuple: findTuple(record) };
      break;
    case 'REVMAP_EXTEND':
      body = { kind, targetBlock: main.u32() };
      break;
    case 'DESUMMARIZE':
      body = { kind, pagesPerRange: main.u32(), heapBlock: main.u32(), offsetNumber: main.u16() };
      break;
    default:
      return refuseKind(brinResourceManager.name, record);
  }
  main.expectEnd();
  return body;
}

/** BRIN (brindesc.c, brin_identify). */
export const brinResourceManager: ResourceManager<BrinBody> = {
  id: RM_BRIN,
  name: 'BRIN',
  kinds: [...kinds.values()],
  kindName: (info) => findKindName(kinds, info),
  decodeBody(record) {
    const kind = kinds.get(record.info & ~RECORD_INFO_MASK);
    if (kind === undefined) return refuseKind(brinResourceManager.name, record);
    if (kind === 'INSERT' || kind === 'INSERT+INIT') return readInsert(record, kind);
    if (kind === 'UPDATE' || kind === 'UPDATE+INIT') return readUpdate(record, kind);
    return readSmallBody(record, kind);
  },
};
