/** Records of the resource manager Heap2 (access/heapam_xlog.h, access/rewriteheap.h, rmgrdesc/heapdesc.c). */
import type { Lsn } from '../../base/lsn.ts';
import { VISIBILITYMAP_XLOG_VALID_BITS } from '../page/visibility-map.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import { decodeHeapLock, type HeapLockFields, type HeapTupleBody, readHeapTuple } from './heap.ts';
import { HEAP_BLKREF_HEAP } from './heap-layout.ts';
import { decodePrune, type HeapPruneBody } from './heap2-prune.ts';
import { findKindName, type KindNames, refuseKind } from './kind-names.ts';
import { BodyReader, type ResourceManager, RM_HEAP2, refuseBody } from './resource-manager.ts';

/** Info values; MULTI_INSERT may have XLOG_HEAP_INIT_PAGE. */
export const XLOG_HEAP2_REWRITE = 0x00;
export const XLOG_HEAP2_PRUNE_ON_ACCESS = 0x10;
export const XLOG_HEAP2_PRUNE_VACUUM_SCAN = 0x20;
export const XLOG_HEAP2_PRUNE_VACUUM_CLEANUP = 0x30;
export const XLOG_HEAP2_VISIBLE = 0x40;
export const XLOG_HEAP2_MULTI_INSERT = 0x50;
export const XLOG_HEAP2_MULTI_INSERT_INIT = 0xd0;
export const XLOG_HEAP2_LOCK_UPDATED = 0x60;
export const XLOG_HEAP2_NEW_CID = 0x70;

/** xl_heap_visible. */
export const HEAP_VISIBLE_FLAGS = 4;
export const HEAP_VISIBLE_BYTES = 5;
export const HEAP_VISIBLE_BLKREF_VM = 0;
export const HEAP_VISIBLE_BLKREF_HEAP = 1;

/** xl_heap_multi_insert; the offset numbers are left out where the page is made anew. */
export const HEAP_MULTI_INSERT_FLAGS = 0;
export const HEAP_MULTI_INSERT_TUPLES = 2;
export const HEAP_MULTI_INSERT_OFFSETS = 4;
/** xl_multi_insert_tuple, aligned to two bytes within the block's data. After datalen it is an xl_heap_header. */
export const MULTI_INSERT_TUPLE_LENGTH = 0;
export const MULTI_INSERT_TUPLE_HEADER = 2;
export const MULTI_INSERT_TUPLE_BYTES = 7;

/** xl_heap_rewrite_mapping, and LogicalRewriteMappingData. */
export const REWRITE_MAPPING_BYTES: number = 12 + 12 + 6 + 6;

export interface HeapRewriteBody {
  readonly kind: 'REWRITE';
  readonly mappedXid: number;
  readonly mappedDatabase: number;
  readonly mappedRelation: number;
  /** Where in the mapping file the data goes. */
  readonly fileOffset: bigint;
  readonly startLsn: Lsn;
  /** Mappings of REWRITE_MAPPING_BYTES each, as they stand in the file. */
  readonly mappings: Uint8Array;
}

export interface HeapVisibleBody {
  readonly kind: 'VISIBLE';
  readonly snapshotConflictHorizon: number;
  readonly flags: number;
}

export interface HeapMultiInsertBody {
  readonly kind: 'MULTI_INSERT' | 'MULTI_INSERT+INIT';
  readonly flags: number;
  readonly offsetNumbers: readonly number[];
  /** Absent where a full-page image makes them unnecessary. */
  readonly tuples: readonly HeapTupleBody[] | undefined;
}

export interface HeapLockUpdatedBody extends HeapLockFields {
  readonly kind: 'LOCK_UPDATED';
}

export interface HeapNewCidBody {
  readonly kind: 'NEW_CID';
  readonly topXid: number;
  readonly cmin: number;
  readonly cmax: number;
  readonly comboCid: number;
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  readonly blockNumber: number;
  readonly offsetNumber: number;
}

export type Heap2Body =
  | HeapRewriteBody
  | HeapPruneBody
  | HeapVisibleBody
  | HeapMultiInsertBody
  | HeapLockUpdatedBody
  | HeapNewCidBody;

