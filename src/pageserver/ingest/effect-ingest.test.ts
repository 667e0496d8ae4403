import { describe, expect, test } from 'vitest';
import type { MemoryTimeline } from '../../../test/pageserver/memory-timeline.ts';
import { startTimeline } from '../../../test/pageserver/sample-cluster.ts';
import {
  createFork,
  describeValues,
  fullPages,
  nextRecord,
  putByLast,
  samplePage,
  take,
  truncateRelation,
} from '../../../test/pageserver/take-records.ts';
import {
  ByteWriter,
  joinBytes,
  type RecordParts,
  TEST_RELATION,
} from '../../../test/support/record-builder.ts';
import {
  checkpointData,
  preparedStateData,
  SAMPLE_CHECKPOINT,
  SAMPLE_RECORDS,
  transactionEndData,
} from '../../../test/support/sample-records.ts';
import {
  CLOG_XACTS_PER_PAGE,
  MULTIXACT_OFFSETS_PER_PAGE,
  SLRUS,
  type SlruName,
} from '../../postgres/files/slru.ts';
import { initializePage, Page } from '../../postgres/page/page.ts';
import * as rm from '../../postgres/rmgr/resource-manager.ts';
import { auxiliaryFileKey, decodeAuxiliaryFiles } from '../keyspace/auxiliary-file.ts';
import { decodeClusterState } from '../keyspace/cluster-state.ts';
import type { Key } from '../keyspace/key.ts';
import * as keys from '../keyspace/keys.ts';
import {
  DATABASE_VALUE,
  decodeCommitTime,
  decodeLocks,
  decodeOrigin,
  decodeSize,
  decodeTablespacePath,
  encodeSize,
} from '../keyspace/stored-values.ts';

const MAIN = 0;
const FREE_SPACE_MAP = 1;
const VISIBILITY_MAP = 2;
const INIT = 3;
const EPOCH = 2 * 2 ** 32;

const sample = (name: string): RecordParts => SAMPLE_RECORDS[name] as RecordParts;
const block = (fork: number, number: number): Key => keys.relationBlockKey(TEST_RELATION, fork, number);

const zeroPage = (resourceManager: number, info: number, page: number): RecordParts => ({
  resourceManager,
  info,
  xid: 0,
  mainData: new ByteWriter().u64(BigInt(page)).finish(),
});

/** A commit at a time in microseconds. */
const commit = (xid: number, time = 800_000_000_000_000n): RecordParts => ({
  resourceManager: rm.RM_XACT,
  info: 0x00,
  xid,
  mainData: new ByteWriter().u64(time).finish(),
});

const createMultixact = (multixact: number, offset: number, ...xids: number[]): RecordParts => {
  const writer = new ByteWriter().u32s(multixact, offset, xids.length);
  for (const xid of xids) writer.u32s(xid, 1);
  return { resourceManager: rm.RM_MULTIXACT, info: 0x20, xid: 0, mainData: writer.finish() };
};

const parameterChange = (hints: number, commitTimestamps: number): RecordParts => ({
  ...sample('XLOG PARAMETER_CHANGE'),
  xid: 0,
  mainData: new ByteWriter().u32s(100, 8, 10, 2, 64, 2).u8(hints).u8(commitTimestamps).zeros(2).finish(),
});

const runningTransactions = (nextXid: number, oldest: number): RecordParts => ({
  resourceManager: rm.RM_STANDBY,
  info: 0x10,
  xid: 0,
  mainData: new ByteWriter()
    .u32s(0, 0)
    .u8(0)
    .zeros(3)
    .u32s(nextXid, oldest, nextXid - 1)
    .finish(),
});

const lock = (xid: number, relation: number): RecordParts => ({
  resourceManager: rm.RM_STANDBY,
  info: 0x00,
  xid: 0,
  mainData: new ByteWriter().u32s(1, xid, 5, relation).finish(),
});

