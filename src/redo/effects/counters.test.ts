import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteWriter, buildRecord, type RecordParts } from '../../../test/support/record-builder.ts';
import {
  checkpointData,
  SAMPLE_CHECKPOINT,
  SAMPLE_RECORDS,
  transactionEndData,
} from '../../../test/support/sample-records.ts';
import { CorruptionError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import type { CheckPoint } from '../../postgres/files/checkpoint.ts';
import type { ControlFile } from '../../postgres/files/control-file.ts';
import {
  RM_CLOG,
  RM_COMMIT_TIMESTAMP,
  RM_HEAP,
  RM_MULTIXACT,
  RM_STANDBY,
  RM_XACT,
  RM_XLOG,
} from '../../postgres/rmgr/resource-manager.ts';
import type { CheckpointCounters } from './checkpoint-counters.ts';
import { advanceCounters, createCounters, makeShutdownCheckPoint } from './counters.ts';

const EPOCH = 2 ** 32;

const CONTROL = {
  walLevel: 1,
  walLogHints: false,
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 0,
  maxLocksPerTransaction: 64,
  trackCommitTimestamp: false,
} as ControlFile;

function counters(
  checkPoint: Partial<CheckPoint> = {},
  control: Partial<ControlFile> = {},
): CheckpointCounters {
  const checkPointCopy = { ...SAMPLE_CHECKPOINT, nextXid: 1000, ...checkPoint };
  return createCounters({ ...CONTROL, ...control, checkPointCopy });
}

function advance(state: CheckpointCounters, parts: RecordParts): CheckpointCounters {
  advanceCounters(state, buildRecord(parts));
  return state;
}

const heap = (xid: number): RecordParts => ({ resourceManager: RM_HEAP, info: 0, xid });
const checkpoint = (info: number, checkPoint: Partial<CheckPoint>): RecordParts => ({
  resourceManager: RM_XLOG,
  info,
  xid: 0,
  mainData: checkpointData({ ...SAMPLE_CHECKPOINT, ...checkPoint }),
});
const ends = (info: number, xid: number, subtransactions: readonly number[]): RecordParts => ({
  resourceManager: RM_XACT,
  info,
  xid,
  mainData: transactionEndData({ xinfo: 0x003, subtransactions }),
});

describe('nextXid', () => {
  test('comes after the xid of any record, and never goes back', () => {
    const state = counters();
    expect(advance(state, heap(999)).nextXid).toBe(1000);
    expect(advance(state, heap(0)).nextXid).toBe(1000);
    expect(advance(state, heap(1000)).nextXid).toBe(1001);
    expect(advance(state, heap(5000)).nextXid).toBe(5001);
    expect(advance(state, heap(2)).nextXid).toBe(5001);
  });

  test('a new epoch begins with 3', () => {
    const state = counters({ nextXid: 2 * EPOCH + 0xffff_fff0 });
    expect(advance(state, heap(0xffff_fffe)).nextXid).toBe(2 * EPOCH + 0xffff_ffff);
    expect(advance(state, heap(0xffff_ffff)).nextXid).toBe(3 * EPOCH + 3);
    expect(advance(state, heap(0xffff_ffff)).nextXid).toBe(3 * EPOCH + 3);
    expect(advance(state, heap(3)).nextXid).toBe(3 * EPOCH + 4);
    expect(advance(counters({ nextXid: EPOCH + 0xffff_fff0 }), heap(70)).nextXid).toBe(2 * EPOCH + 71);
  });

  test('comes after all subtransactions, wherever they are named', () => {
    expect(advance(counters(), ends(0x80, 1000, [1001, 1005])).nextXid).toBe(1006);
    expect(advance(counters(), ends(0xa0, 1000, [1007])).nextXid).toBe(1008);
    expect(
      advance(counters({ nextXid: 800 }), SAMPLE_RECORDS['Transaction PREPARE'] as RecordParts).nextXid,
    ).toBe(903);
    const prepared = SAMPLE_RECORDS['Transaction COMMIT_PREPARED'] as RecordParts;
    expect(advance(counters({ nextXid: 800 }), prepared).nextXid).toBe(903);
    expect(advance(counters(), SAMPLE_RECORDS['Transaction ASSIGNMENT'] as RecordParts).nextXid).toBe(1003);
    expect(advance(counters(), SAMPLE_RECORDS['MultiXact CREATE_ID'] as RecordParts).nextXid).toBe(1002);
  });

  test('RUNNING_XACTS names the next one itself', () => {
    const running = SAMPLE_RECORDS['Standby RUNNING_XACTS'] as RecordParts;
    expect(advance(counters(), running).nextXid).toBe(1010);
    expect(advance(counters({ nextXid: 2000 }), running).nextXid).toBe(2000);
    const mainData = new ByteWriter().u32s(0, 0, 0, 3, 3, 0xffff_ffff).finish();
    const parts = { resourceManager: RM_STANDBY, info: 0x10, xid: 0, mainData };
    expect(advance(counters({ nextXid: EPOCH + 0xffff_fff0 }), parts).nextXid).toBe(2 * EPOCH + 3);
    mainData.fill(0, 12, 16);
    expect(() => advance(counters(), parts)).toThrow(CorruptionError);
  });
});

describe('checkpoints', () => {
  const later: Partial<CheckPoint> = {
    nextXid: 900,
    nextOid: 20_000,
    nextMulti: 70,
    nextMultiOffset: 100,
    oldestXid: 800,
    oldestXidDb: 16,
    oldestMulti: 3,
    oldestMultiDb: 17,
    fullPageWrites: false,
    walLevel: 2,
  };

  test('a shutdown checkpoint is believed exactly', () => {
    const state = advance(counters(), checkpoint(0x00, later));
    expect(state).toMatchObject({ nextXid: 900, nextOid: 20_000, nextMulti: 70, nextMultiOffset: 100 });
    expect(state).toMatchObject({ oldestXid: 800, oldestXidDb: 16, oldestMulti: 3, oldestMultiDb: 17 });
    expect(state.fullPageWrites).toBe(false);
    expect(state.settings.walLevel).toBe(2);
  });

  test('an online checkpoint only moves forward, and knows nothing of OIDs', () => {
    const state = advance(counters(), checkpoint(0x10, later));
    expect(state).toMatchObject({ nextXid: 1000, nextOid: 24_576, nextMulti: 77, nextMultiOffset: 154 });
    expect(state).toMatchObject({ oldestXid: 800, oldestXidDb: 16, oldestMulti: 3, oldestMultiDb: 17 });
    expect(state.fullPageWrites).toBe(true);
    advance(
      state,
      checkpoint(0x10, { nextXid: EPOCH + 5, nextMulti: 80, nextMultiOffset: 160, oldestXid: 700 }),
    );
    expect(state).toMatchObject({ nextXid: EPOCH + 5, nextMulti: 80, nextMultiOffset: 160, oldestXid: 800 });
  });

  test('what the counters say makes a checkpoint', () => {
    const state = counters();
    const made = makeShutdownCheckPoint(state, toLsn(0x1000028), 1, 5n);
    expect(made).toEqual({
      ...SAMPLE_CHECKPOINT,
      nextXid: 1000,
      redo: 0x1000028,
      time: 5n,
      oldestActiveXid: 0,
    });
    expect(advance(counters({ nextXid: 5 }), checkpoint(0x00, made))).toEqual(state);
  });
});

describe('multixacts', () => {
  const create = (multixact: number, offset: number, xids: readonly number[]): RecordParts => ({
    resourceManager: RM_MULTIXACT,
    info: 0x20,
    mainData: new ByteWriter()
      .u32s(multixact, offset, xids.length, ...xids.flatMap((xid) => [xid, 0]))
      .finish(),
  });

  test('each moves id and offset on, in any order', () => {
    const state = counters({ nextMulti: 77, nextMultiOffset: 154 });
    advance(state, create(78, 156, [10, 11]));
    expect(state).toMatchObject({ nextMulti: 79, nextMultiOffset: 158 });
    advance(state, create(77, 154, [10, 11]));
    expect(state).toMatchObject({ nextMulti: 79, nextMultiOffset: 158 });
  });

  test('id and offset go round at 2^32', () => {
    const state = counters({ nextMulti: 0xffff_ffff, nextMultiOffset: 0xffff_ffff });
    advance(state, create(0xffff_ffff, 0xffff_ffff, [10, 11]));
    expect(state).toMatchObject({ nextMulti: 0, nextMultiOffset: 1 });
  });

  test('truncation tells the oldest', () => {
    const state = advance(counters(), SAMPLE_RECORDS['MultiXact TRUNCATE_ID'] as RecordParts);
    expect(state).toMatchObject({ oldestMulti: 70_000, oldestMultiDb: 5 });
  });

  test('a wrong number of members is refused', () => {
    for (const count of [-1, 1, 3, 0x2000_0002]) {
      const mainData = new ByteWriter().u32s(5, 9, count, 1000, 0, 1001, 0).finish();
      const parts = { resourceManager: RM_MULTIXACT, info: 0x20, mainData };
      expect(() => advance(counters(), parts), `${count}`).toThrow(CorruptionError);
    }
  });
});

describe('oldest transactions, OIDs and settings', () => {
  test('the truncation of clog moves the oldest transaction forward only', () => {
    const truncate = (xid: number): RecordParts => ({
      resourceManager: RM_CLOG,
      info: 0x10,
      xid: 0,
      mainData: new ByteWriter().u64(0n).u32s(xid, 9).finish(),
    });
    const state = counters();
    expect(advance(state, truncate(900))).toMatchObject({ oldestXid: 900, oldestXidDb: 9 });
    expect(advance(state, truncate(800))).toMatchObject({ oldestXid: 900, oldestXidDb: 9 });
  });

  test('NEXTOID, FPW_CHANGE and the level of WAL', () => {
    const state = counters();
    advance(state, SAMPLE_RECORDS['XLOG NEXTOID'] as RecordParts);
    advance(state, SAMPLE_RECORDS['XLOG FPW_CHANGE'] as RecordParts);
    advance(state, SAMPLE_RECORDS['XLOG END_OF_RECOVERY'] as RecordParts);
    expect(state).toMatchObject({ nextOid: 32_768, fullPageWrites: false, settings: { walLevel: 2 } });
    advance(state, SAMPLE_RECORDS['XLOG CHECKPOINT_REDO'] as RecordParts);
    expect(state.settings).toMatchObject({ walLevel: 1, maxConnections: 100 });
  });

  test('PARAMETER_CHANGE replaces all settings', () => {
    const state = advance(counters(), SAMPLE_RECORDS['XLOG PARAMETER_CHANGE'] as RecordParts);
    expect(state.settings).toEqual({
      walLevel: 2,
      walLogHints: true,
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 10,
      maxPreparedTransactions: 2,
      maxLocksPerTransaction: 64,
      trackCommitTimestamp: true,
    });
  });
});

describe('bounds of commit timestamps', () => {
  const parameters = (on: number): RecordParts => ({
    resourceManager: RM_XLOG,
    info: 0x60,
    xid: 0,
    mainData: new ByteWriter().u32s(100, 8, 10, 2, 64, 2).u8(0).u8(on).zeros(2).finish(),
  });

  test('begin at the next transaction when switched on, follow commits, are gone when switched off', () => {
    const state = counters();
    advance(state, ends(0x80, 1000, []));
    expect(state).toMatchObject({ oldestCommitTsXid: 0, newestCommitTsXid: 0 });
    advance(state, parameters(1));
    expect(state).toMatchObject({ oldestCommitTsXid: 1001, newestCommitTsXid: 1001 });
    advance(state, ends(0x80, 1005, []));
    expect(state).toMatchObject({ oldestCommitTsXid: 1001, newestCommitTsXid: 1005 });
    advance(state, ends(0x80, 1006, [1007, 1009]));
    advance(state, ends(0x80, 1002, []));
    advance(state, ends(0xa0, 1020, []));
    expect(state.newestCommitTsXid).toBe(1009);
    advance(state, parameters(1));
    expect(state).toMatchObject({ oldestCommitTsXid: 1001, newestCommitTsXid: 1009 });
    advance(state, parameters(0));
    expect(state).toMatchObject({ oldestCommitTsXid: 0, newestCommitTsXid: 0 });
  });

  test('the truncation moves the oldest forward only, and not while they are off', () => {
    const truncate = (xid: number): RecordParts => ({
      resourceManager: RM_COMMIT_TIMESTAMP,
      info: 0x10,
      xid: 0,
      mainData: new ByteWriter().u64(0n).u32(xid).finish(),
    });
    const bounds = { oldestCommitTsXid: 800, newestCommitTsXid: 990 };
    const state = counters(bounds, { trackCommitTimestamp: true });
    expect(advance(state, truncate(900)).oldestCommitTsXid).toBe(900);
    expect(advance(state, truncate(850)).oldestCommitTsXid).toBe(900);
    expect(advance(counters(), truncate(900)).oldestCommitTsXid).toBe(0);
  });

  test('an online checkpoint moves them forward only', () => {
    const state = counters(
      { oldestCommitTsXid: 800, newestCommitTsXid: 990 },
      { trackCommitTimestamp: true },
    );
    advance(state, checkpoint(0x10, { nextXid: 1000, oldestCommitTsXid: 810, newestCommitTsXid: 980 }));
    expect(state).toMatchObject({ oldestCommitTsXid: 810, newestCommitTsXid: 990 });
  });

  test('prepared transactions count when they are committed', () => {
    const bounds = { nextXid: 950, oldestCommitTsXid: 800, newestCommitTsXid: 850 };
    const state = counters(bounds, { trackCommitTimestamp: true });
    advance(state, SAMPLE_RECORDS['Transaction ABORT_PREPARED'] as RecordParts);
    expect(state.newestCommitTsXid).toBe(850);
    advance(state, SAMPLE_RECORDS['Transaction COMMIT_PREPARED'] as RecordParts);
    expect(state.newestCommitTsXid).toBe(902);
  });
});

describe('hostile records', () => {
  test('subtransactions that are cut off are refused', () => {
    const data = transactionEndData({ xinfo: 0x003, subtransactions: [1001, 1002] });
    for (let length = 8; length < data.length; length++) {
      const parts = { resourceManager: RM_XACT, info: 0x80, mainData: data.slice(0, length) };
      expect(() => advance(counters(), parts), `${length}`).toThrow(CorruptionError);
    }
  });

  test('any damage changes counters or gives a typed error', () => {
    const samples = Object.values(SAMPLE_RECORDS).filter((parts) => (parts.mainData?.length ?? 0) > 0);
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...samples),
        fc.array(change, { maxLength: 6 }),
        fc.nat(),
        (parts, changes, cut) => {
          const whole = Uint8Array.from(parts.mainData as Uint8Array);
          for (const [offset, value] of changes) whole[offset % whole.length] = value;
          const mainData = cut % 3 === 0 ? whole.slice(0, cut % whole.length) : whole;
          const state = counters();
          try {
            advance(state, { ...parts, mainData });
          } catch (error) {
            if (!(error instanceof CorruptionError)) throw error;
          }
          return Number.isSafeInteger(state.nextXid) && state.nextXid >= 0;
        },
      ),
      { numRuns: 3000 },
    );
  });
});
