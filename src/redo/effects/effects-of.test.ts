import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import {
  SAMPLE_CHECKPOINT,
  SAMPLE_INVALIDATIONS,
  SAMPLE_RECORDS,
  transactionEndData,
} from '../../../test/support/sample-records.ts';
import { CorruptionError, UnknownRecordError } from '../../base/errors.ts';
import { RM_BTREE, RM_HEAP, RM_MULTIXACT, RM_XACT } from '../../postgres/rmgr/resource-manager.ts';
import type { Effect } from './effect.ts';
import { effectsOf } from './effects-of.ts';

const END_LSN = buildRecord(SAMPLE_RECORDS['ReplicationOrigin SET'] as RecordParts).endLsn;
const RELATION = { tablespace: 1663, database: 5, relation: 16384 };
const dropped = (relation: number): Effect => ({
  kind: 'relation-drop',
  relation: { tablespace: 1663, database: 5, relation },
});
const invalidations = (relationCacheFile: boolean): Effect => ({
  kind: 'invalidations',
  database: 5,
  tablespace: 1663,
  relationCacheFile,
  messageCount: SAMPLE_INVALIDATIONS,
});

const EFFECTS: Readonly<Record<string, readonly Partial<Effect>[]>> = {
  'XLOG CHECKPOINT_SHUTDOWN': [{ kind: 'checkpoint', shutdown: true, checkPoint: SAMPLE_CHECKPOINT }],
  'XLOG CHECKPOINT_ONLINE': [{ kind: 'checkpoint', shutdown: false, checkPoint: SAMPLE_CHECKPOINT }],
  'XLOG NOOP': [],
  'XLOG NEXTOID': [{ kind: 'next-oid', nextOid: 32768 }],
  'XLOG SWITCH': [],
  'XLOG BACKUP_END': [{ kind: 'backup-end', startLsn: 0x3000028 as never }],
  'XLOG PARAMETER_CHANGE': [
    {
      kind: 'parameter-change',
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 10,
      maxPreparedTransactions: 2,
      maxLocksPerTransaction: 64,
      walLevel: 2,
      walLogHints: true,
      trackCommitTimestamp: true,
    },
  ],
  'XLOG RESTORE_POINT': [{ kind: 'restore-point', time: 800n, name: 'before' }],
  'XLOG FPW_CHANGE': [{ kind: 'full-page-writes', fullPageWrites: false }],
  'XLOG END_OF_RECOVERY': [
    { kind: 'end-of-recovery', time: 801n, timeline: 2, previousTimeline: 1, walLevel: 2 },
  ],
  'XLOG FPI_FOR_HINT': [],
  'XLOG FPI': [],
  'XLOG OVERWRITE_CONTRECORD': [
    { kind: 'overwrite-contrecord', overwrittenLsn: 0x2fffff0 as never, time: 802n },
  ],
  'XLOG CHECKPOINT_REDO': [],
  'Transaction COMMIT': [
    // With an origin, its time counts.
    { kind: 'commit-timestamp', page: 1, xids: [1000, 1001, 1002], time: 799_000_000_000_000n, origin: 3 },
    { kind: 'transaction-status', page: 0, xids: [1000, 1001, 1002], status: 'committed' },
    invalidations(true),
    {
      kind: 'origin-advance',
      origin: 3,
      remoteLsn: 0x5_0000_0010 as never,
      localLsn: expect.any(Number),
      force: false,
    },
    dropped(16390),
    dropped(16391),
  ],
  'Transaction PREPARE': [
    {
      kind: 'prepared-put',
      xid: 900,
      content: SAMPLE_RECORDS['Transaction PREPARE']?.mainData as Uint8Array,
    },
    {
      kind: 'origin-advance',
      origin: 3,
      remoteLsn: 0x7_0000_0000 as never,
      localLsn: expect.any(Number),
      force: false,
    },
  ],
  'Transaction ABORT': [
    { kind: 'transaction-status', page: 0, xids: [1000, 1003], status: 'aborted' },
    dropped(16390),
    dropped(16391),
  ],
  'Transaction COMMIT_PREPARED': [
    { kind: 'commit-timestamp', page: 1, xids: [900, 901, 902], time: 800_000_000_000_000n, origin: 0 },
    { kind: 'transaction-status', page: 0, xids: [900, 901, 902], status: 'committed' },
    { kind: 'prepared-remove', xid: 900 },
  ],
  'Transaction ABORT_PREPARED': [
    { kind: 'transaction-status', page: 0, xids: [900], status: 'aborted' },
    { kind: 'prepared-remove', xid: 900 },
  ],
  'Transaction ASSIGNMENT': [],
  'Transaction INVALIDATION': [],
  'Storage CREATE': [{ kind: 'relation-create', relation: RELATION, fork: 3 }],
  'Storage TRUNCATE': [
    {
      kind: 'relation-truncate',
      relation: RELATION,
      blocks: 7,
      heap: true,
      visibilityMap: true,
      freeSpaceMap: true,
    },
  ],
  'CLOG ZEROPAGE': [{ kind: 'slru-zero-page', slru: 'clog', page: 9 }],
  'CLOG TRUNCATE': [{ kind: 'slru-truncate', slru: 'clog', cutoffPage: 64, checksWrapAround: true }],
  'Database CREATE_FILE_COPY': [
    { kind: 'database-copy', sourceDatabase: 1, sourceTablespace: 1663, database: 16400, tablespace: 1663 },
  ],
  'Database CREATE_WAL_LOG': [{ kind: 'database-create', database: 16400, tablespace: 1663 }],
  'Database DROP': [{ kind: 'database-drop', database: 16400, tablespaces: [1663, 16500] }],
  'Tablespace CREATE': [{ kind: 'tablespace-create', tablespace: 16500, path: '/mnt/fast' }],
  'Tablespace DROP': [{ kind: 'tablespace-drop', tablespace: 16500 }],
  'MultiXact ZERO_OFF_PAGE': [{ kind: 'slru-zero-page', slru: 'multixact-offsets', page: 1 }],
  'MultiXact ZERO_MEM_PAGE': [{ kind: 'slru-zero-page', slru: 'multixact-members', page: 2 }],
  'MultiXact CREATE_ID': [
    { kind: 'multixact-offsets', page: 0, multixacts: [5, 6], offsets: [9, 11], previousPage: undefined },
    { kind: 'multixact-members', page: 0, startOffset: 9, xids: [1000, 1001], statuses: [0, 5] },
  ],
  'MultiXact TRUNCATE_ID': [
    {
      kind: 'slru-delete-segments',
      slru: 'multixact-members',
      startSegment: 0,
      endSegment: 2,
      lastSegment: 0x14078,
    },
    { kind: 'slru-truncate', slru: 'multixact-offsets', cutoffPage: 34, checksWrapAround: true },
  ],
  'RelMap UPDATE': [
    {
      kind: 'relation-map',
      tablespace: 1663,
      database: 5,
      content: (SAMPLE_RECORDS['RelMap UPDATE'] as RecordParts).mainData?.slice(12) as Uint8Array,
    },
  ],
  'Standby LOCK': [{ kind: 'locks', locks: [{ xid: 1000, database: 5, relation: 16384 }] }],
  'Standby RUNNING_XACTS': [
    {
      kind: 'running-transactions',
      nextXid: 1010,
      oldestRunningXid: 1000,
      latestCompletedXid: 1009,
      subtransactionOverflow: false,
      xids: [1000, 1005],
      subtransactionXids: [1001],
    },
  ],
  'Standby INVALIDATIONS': [invalidations(true)],
  'CommitTs ZEROPAGE': [{ kind: 'slru-zero-page', slru: 'commit-timestamp', page: 3 }],
  'CommitTs TRUNCATE': [
    { kind: 'slru-truncate', slru: 'commit-timestamp', cutoffPage: 40, checksWrapAround: false },
  ],
  'ReplicationOrigin SET': [
    {
      kind: 'origin-advance',
      origin: 4,
      remoteLsn: 0x9_0000_0000 as never,
      localLsn: END_LSN as never,
      force: true,
    },
  ],
  'ReplicationOrigin DROP': [{ kind: 'origin-drop', origin: 4 }],
  'LogicalMessage MESSAGE': [
    {
      kind: 'logical-message',
      database: 5,
      transactional: true,
      prefix: 'test',
      message: Uint8Array.of(1, 2, 3),
    },
  ],
};