const message = (prefix: string, content: Uint8Array): RecordParts => {
  const text = new TextEncoder().encode(`${prefix}\0`);
  const header = new ByteWriter().u32(5).u8(0).zeros(3).u64(BigInt(text.length)).u64(BigInt(content.length));
  return {
    resourceManager: rm.RM_LOGICAL_MESSAGE,
    info: 0,
    mainData: joinBytes(header.finish(), text, content),
  };
};

const segmentPages = (timeline: MemoryTimeline, slru: SlruName, segment: number): number | undefined => {
  const value = timeline.read(keys.slruSegmentKey(slru, segment));
  return value === undefined ? undefined : decodeSize(value);
};

const locksOf = (timeline: MemoryTimeline, xid: number): number[] | undefined => {
  const value = timeline.read(keys.locksKey(xid));
  return value === undefined ? undefined : decodeLocks(value).map(({ relation }) => relation);
};

const countersValues = (timeline: MemoryTimeline): number =>
  timeline.values(keys.clusterKey(keys.CLUSTER_COUNTERS)).length;

describe('relations', () => {
  test('are created once, and a free space map never', () => {
    const timeline = startTimeline();
    take(timeline, createFork(TEST_RELATION, MAIN));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(0);
    take(timeline, fullPages(TEST_RELATION, MAIN, 0));
    take(timeline, createFork(TEST_RELATION, MAIN));
    expect(putByLast(timeline)).toEqual([]);
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(1);
    take(timeline, createFork(TEST_RELATION, FREE_SPACE_MAP));
    expect(putByLast(timeline)).toEqual([]);
    take(timeline, createFork(TEST_RELATION, INIT));
    expect(timeline.size(TEST_RELATION, INIT)).toBe(0);
  });

  test('are cut, but never made longer, and come into being when cut', () => {
    const timeline = startTimeline();
    take(timeline, truncateRelation(TEST_RELATION, 5));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(0);
    take(timeline, fullPages(TEST_RELATION, MAIN, 0, 1, 2));
    take(timeline, truncateRelation(TEST_RELATION, 5));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(3);
    take(timeline, truncateRelation(TEST_RELATION, 1));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(1);
    // Without the flag of the heap only maps are cut.
    take(timeline, truncateRelation(TEST_RELATION, 0, 2));
    expect(timeline.size(TEST_RELATION, MAIN)).toBe(1);
  });

  test('without a visibility map get none when they are cut, whatever the flags say', () => {
    const timeline = startTimeline();
    take(timeline, fullPages(TEST_RELATION, MAIN, 0, 1, 2));
    take(timeline, truncateRelation(TEST_RELATION, 1));
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBeUndefined();
    expect(timeline.values(block(VISIBILITY_MAP, 0))).toEqual([]);
  });

  test('lose the bits of cut blocks, and pages of the map that speak of nothing', () => {
    const timeline = startTimeline();
    const map = new Page();
    initializePage(map, 0);
    map.bytes.fill(0xff, 24);
    for (const number of [0, 1]) timeline.put(block(VISIBILITY_MAP, number), map.bytes);
    timeline.put(keys.relationSizeKey(TEST_RELATION, VISIBILITY_MAP), encodeSize(2));
    timeline.put(keys.relationSizeKey(TEST_RELATION, MAIN), encodeSize(40_000));
    take(timeline, truncateRelation(TEST_RELATION, 32_672));
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBe(1);
    expect(describeValues(timeline, block(VISIBILITY_MAP, 1))).toEqual(['image 8192']);
    take(timeline, truncateRelation(TEST_RELATION, 5));
    expect(timeline.size(TEST_RELATION, VISIBILITY_MAP)).toBe(1);
    const cut = timeline.readPage(block(VISIBILITY_MAP, 0));
    expect([...cut.bytes.subarray(24, 28)]).toEqual([0xff, 0x03, 0, 0]);
  });

  test('are dropped with all forks at the end of a transaction, looked up or not', () => {
    for (const name of ['Transaction COMMIT', 'Transaction ABORT']) {
      const timeline = startTimeline();
      const dropped = { ...TEST_RELATION, relation: 16390 };
      take(timeline, fullPages(dropped, MAIN, 0));
      timeline.put(keys.relationSizeKey(dropped, INIT), encodeSize(1));
      take(timeline, sample(name));
      for (const fork of [MAIN, VISIBILITY_MAP, INIT]) expect(timeline.size(dropped, fork)).toBeUndefined();
      expect(timeline.missing).toEqual(new Map([['relation-sizes', 1]]));
      take(timeline, fullPages(dropped, MAIN, 1));
      expect(
        timeline.readPage(keys.relationBlockKey(dropped, MAIN, 0)).bytes.every((byte) => byte === 0),
      ).toBe(true);
    }
  });
});

