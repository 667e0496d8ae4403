/** Records of the resource manager Heap (access/heapam_xlog.h, rmgrdesc/heapdesc.c). */
import type { DecodedRecord } from '../wal/decoded-record.ts';
import {
  HEAP_BLKREF_HEAP,
  HEAP_TRUNCATE_RELATIONS,
  HEAP_UPDATE_BLKREF_HEAP_NEW,
  XLH_DELETE_CONTAINS_OLD,
  XLH_UPDATE_CONTAINS_OLD,
  XLH_UPDATE_PREFIX_FROM_OLD,
  XLH_UPDATE_SUFFIX_FROM_OLD,
  XLOG_HEAP_CONFIRM,
  XLOG_HEAP_DELETE,
  XLOG_HEAP_HOT_UPDATE,
  XLOG_HEAP_INIT_PAGE,
  XLOG_HEAP_INPLACE,
  XLOG_HEAP_INSERT,
  XLOG_HEAP_LOCK,
  XLOG_HEAP_TRUNCATE,
  XLOG_HEAP_UPDATE,
} from './heap-layout.ts';
import { findKindName, type KindNames, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_HEAP } from './resource-manager.ts';

/** A tuple as WAL has it: without what redo knows anyway. */
export interface HeapTupleBody {
  readonly infomask2: number;
  readonly infomask: number;
  readonly hoff: number;
  /** Null bitmap, padding and data; without prefix and suffix where these come from the old tuple. */
  readonly data: Uint8Array;
}

export interface HeapInsertBody {
  readonly kind: 'INSERT' | 'INSERT+INIT';
  readonly offsetNumber: number;
  readonly flags: number;
  /** Absent where a full-page image makes it unnecessary. */
  readonly tuple: HeapTupleBody | undefined;
}

export interface HeapDeleteBody {
  readonly kind: 'DELETE';
  readonly xmax: number;
  readonly offsetNumber: number;
  readonly infobits: number;
  readonly flags: number;
  /** The old tuple or its replica identity, for logical decoding. */
  readonly oldTuple: HeapTupleBody | undefined;
}

export interface HeapUpdateBody {
  readonly kind: 'UPDATE' | 'UPDATE+INIT' | 'HOT_UPDATE' | 'HOT_UPDATE+INIT';
  readonly oldXmax: number;
  readonly oldOffsetNumber: number;
  readonly oldInfobits: number;
  readonly flags: number;
  readonly newXmax: number;
  readonly newOffsetNumber: number;
  /** The old tuple or its replica identity, for logical decoding. */
  readonly oldTuple: HeapTupleBody | undefined;
  /** Absent where a full-page image makes it unnecessary. */
  readonly newTuple: HeapTupleBody | undefined;
  readonly prefixLength: number;
  readonly suffixLength: number;
}

export interface HeapTruncateBody {
  readonly kind: 'TRUNCATE';
  readonly database: number;
  readonly flags: number;
  /** OIDs (not file numbers) of the truncated relations, then those of sequences to be restarted. */
  readonly relations: readonly number[];
}

export interface HeapConfirmBody {
  readonly kind: 'HEAP_CONFIRM';
  readonly offsetNumber: number;
}

/** xl_heap_lock and xl_heap_lock_updated, which have the same fields. */
export interface HeapLockFields {
  readonly xmax: number;
  readonly offsetNumber: number;
  readonly infobits: number;
  readonly flags: number;
}

export interface HeapLockBody extends HeapLockFields {
  readonly kind: 'LOCK';
}

export interface HeapInplaceBody {
  readonly kind: 'INPLACE';
  readonly offsetNumber: number;
  /** The tuple's new data, as long as the old; absent where a full-page image makes it unnecessary. */
  readonly data: Uint8Array | undefined;
}

export type HeapBody =
  | HeapInsertBody
  | HeapDeleteBody
  | HeapUpdateBody
  | HeapTruncateBody
  | HeapConfirmBody
  | HeapLockBody
  | HeapInplaceBody;

const KINDS = new Map([
  [XLOG_HEAP_INSERT, 'INSERT'],
  [XLOG_HEAP_INSERT | XLOG_HEAP_INIT_PAGE, 'INSERT+INIT'],
  [XLOG_HEAP_DELETE, 'DELETE'],
  [XLOG_HEAP_UPDATE, 'UPDATE'],
  [XLOG_HEAP_UPDATE | XLOG_HEAP_INIT_PAGE, 'UPDATE+INIT'],
  [XLOG_HEAP_TRUNCATE, 'TRUNCATE'],
  [XLOG_HEAP_HOT_UPDATE, 'HOT_UPDATE'],
  [XLOG_HEAP_HOT_UPDATE | XLOG_HEAP_INIT_PAGE, 'HOT_UPDATE+INIT'],
  [XLOG_HEAP_CONFIRM, 'HEAP_CONFIRM'],
  [XLOG_HEAP_LOCK, 'LOCK'],
  [XLOG_HEAP_INPLACE, 'INPLACE'],
]) satisfies KindNames;

