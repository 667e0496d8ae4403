import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRecordSamples, recordSamplesPath } from '../../test/golden/record-samples.ts';
import { SeededRandom } from '../../test/support/seeded-random.ts';
import { CorruptionError, UnknownRecordError } from '../base/errors.ts';
import { type Lsn, toLsn, writeLsn } from '../base/lsn.ts';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../postgres/versions/version.ts';
import { RECORD_INFO, RECORD_PREVIOUS, RECORD_RESOURCE_MANAGER } from '../postgres/wal/record-header.ts';
import { encodeRecord, setRecordCrc } from '../postgres/wal/record-writer.ts';
import { WalReader } from '../postgres/wal/wal-reader.ts';
import { WalWriter } from '../postgres/wal/wal-writer.ts';
import { RecordGuard } from './record-guard.ts';

const MIB = 1024 * 1024;
const XLOG_NOOP = 0x20;
const XLOG_SWITCH = 0x40;
const XLOG_OVERWRITE_CONTRECORD = 0xd0;
const cluster = { version: POSTGRES_17, systemIdentifier: 7n, timelineId: 1, segmentBytes: MIB };

const makeWriter = (startLsn: number): WalWriter => new WalWriter({ ...cluster, startLsn, previousLsn: 0 });

const noop = (length: number) => ({
  resourceManager: RM_XLOG,
  info: XLOG_NOOP,
  mainData: new Uint8Array(length),
});

/** The WAL from `startLsn` on. */
const walFrom = (writer: WalWriter, startLsn: number): Uint8Array =>
  writer.take().subarray(startLsn - writer.baseLsn);

/** Start LSNs of the records that WalReader finds. */
function readStarts(wal: Uint8Array, startLsn: number): number[] {
  const reader = new WalReader({ ...cluster, startLsn });
  reader.feed(wal);
  const starts: number[] = [];
  while (reader.next()) starts.push(reader.startLsn);
  return starts;
}

/** A piece of WAL of every kind of record that the goldens have, at the sizes that real servers wrote. */
function goldenWal(startLsn: number): WalWriter {
  const writer = makeWriter(startLsn);
  for (const version of ['17', '17.11'] as const) {
    for (const sample of readRecordSamples(recordSamplesPath(version))) {
      const bytes = sample.bytes.slice();
      const isXlog = bytes[RECORD_RESOURCE_MANAGER] === RM_XLOG;
      const kind = (bytes[RECORD_INFO] as number) & 0xf0;
      // It may only stand where a record was given up.
      if (isXlog && kind === XLOG_OVERWRITE_CONTRECORD) continue;
      writeLsn(new DataView(bytes.buffer), RECORD_PREVIOUS, writer.previousLsn);
      setRecordCrc(bytes);
      writer.appendBytes(bytes);
      // As the server does: what follows a switch is the next segment.
      if (isXlog && kind === XLOG_SWITCH) writer.fillSegment();
    }
  }
  return writer;
}

describe('over real records', () => {
  const startLsn = 3 * MIB + 40;
  const writer = goldenWal(startLsn);
  const wal = walFrom(writer, startLsn);
  const starts = readStarts(wal, startLsn);

  test.each([1, 2, 3, 7, 8, 17, 18, 23, 24, 25, 41, 100, 1000, 4095, 8191, 8192, 8193, 131_072])(
    'chunks of %d bytes show what WalReader shows',
    (size) => {
      // Small chunks over the beginning only: they all take the same paths.
      const bytes = size < 100 ? wal.subarray(0, 40_000) : wal;
      const guard = new RecordGuard(toLsn(startLsn), cluster);
      for (let at = 0; at < bytes.length; at += size) {
        const chunk = bytes.subarray(at, at + size);
        guard.take(chunk);
        expect(guard.position).toBe(startLsn + at + chunk.length);
        expect(guard.safeLsn).toBeLessThanOrEqual(guard.position);
        expect(guard.position - guard.safeLsn).toBeLessThan(24 + 40);
      }
      expect(guard.records).toBe(
        bytes === wal ? starts.length : starts.filter((lsn) => lsn <= guard.safeLsn - 24).length,
      );
    },
  );

  test('chunks of random sizes show the same', () => {
    const random = new SeededRandom(1);
    for (let run = 0; run < 20; run++) {
      const guard = new RecordGuard(toLsn(startLsn), cluster);
      for (let at = 0; at < wal.length; ) {
        const size = 1 + random.below(random.pick([30, 300, 30_000]));
        guard.take(wal.subarray(at, at + size));
        at += size;
      }
      expect(guard.records).toBe(starts.length);
      expect(guard.safeLsn).toBe(startLsn + wal.length);
      expect(guard.recordEndLsn).toBe(writer.position);
    }
  });
});

