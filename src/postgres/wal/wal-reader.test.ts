import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CorruptionError } from '../../base/errors.ts';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { DecodedRecord } from './decoded-record.ts';
import { encodeRecord } from './record-writer.ts';
import { WalReader } from './wal-reader.ts';
import type { WalReaderOptions } from './wal-reader-options.ts';
import { WalWriter, type WrittenRecord } from './wal-writer.ts';
import { DATA_START, WalWorkspace } from './workspace.ts';

const MIB = 1024 * 1024;
const workspace = new WalWorkspace();

function writer(startLsn: number, segmentBytes = MIB): WalWriter {
  return new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: 42n,
    timelineId: 1,
    segmentBytes,
    startLsn,
    previousLsn: Math.max(startLsn - 64, 0),
  });
}

interface Seen extends WrittenRecord {
  readonly length: number;
  readonly xid: number;
}

/** Feeds `wal` (which begins at `baseLsn`) from the reader's position on, in chunks whose sizes come from `sizes`. */
function readAll(
  wal: Uint8Array,
  baseLsn: number,
  options: Partial<WalReaderOptions> & { startLsn: number },
  sizes: readonly number[] = [wal.length],
): { seen: Seen[]; reader: WalReader } {
  const reader = new WalReader({ version: POSTGRES_17, segmentBytes: MIB, workspace, ...options });
  const record = new DecodedRecord(POSTGRES_17);
  const seen: Seen[] = [];
  let position = reader.position - baseLsn;
  for (let turn = 0; position < wal.length; turn++) {
    const end = Math.min(position + (sizes[turn % sizes.length] as number), wal.length);
    reader.feed(wal, position, end);
    while (reader.next()) {
      expect((reader.recordOffset - DATA_START) % 8).toBe(0);
      reader.decode(record);
      seen.push({
        startLsn: reader.startLsn as Seen['startLsn'],
        endLsn: reader.endLsn as Seen['endLsn'],
        length: record.mainDataLength,
        xid: record.xid,
      });
    }
    position = end;
  }
  return { seen, reader };
}

function append(wal: WalWriter, xid: number, length: number): Seen {
  const mainData = Uint8Array.from({ length }, (_, index) => (index * 31 + xid) & 0xff);
  const written = wal.append({ resourceManager: RM_LOGICAL_MESSAGE, info: 0, xid, mainData });
  return { ...written, length, xid };
}