describe('transaction statuses', () => {
  test('are a value of each page, once, and make pages', () => {
    const timeline = startTimeline();
    const subtransactions = [
      CLOG_XACTS_PER_PAGE * 3 + 1,
      5,
      CLOG_XACTS_PER_PAGE * 3 + 2,
      CLOG_XACTS_PER_PAGE,
    ];
    const mainData = transactionEndData({ xinfo: 0x002, subtransactions });
    take(timeline, { resourceManager: rm.RM_XACT, info: 0x80, xid: 4, mainData });
    expect([0, 1, 2, 3].map((page) => describeValues(timeline, keys.slruBlockKey('clog', page))[0])).toEqual([
      expect.stringMatching(/^record no-base/),
      expect.stringMatching(/^record no-base/),
      'image 8192',
      expect.stringMatching(/^record no-base/),
    ]);
    expect(segmentPages(timeline, 'clog', 0)).toBe(4);
    expect(timeline.readPage(keys.slruBlockKey('clog', 0)).bytes[1]).toBe(0b0101);
    take(timeline, commit(6));
    expect(describeValues(timeline, keys.slruBlockKey('clog', 0))[1]).toMatch(/^record \d/);
    expect(timeline.readPage(keys.slruBlockKey('clog', 0)).bytes[1]).toBe(0b010101);
  });

  test.each([
    ['a commit', 0x00, 6],
    ['an abort', 0x20, 7],
    ['a commit on a page that is not there yet', 0x00, CLOG_XACTS_PER_PAGE * 33 + 5],
    ['a commit far past the stored transaction id', 0x00, 5000],
  ])(
    'of %s are the same in the short form, which has a way of its own, and in the long one',
    (_, info, xid) => {
      const takeIn = (parts: RecordParts): { put: string[]; page: Uint8Array } => {
        const timeline = startTimeline();
        take(timeline, commit(4));
        take(timeline, lock(xid, 16390));
        take(timeline, parts);
        // The forms differ in length.
        const put = putByLast(timeline).map((line) => line.replace(/(record.*) \d+$/, '$1'));
        const page = keys.slruBlockKey('clog', Math.floor(xid / CLOG_XACTS_PER_PAGE));
        return { put, page: timeline.readPage(page).bytes };
      };
      const end = { resourceManager: rm.RM_XACT, xid };
      const time = new ByteWriter().u64(800_000_000_500_000n);
      const long = {
        ...end,
        info: info | 0x80,
        mainData: new ByteWriter().bytes(time.finish()).u32(0).finish(),
      };
      const short = takeIn({ ...end, info, mainData: time.finish() });
      expect(short).toEqual(takeIn(long));
      expect(short.put.length).toBeGreaterThan(1);
      expect(short.page.some((byte) => byte !== 0)).toBe(true);
    },
  );

  test('begin anew on a page that is zeroed', () => {
    const timeline = startTimeline();
    take(timeline, commit(4));
    take(timeline, zeroPage(rm.RM_CLOG, 0x00, 0));
    expect(timeline.readPage(keys.slruBlockKey('clog', 0)).bytes.every((byte) => byte === 0)).toBe(true);
    expect(segmentPages(timeline, 'clog', 0)).toBe(1);
  });

  test('are cut by whole segments, unless the newest page would go, and do not come back', () => {
    const truncate = sample('CLOG TRUNCATE');
    const timeline = startTimeline();
    take(timeline, zeroPage(rm.RM_CLOG, 0x00, 1));
    take(timeline, zeroPage(rm.RM_CLOG, 0x00, 64));
    // The next transaction id is on page 0: an apparent wrap-around.
    take(timeline, truncate);
    expect(segmentPages(timeline, 'clog', 0)).toBe(2);
    take(timeline, { resourceManager: rm.RM_XLOG, info: 0x20, xid: 70 * CLOG_XACTS_PER_PAGE });
    take(timeline, truncate);
    expect(segmentPages(timeline, 'clog', 0)).toBeUndefined();
    expect(segmentPages(timeline, 'clog', 2)).toBe(1);
    take(timeline, commit(CLOG_XACTS_PER_PAGE * 2));
    expect(timeline.readPage(keys.slruBlockKey('clog', 1)).bytes.every((byte) => byte === 0)).toBe(true);
  });
});

