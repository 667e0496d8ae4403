/** One well-formed record of each kind that has no relation pages, for tests of decoders, effects and counters. */

import { toLsn } from '../../src/base/lsn.ts';
import { CHECKPOINT_BYTES, type CheckPoint, encodeCheckPoint } from '../../src/postgres/files/checkpoint.ts';
import { encodeRelationMap } from '../../src/postgres/files/relation-map-file.ts';
import * as rm from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { ByteWriter, type RecordParts } from './record-builder.ts';

export const SAMPLE_CHECKPOINT: CheckPoint = {
  redo: toLsn(0x1_2345_6780),
  thisTimelineId: 1,
  prevTimelineId: 1,
  fullPageWrites: true,
  walLevel: 1,
  nextXid: 2 * 2 ** 32 + 5000,
  nextOid: 24576,
  nextMulti: 77,
  nextMultiOffset: 154,
  oldestXid: 731,
  oldestXidDb: 1,
  oldestMulti: 1,
  oldestMultiDb: 5,
  time: 1_760_000_000n,
  oldestCommitTsXid: 0,
  newestCommitTsXid: 0,
  oldestActiveXid: 4999,
};

export function checkpointData(checkPoint: CheckPoint): Uint8Array {
  const bytes = new Uint8Array(CHECKPOINT_BYTES);
  encodeCheckPoint(POSTGRES_17, checkPoint, new DataView(bytes.buffer), 0);
  return bytes;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

/** Six messages, one of each kind. */
export function writeInvalidations(writer: ByteWriter): ByteWriter {
  writer.u8(41).zeros(3).u32s(5, 0xdead, 0);
  writer.u8(0xff).zeros(3).u32s(5, 1259, 0);
  writer.u8(0xfe).zeros(3).u32s(5, 16384, 0);
  writer.u8(0xfd).zeros(3).u32s(1663, 5, 16390);
  writer.u8(0xfc).zeros(3).u32s(5, 0, 0);
  return writer.u8(0xfb).zeros(3).u32s(5, 2619, 0);
}

export const SAMPLE_INVALIDATIONS = 6;

/** A commit with every part that a commit can have. `parts` is xinfo without TWOPHASE and GID. */
export function transactionEndData(options: {
  readonly xinfo: number;
  readonly subtransactions?: readonly number[];
  readonly preparedXid?: number;
  readonly gid?: string;
}): Uint8Array {
  const { xinfo, subtransactions = [], preparedXid = 0, gid = '' } = options;
  const writer = new ByteWriter().u64(800_000_000_000_000n);
  if (xinfo !== 0) writer.u32(xinfo);
  if ((xinfo & 0x001) !== 0) writer.u32s(5, 1663);
  if ((xinfo & 0x002) !== 0) writer.u32s(subtransactions.length, ...subtransactions);
  if ((xinfo & 0x004) !== 0) writer.u32s(2, 1663, 5, 16390, 1663, 5, 16391);
  if ((xinfo & 0x100) !== 0) writer.u32s(1, 2, 5, 16390);
  if ((xinfo & 0x008) !== 0) writeInvalidations(writer.u32(SAMPLE_INVALIDATIONS));
  if ((xinfo & 0x010) !== 0) writer.u32(preparedXid);
  if ((xinfo & 0x080) !== 0) writer.bytes(text(gid));
  if ((xinfo & 0x020) !== 0) writer.lsn(0x5_0000_0010).u64(799_000_000_000_000n);
  return writer.finish();
}

/** The state of prepared transaction 900 with two subtransactions and one lock. */
export function preparedStateData(): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(0x57f9_4534).u32(0).u32(900).u32(5).u64(800_000_000_000_001n).u32(10);
  writer.u32s(2, 1, 1, 1, 0, SAMPLE_INVALIDATIONS).u8(1).u8(0).u16(4).lsn(0x7_0000_0000).u64(5n).align(8);
  writer.bytes(text('gid')).align(8);
  writer.u32s(901, 902).align(8);
  writer.u32s(1663, 5, 16400).align(8);
  writer.u32s(1663, 5, 16401).align(8);
  writer.u32s(2, 5, 16402).align(8);
  writeInvalidations(writer).align(8);
  writer.u32(20).u8(1).u8(0).u16(8).zeros(20).align(8);
  writer.u32(0).u8(0).u8(0).u16(0);
  const bytes = writer.finish();
  new DataView(bytes.buffer).setUint32(4, bytes.length + 4, true);
  return bytes;
}

const XLOG = rm.RM_XLOG;
const XACT = rm.RM_XACT;

