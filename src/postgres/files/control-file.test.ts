import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SAMPLE_CHECKPOINT } from '../../../test/support/sample-records.ts';
import { crc32c } from '../../base/crc32c.ts';
import { CorruptionError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import { POSTGRES_17, type PostgresVersion } from '../versions/version.ts';
import { CHECKPOINT_BYTES, decodeCheckPoint, encodeCheckPoint } from './checkpoint.ts';
import { type ControlFile, decodeControlFile, encodeControlFile } from './control-file.ts';

const CONTROL: ControlFile = {
  systemIdentifier: 7_400_000_000_000_000_001n,
  state: 'shut down',
  time: 1_760_000_001n,
  checkPoint: toLsn(0x1_2345_6780),
  checkPointCopy: SAMPLE_CHECKPOINT,
  unloggedLsn: toLsn(1000),
  minRecoveryPoint: toLsn(0),
  minRecoveryPointTimelineId: 0,
  backupStartPoint: toLsn(0x28),
  backupEndPoint: toLsn(0x30),
  backupEndRequired: true,
  walLevel: 2,
  walLogHints: true,
  maxConnections: 100,
  maxWorkerProcesses: 8,
  maxWalSenders: 10,
  maxPreparedTransactions: 5,
  maxLocksPerTransaction: 64,
  trackCommitTimestamp: true,
  maxAlign: 8,
  relationSegmentBlocks: 131_072,
  walSegmentBytes: 16 * 2 ** 20,
  nameDataLength: 64,
  indexMaxKeys: 32,
  toastMaxChunkBytes: 1996,
  largeObjectBlockBytes: 2048,
  float8ByValue: true,
  dataChecksumVersion: 1,
  defaultCharSignedness: undefined,
  mockAuthenticationNonce: Uint8Array.from({ length: 32 }, (_, index) => index + 1),
};

/** Changes a byte and mends the CRC. */
function changed(offset: number, value: number): Uint8Array {
  const bytes = encodeControlFile(POSTGRES_17, CONTROL);
  bytes[offset] = value;
  const { controlFileCrcOffset } = POSTGRES_17;
  new DataView(bytes.buffer).setUint32(controlFileCrcOffset, crc32c(bytes, 0, controlFileCrcOffset), true);
  return bytes;
}

describe('CheckPoint', () => {
  test('round-trips, and its padding is zero', () => {
    const bytes = new Uint8Array(CHECKPOINT_BYTES + 8).fill(0xff);
    const view = new DataView(bytes.buffer);
    encodeCheckPoint(POSTGRES_17, SAMPLE_CHECKPOINT, view, 8);
    expect(decodeCheckPoint(POSTGRES_17, view, 8)).toEqual(SAMPLE_CHECKPOINT);
    expect([
      ...bytes.subarray(8 + 17, 8 + 20),
      ...bytes.subarray(8 + 60, 8 + 64),
      ...bytes.subarray(8 + 84),
    ]).toEqual(new Array(11).fill(0));
  });

  test('has no wal_level before 17', () => {
    const older: PostgresVersion = { ...POSTGRES_17, checkPointHasWalLevel: false };
    const view = new DataView(new ArrayBuffer(CHECKPOINT_BYTES));
    encodeCheckPoint(older, SAMPLE_CHECKPOINT, view, 0);
    expect(view.getUint32(20, true)).toBe(0);
    expect(decodeCheckPoint(older, view, 0)).toEqual({ ...SAMPLE_CHECKPOINT, walLevel: undefined });
    const incomplete = { ...SAMPLE_CHECKPOINT, walLevel: undefined };
    expect(() => encodeCheckPoint(POSTGRES_17, incomplete, view, 0)).toThrow(CorruptionError);
  });

  test('a cut one, an LSN or a transaction id beyond 2^53 is refused', () => {
    const bytes = new Uint8Array(CHECKPOINT_BYTES);
    const view = new DataView(bytes.buffer);
    encodeCheckPoint(POSTGRES_17, SAMPLE_CHECKPOINT, view, 0);
    expect(() => decodeCheckPoint(POSTGRES_17, view, 1)).toThrow(CorruptionError);
    view.setUint32(28, 0x20_0000, true);
    expect(() => decodeCheckPoint(POSTGRES_17, view, 0)).toThrow(CorruptionError);
    view.setUint32(28, 0, true);
    view.setUint32(4, 0x20_0000, true);
    expect(() => decodeCheckPoint(POSTGRES_17, view, 0)).toThrow(CorruptionError);
  });
});

describe('pg_control', () => {
  test('round-trips as a file of 8192 bytes', () => {
    const bytes = encodeControlFile(POSTGRES_17, CONTROL);
    expect(bytes.length).toBe(8192);
    expect(bytes.subarray(292).every((byte) => byte === 0)).toBe(true);
    expect(decodeControlFile(POSTGRES_17, bytes)).toEqual(CONTROL);
    // The part that PostgreSQL reads is enough.
    expect(decodeControlFile(POSTGRES_17, bytes.subarray(0, 296))).toEqual(CONTROL);
  });

  test('with a version that says whether char is signed', () => {
    const newer: PostgresVersion = {
      ...POSTGRES_17,
      controlFileHasCharSignedness: true,
      controlFileNonceOffset: 257,
      controlFileCrcOffset: 292,
    };
    const control = { ...CONTROL, defaultCharSignedness: false };
    expect(decodeControlFile(newer, encodeControlFile(newer, control))).toEqual(control);
  });

  test.each([
    ['another format', 8, 'UNKNOWN_CONTROL_FILE_VERSION'],
    ['another catalog', 12, 'UNKNOWN_CATALOG_VERSION'],
    ['an unknown state', 16, 'BAD_CONTROL_FILE'],
    ['other floating-point numbers', 208, 'INCOMPATIBLE_CONTROL_FILE'],
    ['another alignment', 204, 'INCOMPATIBLE_CONTROL_FILE'],
    ['other relation segments', 220, 'INCOMPATIBLE_CONTROL_FILE'],
    ['other blocks', 217, 'INCOMPATIBLE_CONTROL_FILE'],
    ['other WAL blocks', 225, 'INCOMPATIBLE_CONTROL_FILE'],
    ['odd WAL segments', 228, 'INCOMPATIBLE_CONTROL_FILE'],
  ])('%s is refused by name', (_, offset, code) => {
    expect(() => decodeControlFile(POSTGRES_17, changed(offset, 99))).toThrow(
      expect.objectContaining({ code }),
    );
  });

  test('damage of any byte that counts, or a cut, is noticed', () => {
    const whole = encodeControlFile(POSTGRES_17, CONTROL);
    for (let offset = 0; offset < 292; offset++) {
      const bytes = Uint8Array.from(whole);
      bytes[offset] = (bytes[offset] as number) ^ 0x10;
      expect(() => decodeControlFile(POSTGRES_17, bytes), `byte ${offset}`).toThrow(CorruptionError);
    }
    for (let length = 0; length < 292; length++) {
      expect(() => decodeControlFile(POSTGRES_17, whole.subarray(0, length))).toThrow(CorruptionError);
    }
  });

  test('with a right CRC, any content gives a value or a typed error', () => {
    fc.assert(
      fc.property(fc.nat({ max: 287 }), fc.integer({ min: 0, max: 255 }), (offset, value) => {
        try {
          decodeControlFile(POSTGRES_17, changed(offset, value));
        } catch (error) {
          if (!(error instanceof CorruptionError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});