const KINDS = new Map([
  [XLOG_HEAP2_REWRITE, 'REWRITE'],
  [XLOG_HEAP2_PRUNE_ON_ACCESS, 'PRUNE_ON_ACCESS'],
  [XLOG_HEAP2_PRUNE_VACUUM_SCAN, 'PRUNE_VACUUM_SCAN'],
  [XLOG_HEAP2_PRUNE_VACUUM_CLEANUP, 'PRUNE_VACUUM_CLEANUP'],
  [XLOG_HEAP2_VISIBLE, 'VISIBLE'],
  [XLOG_HEAP2_MULTI_INSERT, 'MULTI_INSERT'],
  [XLOG_HEAP2_MULTI_INSERT_INIT, 'MULTI_INSERT+INIT'],
  [XLOG_HEAP2_LOCK_UPDATED, 'LOCK_UPDATED'],
  [XLOG_HEAP2_NEW_CID, 'NEW_CID'],
]) satisfies KindNames;

function decodeRewrite(record: DecodedRecord): HeapRewriteBody {
  const main = BodyReader.mainData(record);
  const mappedXid = main.u32();
  const mappedDatabase = main.u32();
  const mappedRelation = main.u32();
  main.skip(4);
  const fileOffset = main.u64();
  const count = main.u32();
  main.skip(4);
  const startLsn = main.lsn();
  const mappings = main.bytes(count * REWRITE_MAPPING_BYTES);
  main.expectEnd();
  return { kind: 'REWRITE', mappedXid, mappedDatabase, mappedRelation, fileOffset, startLsn, mappings };
}

function decodeVisible(record: DecodedRecord): HeapVisibleBody {
  const main = BodyReader.mainData(record);
  const snapshotConflictHorizon = main.u32();
  const flags = main.u8();
  main.expectEnd();
  if ((flags & ~VISIBILITYMAP_XLOG_VALID_BITS) !== 0) {
    refuseBody('Heap2', record, `the record has unknown visibility flags ${flags}`);
  }
  return { kind: 'VISIBLE', snapshotConflictHorizon, flags };
}

function decodeMultiInsert(record: DecodedRecord, kind: HeapMultiInsertBody['kind']): HeapMultiInsertBody {
  const main = BodyReader.mainData(record);
  const flags = main.u8();
  main.skip(HEAP_MULTI_INSERT_TUPLES - 1);
  const count = main.u16();
  const offsetNumbers =
    kind === 'MULTI_INSERT' ? main.u16Array(count) : Array.from({ length: count }, (_, index) => index + 1);
  main.expectEnd();
  const block = BodyReader.blockData(record, HEAP_BLKREF_HEAP);
  if (block.remaining === 0) return { kind, flags, offsetNumbers, tuples: undefined };
  const tuples: HeapTupleBody[] = [];
  for (let index = 0; index < count; index++) {
    block.skip(block.consumed & 1);
    const dataLength = block.u16();
    tuples.push(readHeapTuple(block, dataLength));
  }
  block.expectEnd();
  return { kind, flags, offsetNumbers, tuples };
}

function decodeNewCid(record: DecodedRecord): HeapNewCidBody {
  const main = BodyReader.mainData(record);
  const command = { topXid: main.u32(), cmin: main.u32(), cmax: main.u32(), comboCid: main.u32() };
  const relation = { tablespace: main.u32(), database: main.u32(), relation: main.u32() };
  const blockNumber = main.u16() * 0x1_0000 + main.u16();
  const offsetNumber = main.u16();
  main.expectEnd();
  return { kind: 'NEW_CID', ...command, ...relation, blockNumber, offsetNumber };
}

export const heap2ResourceManager: ResourceManager<Heap2Body> = {
  id: RM_HEAP2,
  name: 'Heap2',
  kinds: [...KINDS.values()],
  kindName: (info) => findKindName(KINDS, info),
  decodeBody(record) {
    const kind = findKindName(KINDS, record.info);
    switch (kind) {
      case 'REWRITE':
        return decodeRewrite(record);
      case 'PRUNE_ON_ACCESS':
      case 'PRUNE_VACUUM_SCAN':
      case 'PRUNE_VACUUM_CLEANUP':
        return decodePrune(record, kind);
      case 'VISIBLE':
        return decodeVisible(record);
      case 'MULTI_INSERT':
      case 'MULTI_INSERT+INIT':
        return decodeMultiInsert(record, kind);
      case 'LOCK_UPDATED':
        return { kind, ...decodeHeapLock(record) };
      case 'NEW_CID':
        return decodeNewCid(record);
      default:
        return refuseKind('Heap2', record);
    }
  },
};