function commit(xid: number, subtransactions: readonly number[]): readonly Effect[] {
  const mainData = transactionEndData({ xinfo: 0x002, subtransactions });
  return effectsOf(buildRecord({ resourceManager: RM_XACT, info: 0x80, xid, mainData }));
}

function createMultixact(multixact: number, offset: number, count: number): readonly Effect[] {
  const writer = new ByteWriter().u32s(multixact, offset, count);
  for (let index = 0; index < count; index++) writer.u32s(1000 + index, 1);
  return effectsOf(buildRecord({ resourceManager: RM_MULTIXACT, info: 0x20, mainData: writer.finish() }));
}

describe('effectsOf', () => {
  test.each(Object.entries(SAMPLE_RECORDS))('%s', (name, parts) => {
    expect(effectsOf(buildRecord(parts))).toEqual(EFFECTS[name]);
  });

  test('records of relations have none, and share one array', () => {
    const heap = effectsOf(buildRecord({ resourceManager: RM_HEAP, info: 0x00 }));
    expect(heap).toEqual([]);
    expect(effectsOf(buildRecord({ resourceManager: RM_BTREE, info: 0x00 }))).toBe(heap);
  });

  test.each([22, 128, 255])('resource manager %d is refused by number', (resourceManager) => {
    const record = buildRecord({ resourceManager, info: 0x10 });
    expect(() => effectsOf(record)).toThrow(UnknownRecordError);
  });

  test('a transaction tree is split where the page changes', () => {
    const last = 32_767;
    const pages = commit(last, [last + 1, last + 2, 65_536]).filter(
      (effect) => effect.kind === 'transaction-status',
    );
    expect(pages.map(({ page, xids }) => [page, xids])).toEqual([
      [0, [last]],
      [1, [last + 1, last + 2]],
      [2, [65_536]],
    ]);
    const times = commit(818, [819, 1638]).filter((effect) => effect.kind === 'commit-timestamp');
    expect(times.map(({ page, xids }) => [page, xids])).toEqual([
      [0, [818]],
      [1, [819]],
      [2, [1638]],
    ]);
  });

  test('a transaction tree may go round at 2^32', () => {
    const statuses = commit(0xffff_ffff, [3, 4]).filter((effect) => effect.kind === 'transaction-status');
    expect(statuses.map(({ page, xids }) => [page, xids])).toEqual([
      [131_071, [0xffff_ffff]],
      [0, [3, 4]],
    ]);
  });

  test('an end without a transaction, or an origin position without an origin, is refused', () => {
    expect(() => commit(0, [])).toThrow(CorruptionError);
    const mainData = transactionEndData({ xinfo: 0x020 });
    const record = buildRecord({ resourceManager: RM_XACT, info: 0x80, mainData });
    expect(() => effectsOf(record)).toThrow(CorruptionError);
    const untracked = buildRecord({ resourceManager: RM_XACT, info: 0x80, mainData, originId: 0xffff });
    expect(effectsOf(untracked).map(({ kind }) => kind)).toEqual(['commit-timestamp', 'transaction-status']);
  });

  test("the next multixact's offset may stand on another page", () => {
    expect(createMultixact(2047, 100, 1).slice(0, 2)).toEqual([
      { kind: 'multixact-offsets', page: 0, multixacts: [2047], offsets: [100], previousPage: undefined },
      { kind: 'multixact-offsets', page: 1, multixacts: [2048], offsets: [101], previousPage: 0 },
    ]);
    // After 2^32 - 1 comes 1.
    expect(createMultixact(0xffff_ffff, 100, 1)[1]).toEqual({
      kind: 'multixact-offsets',
      page: 0,
      multixacts: [1],
      offsets: [101],
      previousPage: 2_097_151,
    });
  });

  test('members are split by page, and go round at 2^32 in the middle of the last page', () => {
    const split = createMultixact(7, 1634, 4).filter((effect) => effect.kind === 'multixact-members');
    expect(split.map(({ page, startOffset, xids }) => [page, startOffset, xids])).toEqual([
      [0, 1634, [1000, 1001]],
      [1, 1636, [1002, 1003]],
    ]);
    const round = createMultixact(7, 0xffff_fffe, 3);
    expect(round).toEqual([
      {
        kind: 'multixact-offsets',
        page: 0,
        multixacts: [7, 8],
        offsets: [0xffff_fffe, 1],
        previousPage: undefined,
      },
      {
        kind: 'multixact-members',
        page: 2_625_285,
        startOffset: 0xffff_fffe,
        xids: [1000, 1001],
        statuses: [1, 1],
      },
      { kind: 'multixact-members', page: 0, startOffset: 0, xids: [1002], statuses: [1] },
    ]);
    // An end at exactly 2^32 is offset 0, which is never given out.
    expect(createMultixact(7, 0xffff_ffff, 1)[0]).toMatchObject({ offsets: [0xffff_ffff, 1] });
  });

  test('truncation of multixacts up to the first one looks at the last page', () => {
    const mainData = new ByteWriter().u32s(5, 1, 1, 0xffff_ff00, 5).finish();
    const effects = effectsOf(buildRecord({ resourceManager: RM_MULTIXACT, info: 0x30, mainData }));
    expect(effects).toMatchObject([
      { startSegment: 0x14078, endSegment: 0, lastSegment: 0x14078 },
      { cutoffPage: 2_097_151 },
    ]);
  });

  test('any damage gives effects or a typed error', () => {
    const samples = Object.values(SAMPLE_RECORDS).filter((parts) => (parts.mainData?.length ?? 0) > 0);
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(change, { minLength: 1, maxLength: 6 }),
        (parts, changes) => {
          const mainData = Uint8Array.from(parts.mainData as Uint8Array);
          for (const [offset, value] of changes) mainData[offset % mainData.length] = value;
          try {
            effectsOf(buildRecord({ ...parts, mainData }));
          } catch (error) {
            if (!(error instanceof CorruptionError)) throw error;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