describe('a WAL reader', () => {
  test('gives back what was written, whatever the chunks, across pages and segments', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 * MIB }),
        fc.array(fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 7000, max: 40_000 })), {
          maxLength: 60,
        }),
        fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 6 }),
        (start, lengths, sizes) => {
          const wal = writer(start - (start % 8));
          const startLsn = wal.nextLsn;
          const written = lengths.map((length, index) => append(wal, index + 3, length));
          const { seen, reader } = readAll(
            wal.take(),
            wal.baseLsn,
            { startLsn, systemIdentifier: 42n },
            sizes,
          );
          expect(seen).toEqual(written);
          if (written.length === 0) return;
          expect(reader.position).toBe(wal.position);
          expect(reader.lastEndLsn).toBe(wal.position);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('finds the first record at or after any LSN', () => {
    const wal = writer(MIB);
    const written = [10, 20_000, 5, 8100, 8100, 0, 60_000, 1].map((length, index) =>
      append(wal, index + 3, length),
    );
    const bytes = wal.take();
    for (let lsn = MIB; lsn < wal.position; lsn += 97) {
      const { seen } = readAll(bytes, wal.baseLsn, { startLsn: lsn, mode: 'search' }, [4000, 9000]);
      expect(seen).toEqual(written.filter((record) => record.startLsn >= lsn));
    }
  });

  test('passes over the rest of the segment after a switch', () => {
    for (const pagesHaveHeaders of [true, false]) {
      const wal = writer(MIB);
      const first = append(wal, 3, 100);
      const switched = wal.append({ resourceManager: RM_XLOG, info: 0x40 });
      wal.fillSegment();
      const second = append(wal, 4, 9000);
      const bytes = wal.take();
      if (!pagesHaveHeaders) bytes.fill(0, switched.endLsn - MIB, MIB);
      const { seen } = readAll(bytes, MIB, { startLsn: MIB + 40 }, [1, 7, 50_000]);
      expect(seen.map((record) => record.startLsn)).toEqual([
        first.startLsn,
        switched.startLsn,
        second.startLsn,
      ]);
      expect(seen[1]?.endLsn).toBe(2 * MIB);
    }
  });

  test('drops a record that was given up after a crash, and checks who says so', () => {
    const wal = writer(MIB);
    const first = append(wal, 3, 100);
    const lost = encodeRecord(
      { resourceManager: RM_LOGICAL_MESSAGE, info: 0, mainData: new Uint8Array(30_000) },
      first.startLsn,
    );
    const lostStart = wal.appendAborted(lost, 20_000);
    const body = new Uint8Array(16);
    new DataView(body.buffer).setBigUint64(0, BigInt(lostStart), true);
    const marker = wal.append({ resourceManager: RM_XLOG, info: 0xd0, mainData: body });
    const after = append(wal, 5, 10);
    const bytes = wal.take();
    for (const sizes of [[bytes.length], [1], [8192], [333, 12_345]]) {
      const { seen } = readAll(bytes, MIB, { startLsn: MIB + 40 }, sizes);
      expect(seen.map((record) => record.startLsn)).toEqual([
        first.startLsn,
        marker.startLsn,
        after.startLsn,
      ]);
    }
    const wrong = writer(MIB);
    append(wrong, 3, 100);
    wrong.appendAborted(lost, 20_000);
    new DataView(body.buffer).setBigUint64(0, BigInt(lostStart) + 8n, true);
    wrong.append({ resourceManager: RM_XLOG, info: 0xd0, mainData: body });
    expect(() => readAll(wrong.take(), MIB, { startLsn: MIB + 40 })).toThrow(
      /was given up, but 0\/1000B0 is named/,
    );
  });

  test('stops at zeros, between records, at a page and within a record', () => {
    const wal = writer(MIB);
    const first = append(wal, 3, 100);
    const second = append(wal, 4, 20_000);
    const bytes = new Uint8Array(MIB);
    bytes.set(wal.take());
    const whole = readAll(bytes, MIB, { startLsn: MIB + 40 });
    expect(whole.seen).toEqual([first, second]);
    expect(whole.reader.end?.lsn).toBe(second.endLsn);
    bytes.fill(0, 2 * 8192);
    const cut = readAll(bytes, MIB, { startLsn: MIB + 40 });
    expect(cut.seen).toEqual([first]);
    expect(cut.reader.end).toEqual({ lsn: second.startLsn, reason: 'the page has not been written yet' });
  });

  test('shows all records before the damaged one, then says where the damage is, again and again', () => {
    const wal = writer(MIB);
    const written = [100, 200, 9000, 300].map((length, index) => append(wal, index + 3, length));
    const bytes = wal.take();
    const damaged = (written[2]?.startLsn ?? 0) - MIB + 3000;
    bytes[damaged] = (bytes[damaged] as number) ^ 0x10;
    const reader = new WalReader({
      version: POSTGRES_17,
      segmentBytes: MIB,
      startLsn: MIB + 40,
      workspace,
      file: 'x',
    });
    reader.feed(bytes, 40);
    expect(reader.next()).toBe(true);
    expect(reader.next()).toBe(true);
    for (let again = 0; again < 2; again++) {
      expect(() => reader.next()).toThrow(CorruptionError);
      expect(() => reader.next()).toThrow(/CRC.*file x, LSN 0\/1001/);
    }
  });

  test('refuses pages and records that contradict themselves', () => {
    const wal = writer(MIB);
    for (let index = 0; index < 6; index++) append(wal, index + 3, 5000);
    const good = wal.take();
    const cases: [string, number, number, RegExp][] = [
      ['magic', 8192, 0xd1, /magic/],
      ['unknown flag', 8192 + 2, 0x10, /unknown flags/],
      ['timeline', 8192 + 4, 3, /timeline/],
      ['page address', 8192 + 9, 1, /the page says that it is/],
      ['remaining length', 8192 + 16, 1, /announced/],
      ['segment size', 32, 1, /segments have/],
      ['block size', 36, 1, /WAL pages have/],
      ['system', 24, 1, /system/],
      ['long header', 8192 + 2, 3, /long page headers/],
      ['record length', 40, 1, /too short|CRC/],
      ['back link', 40 + 8, 1, /as the one before it|CRC/],
    ];
    for (const [name, offset, value, message] of cases) {
      const bytes = good.slice();
      bytes[offset] = bytes[offset] === value ? value + 1 : value;
      const options = { startLsn: MIB, systemIdentifier: 42n, timelineId: 1 };
      expect(() => readAll(bytes, MIB, options), name).toThrow(message);
    }
    expect(readAll(good, MIB, { startLsn: MIB }).seen.length).toBe(6);
    const limit = { startLsn: MIB, recordBytesMax: 4000 };
    expect(() => readAll(good, MIB, limit)).toThrow(/longer than the limit/);
  });

  test.each([1, 2, 16, 64, 1024])('crosses segments of %i MiB, and nothing else as if it were one', (mib) => {
    const segmentBytes = mib * MIB;
    const wal = writer(3 * segmentBytes - 20_000, segmentBytes);
    const startLsn = wal.nextLsn;
    const written = [100, 9000, 9000, 30_000, 5].map((length, index) => append(wal, index + 3, length));
    const { seen } = readAll(wal.take(), wal.baseLsn, { startLsn, segmentBytes }, [5000]);
    expect(seen).toEqual(written);
    expect(written.at(-1)?.endLsn).toBeGreaterThan(3 * segmentBytes);
    if (mib === 1) return;
    expect(() => readAll(wal.take(), wal.baseLsn, { startLsn, segmentBytes: MIB })).toThrow(
      /the segments have/,
    );
  });

  test('shares its workspace with other readers, one batch at a time', () => {
    const streams = [1, 2, 3].map((number) => {
      const wal = writer(number * MIB);
      const written = [100, 9000, 70, 20_000, 1].map((length, index) =>
        append(wal, number * 100 + index, length),
      );
      const reader = new WalReader({
        version: POSTGRES_17,
        segmentBytes: MIB,
        startLsn: number * MIB,
        workspace,
      });
      return { bytes: wal.take(), base: wal.baseLsn, written, reader, seen: [] as number[] };
    });
    const record = new DecodedRecord(POSTGRES_17);
    for (let step = 0; step < 60; step++) {
      for (const { bytes, base, reader, seen } of streams) {
        const start = reader.position - base;
        reader.feed(bytes, start, Math.min(bytes.length, start + 700));
        while (reader.next()) {
          reader.decode(record);
          seen.push(record.xid);
        }
      }
    }
    for (const { written, seen } of streams) expect(seen).toEqual(written.map(({ xid }) => xid));
  });

  test('says so when another reader takes the workspace too early', () => {
    const wal = writer(MIB);
    for (let index = 0; index < 3; index++) append(wal, index + 3, 10);
    const bytes = wal.take();
    const options = { version: POSTGRES_17, segmentBytes: MIB, startLsn: MIB, workspace };
    const [first, second] = [new WalReader(options), new WalReader(options)];
    first.feed(bytes);
    expect(first.next()).toBe(true);
    second.feed(bytes);
    expect(second.next()).toBe(true);
    expect(() => first.next()).toThrow(/took the WAL workspace/);
    expect(() => second.feed(bytes)).toThrow(/fed before it had given all its records/);
  });

  test('gives the memory back that a huge record has taken', () => {
    const own = new WalWorkspace();
    const wal = writer(MIB, 16 * MIB);
    const huge = append(wal, 3, 40 * MIB);
    const small = append(wal, 4, 10);
    const before = own.bytes.length;
    const options = { startLsn: MIB, segmentBytes: 16 * MIB, workspace: own };
    const { seen, reader } = readAll(wal.take(), wal.baseLsn, options, [128 * 1024]);
    expect(seen).toEqual([huge, small]);
    append(wal, 5, 10);
    reader.feed(wal.take(), reader.position - wal.baseLsn);
    reader.next();
    expect(own.bytes.length).toBe(before);
  });
});
