import type { Lsn } from '../../base/lsn.ts';
import { RELATION_LOCATOR_BYTES, type RelationLocator } from '../files/relation-locator.ts';
import { TWOPHASE_CRC_BYTES, TWOPHASE_MAGIC } from '../files/two-phase-file.ts';
import { maxAlign } from '../page/page.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';
import {
  INVALIDATION_MESSAGE_BYTES,
  type InvalidationMessage,
  readInvalidationMessage,
} from './invalidation-message.ts';
import { type BodyReader, refuseBody } from './resource-manager.ts';
import { readRelationLocator } from './smgr.ts';
import { readTransactionStatsItem, type TransactionStatsItem } from './transaction-stats-item.ts';

/** TWOPHASE_RM_END_ID: the last entry. */
export const TWOPHASE_RM_END_ID = 0;

/** What a module of the server keeps of a prepared transaction (TwoPhaseRecordOnDisk). */
export interface PreparedStateEntry {
  /** TwoPhaseRmgrId: 1 lock, 2 statistics, 3 multixact, 4 predicate lock. */
  readonly module: number;
  readonly info: number;
  readonly data: Uint8Array;
}

/** A prepared transaction: the main data of PREPARE and, but for its CRC, the content of its file. */
export interface PreparedState {
  readonly xid: number;
  readonly database: number;
  /** Microseconds since 2000-01-01 UTC. */
  readonly preparedAt: bigint;
  readonly owner: number;
  readonly gid: string;
  readonly subtransactions: readonly number[];
  readonly commitRelations: readonly RelationLocator[];
  readonly abortRelations: readonly RelationLocator[];
  readonly commitStats: readonly TransactionStatsItem[];
  readonly abortStats: readonly TransactionStatsItem[];
  readonly invalidations: readonly InvalidationMessage[];
  /** The relation cache's file is stale after the commit. */
  readonly relationCacheFile: boolean;
  readonly originLsn: Lsn;
  readonly originTime: bigint;
  readonly entries: readonly PreparedStateEntry[];
}

function fail(record: DecodedRecord, reason: string): never {
  return refuseBody('Transaction', record, `the state of a prepared transaction ${reason}`);
}

/** save_state_data: each piece is padded to MAXALIGN. */
function skipPadding(reader: BodyReader): void {
  reader.skip(maxAlign(reader.consumed) - reader.consumed);
}

function readPiece<Item>(reader: BodyReader, count: number, itemBytes: number, readItem: () => Item): Item[] {
  const items = reader.items(count, itemBytes, readItem);
  skipPadding(reader);
  return items;
}

function readEntries(record: DecodedRecord, reader: BodyReader): PreparedStateEntry[] {
  const entries: PreparedStateEntry[] = [];
  for (;;) {
    const length = reader.u32();
    const module = reader.u8();
    reader.skip(1);
    const info = reader.u16();
    if (module === TWOPHASE_RM_END_ID) {
      if (length !== 0) fail(record, 'has data in its last entry');
      return entries;
    }
    entries.push({ module, info, data: reader.bytes(length) });
    skipPadding(reader);
  }
}

function readGid(record: DecodedRecord, reader: BodyReader, gidLength: number): string {
  const start = reader.consumed;
  const gid = reader.cString();
  if (reader.consumed - start !== gidLength) fail(record, 'contradicts itself on the length of its GID');
  skipPadding(reader);
  return gid;
}

/** Reads the whole state (twophase.c: StartPrepare, EndPrepare), as xl_xact_prepare and its pieces. */
export function decodePreparedState(record: DecodedRecord, reader: BodyReader): PreparedState {
  const fileBytes = reader.remaining + TWOPHASE_CRC_BYTES;
  const statsBytes = record.version.transactionStatsItemBytes;
  const hasStats = statsBytes !== 0;
  if (reader.u32() !== TWOPHASE_MAGIC) fail(record, 'does not begin with the magic number');
  if (reader.u32() !== fileBytes) fail(record, 'contradicts itself on its length');
  const xid = reader.u32();
  const database = reader.u32();
  const preparedAt = reader.i64();
  const owner = reader.u32();
  const subtransactionCount = reader.i32();
  const commitRelationCount = reader.i32();
  const abortRelationCount = reader.i32();
  const commitStatsCount = hasStats ? reader.i32() : 0;
  const abortStatsCount = hasStats ? reader.i32() : 0;
  const invalidationCount = reader.i32();
  const relationCacheFile = reader.bool();
  reader.skip(1);
  const gidLength = reader.u16();
  const originLsn = reader.lsn();
  const originTime = reader.i64();
  skipPadding(reader);
  const gid = readGid(record, reader, gidLength);
  const readRelation = (): RelationLocator => readRelationLocator(reader);
  const readStats = (): TransactionStatsItem => readTransactionStatsItem(reader, statsBytes);
  const readInvalidation = (): InvalidationMessage => readInvalidationMessage(reader);
  return {
    xid,
    database,
    preparedAt,
    owner,
    gid,
    subtransactions: readPiece(reader, subtransactionCount, 4, () => reader.u32()),
    commitRelations: readPiece(reader, commitRelationCount, RELATION_LOCATOR_BYTES, readRelation),
    abortRelations: readPiece(reader, abortRelationCount, RELATION_LOCATOR_BYTES, readRelation),
    commitStats: readPiece(reader, commitStatsCount, statsBytes, readStats),
    abortStats: readPiece(reader, abortStatsCount, statsBytes, readStats),
    invalidations: readPiece(reader, invalidationCount, INVALIDATION_MESSAGE_BYTES, readInvalidation),
    relationCacheFile,
    originLsn,
    originTime,
    entries: readEntries(record, reader),
  };
}