/** An xl_heap_header and a tuple's data: so many bytes, or all that the reader has. */
export function readHeapTuple(reader: BodyReader, dataLength?: number): HeapTupleBody {
  return {
    infomask2: reader.u16(),
    infomask: reader.u16(),
    hoff: reader.u8(),
    data: reader.bytes(dataLength ?? reader.remaining),
  };
}

function readOptionalTuple(reader: BodyReader, present: boolean): HeapTupleBody | undefined {
  if (present) return readHeapTuple(reader);
  reader.expectEnd();
  return undefined;
}

function decodeInsert(record: DecodedRecord, kind: HeapInsertBody['kind']): HeapInsertBody {
  const main = BodyReader.mainData(record);
  const offsetNumber = main.u16();
  const flags = main.u8();
  main.expectEnd();
  const block = BodyReader.blockData(record, HEAP_BLKREF_HEAP);
  return { kind, offsetNumber, flags, tuple: readOptionalTuple(block, block.remaining > 0) };
}

function decodeDelete(record: DecodedRecord): HeapDeleteBody {
  const main = BodyReader.mainData(record);
  const xmax = main.u32();
  const offsetNumber = main.u16();
  const infobits = main.u8();
  const flags = main.u8();
  const oldTuple = readOptionalTuple(main, (flags & XLH_DELETE_CONTAINS_OLD) !== 0);
  return { kind: 'DELETE', xmax, offsetNumber, infobits, flags, oldTuple };
}

function decodeUpdate(record: DecodedRecord, kind: HeapUpdateBody['kind']): HeapUpdateBody {
  const main = BodyReader.mainData(record);
  const oldXmax = main.u32();
  const oldOffsetNumber = main.u16();
  const oldInfobits = main.u8();
  const flags = main.u8();
  const newXmax = main.u32();
  const newOffsetNumber = main.u16();
  const oldTuple = readOptionalTuple(main, (flags & XLH_UPDATE_CONTAINS_OLD) !== 0);
  const block = BodyReader.blockData(record, HEAP_UPDATE_BLKREF_HEAP_NEW);
  const hasTuple = block.remaining > 0;
  const prefixLength = hasTuple && (flags & XLH_UPDATE_PREFIX_FROM_OLD) !== 0 ? block.u16() : 0;
  const suffixLength = hasTuple && (flags & XLH_UPDATE_SUFFIX_FROM_OLD) !== 0 ? block.u16() : 0;
  const newTuple = readOptionalTuple(block, hasTuple);
  const old = { oldXmax, oldOffsetNumber, oldInfobits, oldTuple };
  return { kind, ...old, flags, newXmax, newOffsetNumber, newTuple, prefixLength, suffixLength };
}

function decodeTruncate(record: DecodedRecord): HeapTruncateBody {
  const main = BodyReader.mainData(record);
  const database = main.u32();
  const count = main.u32();
  const flags = main.u8();
  main.skip(HEAP_TRUNCATE_RELATIONS - main.consumed);
  const relations = main.u32Array(count);
  main.expectEnd();
  return { kind: 'TRUNCATE', database, flags, relations };
}

function decodeConfirm(record: DecodedRecord): HeapConfirmBody {
  const main = BodyReader.mainData(record);
  const offsetNumber = main.u16();
  main.expectEnd();
  return { kind: 'HEAP_CONFIRM', offsetNumber };
}

export function decodeHeapLock(record: DecodedRecord): HeapLockFields {
  const main = BodyReader.mainData(record);
  const fields = { xmax: main.u32(), offsetNumber: main.u16(), infobits: main.u8(), flags: main.u8() };
  main.expectEnd();
  return fields;
}

function decodeInplace(record: DecodedRecord): HeapInplaceBody {
  const main = BodyReader.mainData(record);
  const offsetNumber = main.u16();
  main.expectEnd();
  const block = BodyReader.blockData(record, HEAP_BLKREF_HEAP);
  return {
    kind: 'INPLACE',
    offsetNumber,
    data: block.remaining > 0 ? block.bytes(block.remaining) : undefined,
  };
}

export const heapResourceManager: ResourceManager<HeapBody> = {
  id: RM_HEAP,
  name: 'Heap',
  kinds: [...KINDS.values()],
  kindName: (info) => findKindName(KINDS, info),
  decodeBody(record) {
    const kind = findKindName(KINDS, record.info);
    switch (kind) {
      case 'INSERT':
      case 'INSERT+INIT':
        return decodeInsert(record, kind);
      case 'DELETE':
        return decodeDelete(record);
      case 'UPDATE':
      case 'UPDATE+INIT':
      case 'HOT_UPDATE':
      case 'HOT_UPDATE+INIT':
        return decodeUpdate(record, kind);
      case 'TRUNCATE':
        return decodeTruncate(record);
      case 'HEAP_CONFIRM':
        return decodeConfirm(record);
      case 'LOCK':
        return { kind, ...decodeHeapLock(record) };
      case 'INPLACE':
        return decodeInplace(record);
      default:
        return refuseKind('Heap', record);
    }
  },
};