test.each([8192, MIB, 8192 + 24, 8192 + 32, MIB + 40, MIB - 32, 8192 - 24, 8192 * 3 - 8])(
  'begins at %d, before the header of a page too',
  (startLsn) => {
    const writer = makeWriter(startLsn);
    for (let count = 0; count < 5; count++) writer.append(noop(count * 4000));
    const guard = new RecordGuard(toLsn(startLsn), cluster);
    guard.take(walFrom(writer, startLsn));
    expect(guard.records).toBe(5);
    expect(guard.safeLsn).toBe(writer.position);
  },
);

test('the bytes that align the end of a record may come later, or first of all', () => {
  const writer = makeWriter(MIB + 40);
  const { endLsn } = writer.append(noop(3));
  writer.append(noop(1));
  const guard = new RecordGuard(toLsn(endLsn - 3), cluster);
  guard.take(walFrom(writer, endLsn - 3).subarray(0, 1));
  expect(guard.safeLsn).toBe(endLsn - 2);
  guard.take(walFrom(writer, endLsn - 2));
  expect(guard.records).toBe(1);
});

test('a segment switch: what follows up to the next segment counts as sent, whatever it is', () => {
  const writer = makeWriter(MIB + 40);
  writer.append({ resourceManager: RM_XLOG, info: XLOG_SWITCH });
  writer.fillSegment();
  writer.append(noop(10));
  const wal = walFrom(writer, MIB + 40);
  for (const fill of [0, 0xff]) {
    const filled = wal.slice();
    filled.fill(fill, 24, MIB - 40);
    for (const size of [wal.length, 5000]) {
      const guard = new RecordGuard(toLsn(MIB + 40), cluster);
      for (let at = 0; at < wal.length; at += size) guard.take(filled.subarray(at, at + size));
      expect(guard.records).toBe(2);
      expect(guard.safeLsn).toBe(writer.position);
    }
  }
});

test.each([
  [0, 30],
  [0, 8192 - 40 - 24],
  [0, 8192 - 40],
  [8192 - 40 - 8, 8],
  [8192 - 40 - 24, 24],
])('a record given up, %d bytes into the page and after %d of its own', (before, written) => {
  const writer = makeWriter(MIB + 40);
  if (before > 0) writer.append(noop(before - 29));
  const aborted = writer.appendAborted(encodeRecord(noop(20_000), writer.previousLsn), written);
  const body = new Uint8Array(16);
  writeLsn(new DataView(body.buffer), 0, aborted);
  writer.append({ resourceManager: RM_XLOG, info: XLOG_OVERWRITE_CONTRECORD, mainData: body });
  writer.append(noop(10));
  for (const size of [1, 10, 100_000]) {
    const guard = new RecordGuard(toLsn(MIB + 40), cluster);
    const wal = walFrom(writer, MIB + 40);
    for (let at = 0; at < wal.length; at += size) guard.take(wal.subarray(at, at + size));
    expect(guard.safeLsn).toBe(writer.position);
    // One whose header was cut has not been read.
    expect(guard.records).toBe((before > 0 ? 1 : 0) + (written < 24 ? 2 : 3));
  }
});