describe('multixacts', () => {
  const offsetsPage = (timeline: MemoryTimeline, page: number): Page =>
    timeline.readPage(keys.slruBlockKey('multixact-offsets', page));
  const last = MULTIXACT_OFFSETS_PER_PAGE - 1;

  test('have the offset of the next one, on a page that the record makes if it must', () => {
    const timeline = startTimeline();
    take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 0));
    take(timeline, createMultixact(last, 100, 1000, 1001));
    expect(offsetsPage(timeline, 0).view.getUint32(last * 4, true)).toBe(100);
    expect(offsetsPage(timeline, 1).view.getUint32(0, true)).toBe(102);
    expect(segmentPages(timeline, 'multixact-offsets', 0)).toBe(2);
    expect(describeValues(timeline, keys.slruBlockKey('multixact-members', 0))).toHaveLength(1);
  });

  test('keep that offset when the page is zeroed afterwards, also after a restart', () => {
    for (const restarts of [false, true]) {
      const timeline = startTimeline();
      take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 0));
      take(timeline, createMultixact(last, 100, 1000, 1001));
      if (restarts) timeline.restart();
      take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 1));
      expect(describeValues(timeline, keys.slruBlockKey('multixact-offsets', 1))).toHaveLength(1);
      expect(offsetsPage(timeline, 1).view.getUint32(0, true)).toBe(102);
      if (restarts) timeline.restart();
      take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 1));
      expect(offsetsPage(timeline, 1).view.getUint32(0, true)).toBe(0);
    }
  });

  test('of a server that zeroes the page before are not zeroed by the record', () => {
    const timeline = startTimeline();
    take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 0));
    take(timeline, zeroPage(rm.RM_MULTIXACT, 0x00, 1));
    take(timeline, createMultixact(last + 1, 102, 1000));
    take(timeline, createMultixact(last, 100, 1000, 1001));
    expect(describeValues(timeline, keys.slruBlockKey('multixact-offsets', 1)).at(-1)).toMatch(/^record \d/);
    expect(offsetsPage(timeline, 1).view.getUint32(4, true)).toBe(103);
  });

  test('lose segments of members in a range that wraps around', () => {
    const timeline = startTimeline();
    const perSegment = SLRUS['multixact-members'].entriesPerPage * 32;
    const lastSegment = Math.floor(0xffff_ffff / perSegment);
    for (const segment of [0, 1, 5, lastSegment]) {
      take(timeline, zeroPage(rm.RM_MULTIXACT, 0x10, segment * 32));
    }
    take(timeline, {
      resourceManager: rm.RM_MULTIXACT,
      info: 0x30,
      xid: 0,
      mainData: new ByteWriter().u32s(5, 1, 2, 0xffff_fff0, perSegment + 1).finish(),
    });
    const left = [0, 1, 5, lastSegment].filter((segment) =>
      segmentPages(timeline, 'multixact-members', segment),
    );
    expect(left).toEqual([1, 5]);
  });
});