/** By `resource manager kind`. */
export const SAMPLE_RECORDS: Readonly<Record<string, RecordParts>> = {
  'XLOG CHECKPOINT_SHUTDOWN': {
    resourceManager: XLOG,
    info: 0x00,
    xid: 0,
    mainData: checkpointData(SAMPLE_CHECKPOINT),
  },
  'XLOG CHECKPOINT_ONLINE': {
    resourceManager: XLOG,
    info: 0x10,
    xid: 0,
    mainData: checkpointData(SAMPLE_CHECKPOINT),
  },
  'XLOG NOOP': { resourceManager: XLOG, info: 0x20, mainData: new Uint8Array(7) },
  'XLOG NEXTOID': { resourceManager: XLOG, info: 0x30, mainData: new ByteWriter().u32(32768).finish() },
  'XLOG SWITCH': { resourceManager: XLOG, info: 0x40, xid: 0 },
  'XLOG BACKUP_END': {
    resourceManager: XLOG,
    info: 0x50,
    mainData: new ByteWriter().lsn(0x3000028).finish(),
  },
  'XLOG PARAMETER_CHANGE': {
    resourceManager: XLOG,
    info: 0x60,
    mainData: new ByteWriter().u32s(100, 8, 10, 2, 64, 2).u8(1).u8(1).zeros(2).finish(),
  },
  'XLOG RESTORE_POINT': {
    resourceManager: XLOG,
    info: 0x70,
    mainData: new ByteWriter().u64(800n).bytes(text('before')).zeros(57).finish(),
  },
  'XLOG FPW_CHANGE': { resourceManager: XLOG, info: 0x80, mainData: Uint8Array.of(0) },
  'XLOG END_OF_RECOVERY': {
    resourceManager: XLOG,
    info: 0x90,
    mainData: new ByteWriter().u64(801n).u32s(2, 1, 2).zeros(4).finish(),
  },
  'XLOG FPI_FOR_HINT': { resourceManager: XLOG, info: 0xa0, blocks: [{ image: new Uint8Array(8192) }] },
  'XLOG FPI': { resourceManager: XLOG, info: 0xb0, blocks: [{ image: new Uint8Array(8192) }] },
  'XLOG OVERWRITE_CONTRECORD': {
    resourceManager: XLOG,
    info: 0xd0,
    mainData: new ByteWriter().lsn(0x2fffff0).u64(802n).finish(),
  },
  'XLOG CHECKPOINT_REDO': { resourceManager: XLOG, info: 0xe0, mainData: new ByteWriter().u32(1).finish() },
  'Transaction COMMIT': {
    resourceManager: XACT,
    info: 0x80,
    originId: 3,
    mainData: transactionEndData({ xinfo: 0x4000_016f, subtransactions: [1001, 1002] }),
  },
  'Transaction PREPARE': {
    resourceManager: XACT,
    info: 0x10,
    xid: 900,
    originId: 3,
    mainData: preparedStateData(),
  },
  'Transaction ABORT': {
    resourceManager: XACT,
    info: 0xa0,
    mainData: transactionEndData({ xinfo: 0x106, subtransactions: [1003] }),
  },
  'Transaction COMMIT_PREPARED': {
    resourceManager: XACT,
    info: 0xb0,
    xid: 0,
    mainData: transactionEndData({ xinfo: 0x93, subtransactions: [901, 902], preparedXid: 900, gid: 'gid' }),
  },
  'Transaction ABORT_PREPARED': {
    resourceManager: XACT,
    info: 0xc0,
    xid: 0,
    mainData: transactionEndData({ xinfo: 0x10, preparedXid: 900 }),
  },
  'Transaction ASSIGNMENT': {
    resourceManager: XACT,
    info: 0x50,
    mainData: new ByteWriter().u32s(1000, 2, 1001, 1002).finish(),
  },
  'Transaction INVALIDATION': {
    resourceManager: XACT,
    info: 0x60,
    mainData: writeInvalidations(new ByteWriter().u32(SAMPLE_INVALIDATIONS)).finish(),
  },
  'Storage CREATE': {
    resourceManager: rm.RM_SMGR,
    info: 0x10,
    mainData: new ByteWriter().u32s(1663, 5, 16384, 3).finish(),
  },
  'Storage TRUNCATE': {
    resourceManager: rm.RM_SMGR,
    info: 0x20,
    mainData: new ByteWriter().u32s(7, 1663, 5, 16384, 7).finish(),
  },
  'CLOG ZEROPAGE': { resourceManager: rm.RM_CLOG, info: 0x00, mainData: new ByteWriter().u64(9n).finish() },
  'CLOG TRUNCATE': {
    resourceManager: rm.RM_CLOG,
    info: 0x10,
    mainData: new ByteWriter().u64(64n).u32s(2_097_200, 5).finish(),
  },
  'Database CREATE_FILE_COPY': {
    resourceManager: rm.RM_DBASE,
    info: 0x01,
    mainData: new ByteWriter().u32s(16400, 1663, 1, 1663).finish(),
  },
  'Database CREATE_WAL_LOG': {
    resourceManager: rm.RM_DBASE,
    info: 0x10,
    mainData: new ByteWriter().u32s(16400, 1663).finish(),
  },
  'Database DROP': {
    resourceManager: rm.RM_DBASE,
    info: 0x21,
    mainData: new ByteWriter().u32s(16400, 2, 1663, 16500).finish(),
  },
  'Tablespace CREATE': {
    resourceManager: rm.RM_TBLSPC,
    info: 0x00,
    mainData: new ByteWriter().u32(16500).bytes(text('/mnt/fast')).finish(),
  },
  'Tablespace DROP': {
    resourceManager: rm.RM_TBLSPC,
    info: 0x10,
    mainData: new ByteWriter().u32(16500).finish(),
  },
  'MultiXact ZERO_OFF_PAGE': {
    resourceManager: rm.RM_MULTIXACT,
    info: 0x00,
    mainData: new ByteWriter().u64(1n).finish(),
  },
  'MultiXact ZERO_MEM_PAGE': {
    resourceManager: rm.RM_MULTIXACT,
    info: 0x10,
    mainData: new ByteWriter().u64(2n).finish(),
  },
  'MultiXact CREATE_ID': {
    resourceManager: rm.RM_MULTIXACT,
    info: 0x20,
    mainData: new ByteWriter().u32s(5, 9, 2, 1000, 0, 1001, 5).finish(),
  },
  'MultiXact TRUNCATE_ID': {
    resourceManager: rm.RM_MULTIXACT,
    info: 0x30,
    mainData: new ByteWriter().u32s(5, 1, 70_000, 1, 140_000).finish(),
  },
  'RelMap UPDATE': {
    resourceManager: rm.RM_RELMAP,
    info: 0x00,
    mainData: new ByteWriter()
      .u32s(5, 1663, 524)
      .bytes(encodeRelationMap(POSTGRES_17, [{ catalog: 1259, relation: 16390 }]))
      .finish(),
  },
  'Standby LOCK': {
    resourceManager: rm.RM_STANDBY,
    info: 0x00,
    mainData: new ByteWriter().u32s(1, 1000, 5, 16384).finish(),
  },
  'Standby RUNNING_XACTS': {
    resourceManager: rm.RM_STANDBY,
    info: 0x10,
    xid: 0,
    mainData: new ByteWriter().u32s(2, 1).u8(0).zeros(3).u32s(1010, 1000, 1009, 1000, 1005, 1001).finish(),
  },
  'Standby INVALIDATIONS': {
    resourceManager: rm.RM_STANDBY,
    info: 0x20,
    xid: 0,
    mainData: writeInvalidations(
      new ByteWriter().u32s(5, 1663).u8(1).zeros(3).u32(SAMPLE_INVALIDATIONS),
    ).finish(),
  },
  'CommitTs ZEROPAGE': {
    resourceManager: rm.RM_COMMIT_TIMESTAMP,
    info: 0x00,
    mainData: new ByteWriter().u64(3n).finish(),
  },
  'CommitTs TRUNCATE': {
    resourceManager: rm.RM_COMMIT_TIMESTAMP,
    info: 0x10,
    mainData: new ByteWriter().u64(40n).u32(32_800).finish(),
  },
  'ReplicationOrigin SET': {
    resourceManager: rm.RM_REPLICATION_ORIGIN,
    info: 0x00,
    mainData: new ByteWriter().lsn(0x9_0000_0000).u16(4).u8(1).zeros(5).finish(),
  },
  'ReplicationOrigin DROP': {
    resourceManager: rm.RM_REPLICATION_ORIGIN,
    info: 0x10,
    mainData: new ByteWriter().u16(4).finish(),
  },
  'LogicalMessage MESSAGE': {
    resourceManager: rm.RM_LOGICAL_MESSAGE,
    info: 0x00,
    mainData: new ByteWriter()
      .u32(5)
      .u8(1)
      .zeros(3)
      .u64(5n)
      .u64(3n)
      .bytes(text('test'))
      .bytes([1, 2, 3])
      .finish(),
  },
};