describe('an unknown record', () => {
  test.each([
    [134, 0x10],
    [22, 0],
    [RM_LOGICAL_MESSAGE, 0x10],
    [RM_XLOG, 0xf0],
  ])('%d/%d is refused before any of its bytes are safe', (resourceManager, info) => {
    fc.assert(
      fc.property(fc.nat(20_000), fc.nat(9000), fc.integer({ min: 1, max: 9000 }), (before, length, size) => {
        const writer = makeWriter(MIB + 40);
        writer.append(noop(before));
        const { startLsn } = writer.append({ resourceManager, info, mainData: new Uint8Array(length) });
        writer.append(noop(100));
        const guard = new RecordGuard(toLsn(MIB + 40), cluster);
        const wal = walFrom(writer, MIB + 40);
        let error: unknown;
        for (let at = 0; at < wal.length && error === undefined; at += size) {
          try {
            guard.take(wal.subarray(at, at + size));
          } catch (thrown) {
            error = thrown;
          }
          expect(guard.safeLsn).toBeLessThanOrEqual(startLsn);
        }
        expect(error).toBeInstanceOf(UnknownRecordError);
        expect((error as UnknownRecordError).place).toMatchObject({ lsn: startLsn, resourceManager });
        expect(() => guard.take(new Uint8Array(1))).toThrow(error as Error);
      }),
      { numRuns: 60 },
    );
  });
});

describe('damage is refused', () => {
  const startLsn = MIB + 40;
  const makeWal = (): Uint8Array => {
    const writer = makeWriter(startLsn);
    for (const length of [100, 9000, 50]) writer.append(noop(length));
    return walFrom(writer, startLsn);
  };
  const secondPage = 8192 - 40;

  test.each<[string, (view: DataView) => void]>([
    ['a record of no bytes', (view) => view.setUint32(0, 0)],
    ['a record shorter than its header', (view) => view.setUint32(0, 23, true)],
    ['a record that is too long', (view) => view.setUint32(0, 0x4000_0000, true)],
    ['a length above 2 GiB', (view) => view.setUint32(0, 0xffff_fffc, true)],
    ['a page of another version', (view) => view.setUint16(secondPage, 0xd113, true)],
    ['a page that stands elsewhere', (view) => view.setUint32(secondPage + 8, 0x1234_0000, true)],
    ['a page that announces another length', (view) => view.setUint32(secondPage + 16, 5, true)],
    ['a page that does not go on', (view) => view.setUint32(secondPage + 2, 0, true)],
    ['a page that gives a record up and goes on', (view) => view.setUint16(secondPage + 2, 9, true)],
  ])('%s', (_name, damage) => {
    const wal = makeWal();
    damage(new DataView(wal.buffer, wal.byteOffset, wal.byteLength));
    for (const size of [1, 13, wal.length]) {
      const guard = new RecordGuard(startLsn as Lsn, cluster);
      expect(() => {
        for (let at = 0; at < wal.length; at += size) guard.take(wal.subarray(at, at + size));
      }).toThrow(CorruptionError);
    }
  });

  test('a segment of another system', () => {
    const writer = makeWriter(MIB);
    writer.append(noop(1));
    const guard = new RecordGuard(toLsn(MIB), { ...cluster, systemIdentifier: 8n });
    expect(() => guard.take(walFrom(writer, MIB))).toThrow(/of system 7, not 8/);
    expect(guard.safeLsn).toBe(MIB);
  });
});

test('tells where the last whole record ends', () => {
  const startLsn = MIB + 40;
  const writer = makeWriter(startLsn);
  const ends = [startLsn];
  for (const length of [10, 8200, 1, 20_000, 0, 8072]) ends.push(writer.append(noop(length)).endLsn);
  writer.append({ resourceManager: RM_XLOG, info: XLOG_SWITCH });
  writer.fillSegment();
  ends.push(writer.position);
  const wal = walFrom(writer, startLsn);
  const guard = new RecordGuard(toLsn(startLsn), cluster);
  for (let at = 0; at < 45_000; at++) {
    guard.take(wal.subarray(at, at + 1));
    expect(guard.recordEndLsn).toBe(ends.findLast((lsn) => lsn <= guard.position));
  }
  guard.take(wal.subarray(45_000));
  expect(guard.recordEndLsn).toBe(2 * MIB);
});