describe('commit timestamps', () => {
  const page0 = keys.slruBlockKey('commit-timestamp', 0);

  test('are kept only while they are on, and go when they are switched off', () => {
    const timeline = startTimeline({ nextXid: EPOCH + 500 });
    take(timeline, commit(400));
    expect(timeline.values(page0)).toEqual([]);
    take(timeline, parameterChange(0, 1));
    expect(describeValues(timeline, page0)).toEqual(['image 8192']);
    expect(segmentPages(timeline, 'commit-timestamp', 0)).toBe(1);
    take(timeline, commit(500));
    expect(timeline.readPage(page0).view.getBigInt64(500 * 10, true)).toBe(800_000_000_000_000n);
    take(timeline, parameterChange(0, 1));
    expect(timeline.values(page0)).toHaveLength(2);
    take(timeline, parameterChange(0, 0));
    expect(segmentPages(timeline, 'commit-timestamp', 0)).toBeUndefined();
    take(timeline, parameterChange(0, 1));
    expect(timeline.readPage(page0).bytes.every((byte) => byte === 0)).toBe(true);
  });
});

describe('the time of the latest commit', () => {
  test('is stored when its millisecond changes, and never goes back', () => {
    const timeline = startTimeline();
    const key = keys.clusterKey(keys.CLUSTER_COMMIT_TIME);
    take(timeline, commit(5000, 800_000_000_000_100n));
    take(timeline, commit(5001, 800_000_000_000_900n));
    take(timeline, commit(5002, 799_000_000_000_000n));
    take(timeline, { ...commit(5003, 900_000_000_000_000n), info: 0x20 });
    expect(timeline.values(key).map(({ bytes }) => decodeCommitTime(bytes))).toEqual([800_000_000_000_100]);
    timeline.restart();
    take(timeline, commit(5004, 800_000_000_000_999n));
    take(timeline, commit(5005, 2n ** 63n - 1n));
    take(timeline, commit(5006, 800_000_000_001_000n));
    expect(timeline.values(key).map(({ bytes }) => decodeCommitTime(bytes))).toEqual([
      800_000_000_000_100, 800_000_000_001_000,
    ]);
  });
});

describe('counters', () => {
  test('are stored when the next transaction id passes what is stored, rounded up', () => {
    const timeline = startTimeline({ nextXid: EPOCH + 4096 });
    take(timeline, { ...fullPages(TEST_RELATION, MAIN, 0), xid: 4095 });
    expect(countersValues(timeline)).toBe(1);
    take(timeline, { ...fullPages(TEST_RELATION, MAIN, 0), xid: 4096 });
    expect(countersValues(timeline)).toBe(2);
    const stored = decodeClusterState(timeline.read(keys.clusterKey(keys.CLUSTER_COUNTERS)) as Uint8Array);
    expect(stored.nextXid).toBe(EPOCH + 5120);
    expect(timeline.state.counters.nextXid).toBe(EPOCH + 4097);
    take(timeline, { ...fullPages(TEST_RELATION, MAIN, 0), xid: 5119 });
    expect(countersValues(timeline)).toBe(2);
    take(timeline, { ...commit(5120) });
    expect(countersValues(timeline)).toBe(3);
  });

  test('are stored when anything else changes, and the same after a restart', () => {
    const timeline = startTimeline({ nextMulti: 1, nextMultiOffset: 1 });
    for (const name of ['XLOG NEXTOID', 'XLOG FPW_CHANGE', 'XLOG PARAMETER_CHANGE', 'MultiXact CREATE_ID']) {
      const before = countersValues(timeline);
      take(timeline, { ...sample(name), xid: 0 });
      expect([name, countersValues(timeline) - before]).toEqual([name, 1]);
      const { counters } = timeline.state;
      timeline.restart();
      expect(timeline.state.counters).toEqual(counters);
      take(timeline, { ...sample(name), xid: 0 });
      expect([name, countersValues(timeline) - before]).toEqual([name, 1]);
    }
  });
});

describe('running transactions', () => {
  test('are those from the oldest on; the oldest only moves forward', () => {
    const timeline = startTimeline({ nextXid: EPOCH + 6000, oldestRunningXid: EPOCH + 100 });
    take(timeline, runningTransactions(6000, 4000));
    expect(timeline.state.oldestRunningXid).toBe(EPOCH + 4000);
    take(timeline, runningTransactions(6000, 3000));
    expect(timeline.state.oldestRunningXid).toBe(EPOCH + 4000);
    const checkPoint = { ...SAMPLE_CHECKPOINT, nextXid: EPOCH + 6100 };
    take(timeline, { ...sample('XLOG CHECKPOINT_ONLINE'), mainData: checkpointData(checkPoint) });
    expect(timeline.state.oldestRunningXid).toBe(EPOCH + 4000);
    take(timeline, { ...sample('XLOG CHECKPOINT_SHUTDOWN'), mainData: checkpointData(checkPoint) });
    expect(timeline.state.oldestRunningXid).toBe(EPOCH + 6100);
    timeline.restart();
    expect(timeline.state.oldestRunningXid).toBe(EPOCH + 6100);
    // An id of the epoch before.
    const wrapped = startTimeline({ nextXid: EPOCH + 10, oldestRunningXid: 5 });
    take(wrapped, runningTransactions(10, 0xffff_fff0));
    expect(wrapped.state.oldestRunningXid).toBe(2 ** 32 + 0xffff_fff0);
  });

  test('hold locks until they end', () => {
    const timeline = startTimeline({ nextXid: EPOCH + 6000 });
    take(timeline, lock(5000, 1));
    take(timeline, lock(5000, 2));
    take(timeline, lock(5000, 2));
    take(timeline, lock(5001, 3));
    expect(locksOf(timeline, 5000)).toEqual([1, 2]);
    timeline.restart();
    const mainData = transactionEndData({ xinfo: 0x002, subtransactions: [5001] });
    take(timeline, { resourceManager: rm.RM_XACT, info: 0x80, xid: 5000, mainData });
    expect([locksOf(timeline, 5000), locksOf(timeline, 5001)]).toEqual([undefined, undefined]);
  });

  test('that ended without a record lose their locks, prepared ones keep theirs', () => {
    const timeline = startTimeline({ nextXid: EPOCH + 6000, oldestRunningXid: EPOCH + 100 });
    take(timeline, sample('Transaction PREPARE'));
    for (const xid of [900, 902, 905, 5000]) take(timeline, lock(xid, 7));
    timeline.restart();
    take(timeline, runningTransactions(6000, 900));
    expect(locksOf(timeline, 905)).toEqual([7]);
    take(timeline, runningTransactions(6000, 1000));
    const held = (): number[] => [900, 902, 905, 5000].filter((xid) => locksOf(timeline, xid) !== undefined);
    expect(held()).toEqual([900, 902, 5000]);
    const checkPoint = { ...SAMPLE_CHECKPOINT, nextXid: EPOCH + 6000 };
    take(timeline, { ...sample('XLOG CHECKPOINT_SHUTDOWN'), mainData: checkpointData(checkPoint) });
    expect(held()).toEqual([900, 902]);
    take(timeline, sample('Transaction COMMIT_PREPARED'));
    expect(held()).toEqual([]);
  });
});

describe('prepared transactions', () => {
  test('are stored under the full id, and go when they end', () => {
    for (const [nextXid, fullXid] of [
      [EPOCH + 5000, EPOCH + 900],
      [EPOCH + 1, EPOCH + 900],
    ] as const) {
      const timeline = startTimeline({ nextXid });
      take(timeline, sample('Transaction PREPARE'));
      expect(timeline.read(keys.twoPhaseKey(fullXid))).toEqual(preparedStateData());
      timeline.restart();
      take(timeline, sample('Transaction ABORT_PREPARED'));
      expect(timeline.read(keys.twoPhaseKey(fullXid))).toBeUndefined();
    }
  });
});

describe('databases', () => {
  const SOURCE = { tablespace: 1663, database: 1 };
  const relation = { ...SOURCE, relation: 1259 };
  const copied = { tablespace: 1663, database: 16400, relation: 1259 };

  function withSource(): MemoryTimeline {
    const timeline = startTimeline();
    take(timeline, fullPages(relation, MAIN, 0, 1));
    take(timeline, fullPages(relation, VISIBILITY_MAP, 0));
    take(timeline, fullPages({ ...relation, relation: 1260 }, MAIN, 0));
    timeline.put(keys.relationMapKey(1663, 1), Uint8Array.of(1, 2, 3));
    timeline.put(keys.databaseKey(1663, 1), DATABASE_VALUE);
    return timeline;
  }

  test('are copied as they were before the record, over what there was', () => {
    const timeline = withSource();
    timeline.put(keys.relationSizeKey({ ...copied, relation: 99 }, MAIN), encodeSize(5));
    timeline.put(keys.relationSizeKey({ ...copied, relation: 1260 }, MAIN), encodeSize(5));
    take(timeline, sample('Database CREATE_FILE_COPY'));
    expect([MAIN, VISIBILITY_MAP, INIT].map((fork) => timeline.size(copied, fork))).toEqual([
      2,
      1,
      undefined,
    ]);
    expect(timeline.size({ ...copied, relation: 1260 }, MAIN)).toBe(1);
    expect(timeline.size({ ...copied, relation: 99 }, MAIN)).toBeUndefined();
    expect(timeline.readPage(keys.relationBlockKey(copied, MAIN, 1)).bytes[200]).toBe(2);
    expect(timeline.read(keys.relationMapKey(1663, 16400))).toEqual(Uint8Array.of(1, 2, 3));
    expect(timeline.read(keys.databaseKey(1663, 16400))).toEqual(DATABASE_VALUE);
    // From here on they are two.
    take(timeline, fullPages(relation, MAIN, 2));
    expect(timeline.size(copied, MAIN)).toBe(2);
    take(timeline, fullPages(copied, MAIN, 3));
    expect(timeline.size(copied, MAIN)).toBe(4);
  });

  test('are dropped with all that is in them', () => {
    const timeline = withSource();
    take(timeline, sample('Database CREATE_FILE_COPY'));
    take(timeline, fullPages({ ...copied, tablespace: 16500 }, MAIN, 0));
    take(timeline, sample('Database DROP'));
    expect(timeline.size(copied, MAIN)).toBeUndefined();
    expect(timeline.size({ ...copied, tablespace: 16500 }, MAIN)).toBeUndefined();
    expect(timeline.read(keys.relationMapKey(1663, 16400))).toBeUndefined();
    expect(timeline.read(keys.databaseKey(1663, 16400))).toBeUndefined();
    expect(timeline.size(relation, MAIN)).toBe(2);
    take(timeline, fullPages(copied, MAIN, 1));
    expect(timeline.readPage(keys.relationBlockKey(copied, MAIN, 0)).bytes.every((byte) => byte === 0)).toBe(
      true,
    );
  });

  test('are not copied onto themselves', () => {
    const timeline = withSource();
    const parts = {
      ...sample('Database CREATE_FILE_COPY'),
      mainData: new ByteWriter().u32s(1, 1663, 1, 1663).finish(),
    };
    expect(() => timeline.take(nextRecord(timeline, parts))).toThrow(/a copy of itself/);
  });

  test('created by WAL, relation maps and tablespaces have their keys', () => {
    const timeline = startTimeline();
    take(timeline, sample('Database CREATE_WAL_LOG'));
    expect(timeline.read(keys.databaseKey(1663, 16400))).toEqual(DATABASE_VALUE);
    take(timeline, sample('RelMap UPDATE'));
    expect(timeline.scan(keys.kindRange(keys.KIND_RELATION_MAP))).toHaveLength(1);
    take(timeline, sample('Tablespace CREATE'));
    const [tablespace] = timeline.scan(keys.kindRange(keys.KIND_TABLESPACE));
    expect(decodeTablespacePath(tablespace?.value as Uint8Array)).toMatch(/^\//);
    take(timeline, sample('Tablespace DROP'));
    expect(timeline.scan(keys.kindRange(keys.KIND_TABLESPACE))).toEqual([]);
  });
});

describe('replication origins', () => {
  const set = (remoteLsn: number, force: number): RecordParts => ({
    resourceManager: rm.RM_REPLICATION_ORIGIN,
    info: 0x00,
    xid: 0,
    mainData: new ByteWriter().lsn(remoteLsn).u16(3).u8(force).zeros(5).finish(),
  });
  const remote = (timeline: MemoryTimeline): number | undefined => {
    const value = timeline.read(keys.originKey(3));
    return value === undefined ? undefined : decodeOrigin(value).remoteLsn;
  };

  test('move forward only, unless forced, and are dropped', () => {
    const timeline = startTimeline();
    take(timeline, set(100, 0));
    take(timeline, set(50, 0));
    expect(remote(timeline)).toBe(100);
    timeline.restart();
    take(timeline, set(60, 1));
    expect(remote(timeline)).toBe(60);
    expect(decodeOrigin(timeline.read(keys.originKey(3)) as Uint8Array).localLsn).toBe(timeline.lsn);
    take(timeline, sample('Transaction COMMIT'));
    expect(remote(timeline)).toBe(0x5_0000_0010);
    take(timeline, { ...set(0, 0), info: 0x10, mainData: new ByteWriter().u16(3).finish() });
    expect(remote(timeline)).toBeUndefined();
  });
});

describe('logical messages', () => {
  const content = Uint8Array.of(1, 2, 3);
  const read = (timeline: MemoryTimeline, path: string): Uint8Array[] =>
    decodeAuxiliaryFiles(timeline.read(auxiliaryFileKey(path)) ?? new Uint8Array(0)).map(
      (file) => file.content,
    );

  test('with our prefix put and remove auxiliary files', () => {
    const timeline = startTimeline();
    take(timeline, message('varve-file:pg_replslot/a/state', content));
    expect(read(timeline, 'pg_replslot/a/state')).toEqual([content]);
    take(timeline, message('varve-file:pg_replslot/a/state', Uint8Array.of(4)));
    expect(read(timeline, 'pg_replslot/a/state')).toEqual([Uint8Array.of(4)]);
    take(timeline, message('varve-file:pg_replslot/a/state', new Uint8Array(0)));
    expect(read(timeline, 'pg_replslot/a/state')).toEqual([]);
    expect(timeline.missing).toEqual(new Map([['auxiliary-files', 3]]));
  });

  test('with another prefix, or a path that cannot be, are nothing', () => {
    const timeline = startTimeline();
    for (const prefix of ['varve', 'neon-file:x', 'varve-file:', `varve-file:${'x'.repeat(1025)}`]) {
      take(timeline, message(prefix, content));
      expect(putByLast(timeline)).toEqual([]);
    }
  });
});

describe('a record', () => {
  test('that is no change of pages, but names some, is poison for them', () => {
    const timeline = startTimeline();
    const parts = { ...sample('XLOG NEXTOID'), blocks: [{ blockNumber: 0, image: samplePage(1) }] };
    expect(timeline.take(nextRecord(timeline, parts))).toBe(true);
    expect(() => timeline.readPage(block(MAIN, 0))).toThrow(/name no blocks/);
  });

  test.each(Object.entries(SAMPLE_RECORDS))(
    '%s is taken in, and what it stores restores the state',
    (_, parts) => {
      const timeline = startTimeline();
      expect(timeline.take(nextRecord(timeline, parts))).toBe(false);
      const { counters } = timeline.state;
      timeline.restart();
      const { nextXid, ...rest } = timeline.state.counters;
      expect({ ...rest, nextXid: counters.nextXid }).toEqual(counters);
      expect(nextXid).toBeGreaterThanOrEqual(counters.nextXid);
    },
  );
});
