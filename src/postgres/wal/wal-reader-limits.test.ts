import { describe, expect, test } from 'vitest';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../versions/version.ts';
import { DecodedRecord } from './decoded-record.ts';
import { firstRecordPosition, WAL_HEADER_INFO, WAL_HEADER_TIMELINE } from './page-header.ts';
import { encodeRecord } from './record-writer.ts';
import { WalReader } from './wal-reader.ts';
import { WalWriter } from './wal-writer.ts';
import { WalWorkspace } from './workspace.ts';

const MIB = 1024 * 1024;
const PAGE = 8192;
const base = { version: POSTGRES_17, segmentBytes: MIB };

function writer(startLsn = MIB): WalWriter {
  return new WalWriter({ ...base, systemIdentifier: 42n, timelineId: 4, startLsn, previousLsn: 0 });
}

const message = (length: number) => ({
  resourceManager: RM_LOGICAL_MESSAGE,
  info: 0,
  mainData: new Uint8Array(length).fill(7),
});

/** A record that ends where the page does. */
function fillPage(wal: WalWriter): void {
  wal.append(message(PAGE - (wal.nextLsn % PAGE) - 29));
}

function countAll(wal: WalWriter, change: (bytes: Uint8Array, view: DataView) => void): number {
  const bytes = wal.take();
  change(bytes, new DataView(bytes.buffer));
  const reader = new WalReader({ ...base, startLsn: wal.baseLsn });
  reader.feed(bytes);
  let count = 0;
  while (reader.next()) count++;
  return count;
}

describe('page headers that PostgreSQL would not take', () => {
  function twoPages(): WalWriter {
    const wal = writer();
    fillPage(wal);
    wal.append(message(10));
    return wal;
  }

  test('a page that goes on with a record of no bytes, where none was cut off', () => {
    expect(countAll(twoPages(), () => undefined)).toBe(2);
    expect(() => countAll(twoPages(), (_, view) => view.setUint16(PAGE + WAL_HEADER_INFO, 1, true))).toThrow(
      /none was cut off/,
    );
  });

  test('a page that gives up a record, where none was cut off', () => {
    expect(() => countAll(twoPages(), (_, view) => view.setUint16(PAGE + WAL_HEADER_INFO, 8, true))).toThrow(
      /the page gives up a record, but none was cut off/,
    );
  });

  test('a record that gives up another, on a page that does not', () => {
    const wal = twoPages();
    wal.append({ resourceManager: RM_XLOG, info: 0xd0, mainData: new Uint8Array(16) });
    expect(() => countAll(wal, () => undefined)).toThrow(/the record gives up another, but none was cut off/);
  });

  test('a timeline that is followed by an older one', () => {
    const setTimeline = (timelineId: number) => (_: Uint8Array, view: DataView) =>
      view.setUint32(PAGE + WAL_HEADER_TIMELINE, timelineId, true);
    expect(countAll(twoPages(), setTimeline(5))).toBe(2);
    expect(() => countAll(twoPages(), setTimeline(3))).toThrow(/of timeline 3, after one of 4/);
  });
});

test('begins exactly at no place that lies within a page header', () => {
  for (const startLsn of [MIB + 8, MIB + 32, MIB + PAGE + 8, MIB + PAGE + 16]) {
    expect(() => new WalReader({ ...base, startLsn }), String(startLsn)).toThrow(/the header of a page/);
    expect(firstRecordPosition(startLsn, MIB)).toBe(startLsn < MIB + PAGE ? MIB + 40 : MIB + PAGE + 24);
    expect(writer(startLsn).append(message(1)).startLsn).toBe(firstRecordPosition(startLsn, MIB));
  }
  for (const startLsn of [MIB, MIB + 40, MIB + PAGE, MIB + PAGE + 24]) {
    expect(new WalReader({ ...base, startLsn }).position).toBe(startLsn);
  }
});

test('a writer does not cut a record on the page where it ends', () => {
  const wal = writer();
  const bytes = encodeRecord(message(9000), 0);
  expect(() => wal.appendAborted(bytes, 8500)).toThrow(/ends on the page of the cut/);
});

test('a record is not written with a length that its header cannot hold', () => {
  const block = { blockId: 0, tablespace: 1663, database: 5, relation: 16384, blockNumber: 0 };
  const image = {
    bytes: new Uint8Array(PAGE + 1),
    holeOffset: 0,
    holeLength: 0,
    imageInfo: 0,
    compressed: false,
  };
  const record = { resourceManager: RM_XLOG, info: 0xb0 };
  const withData = (length: number) => ({ ...record, blocks: [{ ...block, data: new Uint8Array(length) }] });
  expect(encodeRecord(withData(0xffff), 0).length).toBe(24 + 20 + 0xffff);
  expect(() => encodeRecord(withData(0x10000), 0)).toThrow(/block 0 is too long/);
  expect(() => encodeRecord({ ...record, blocks: [{ ...block, image }] }, 0)).toThrow(/block 0 is too long/);
});

test('takes no chunk that reaches beyond its buffer', () => {
  const reader = new WalReader({ ...base, startLsn: MIB });
  for (const [start, end] of [
    [0, 11],
    [-1, 5],
    [6, 5],
  ] as const) {
    expect(() => reader.feed(new Uint8Array(10), start, end)).toThrow(/a chunk of 10 bytes/);
  }
  reader.feed(new Uint8Array(10), 10);
  expect(reader.next()).toBe(false);
});

test('decodes nothing once another reader has its batch in the workspace', () => {
  const wal = writer();
  wal.append(message(10));
  const workspace = new WalWorkspace();
  const options = { ...base, startLsn: MIB, workspace };
  const [first, second] = [new WalReader(options), new WalReader(options)];
  const record = new DecodedRecord(POSTGRES_17);
  first.feed(wal.take());
  expect(first.next()).toBe(true);
  second.feed(wal.take());
  expect(second.next()).toBe(true);
  expect(() => first.decode(record)).toThrow(/took the WAL workspace/);
  second.decode(record);
});

test('shows no record whose CRC it could not check, once memory has run out', () => {
  class FullWorkspace extends WalWorkspace {
    override reserve(end: number): void {
      if (end > 100_000) throw new RangeError('out of memory');
      super.reserve(end);
    }
  }
  const wal = writer();
  for (let index = 0; index < 10; index++) wal.append(message(20_000));
  const reader = new WalReader({ ...base, startLsn: MIB, workspace: new FullWorkspace() });
  reader.feed(wal.take());
  for (let again = 0; again < 3; again++) expect(() => reader.next()).toThrow('out of memory');
});

describe('a search that begins in zeros', () => {
  const search = (bytes: Uint8Array, startLsn: number): WalReader => {
    const reader = new WalReader({ ...base, startLsn, mode: 'search' });
    reader.feed(bytes, reader.position - MIB);
    return reader;
  };

  /** A segment that ends with a switch, with the rest of it as PostgreSQL leaves it, and one more record. */
  function switched(): { bytes: Uint8Array; next: number } {
    const wal = writer();
    wal.append(message(10));
    wal.append({ resourceManager: RM_XLOG, info: 0x40 });
    wal.fillSegment();
    const { startLsn } = wal.append(message(20_000));
    const bytes = wal.take();
    bytes.fill(0, PAGE, MIB);
    return { bytes, next: startLsn };
  }

  test('finds the record behind the rest of a segment that a switch has ended', () => {
    const { bytes, next } = switched();
    for (const startLsn of [MIB + PAGE, MIB + 5 * PAGE + 100, 2 * MIB - 1]) {
      const reader = search(bytes, startLsn);
      expect(reader.next()).toBe(true);
      expect(reader.startLsn).toBe(next);
    }
  });

  test('finds nothing where nothing has been written', () => {
    const reader = search(new Uint8Array(2 * MIB), MIB + 3 * PAGE);
    expect(reader.next()).toBe(false);
    expect(reader.end?.lsn).toBe(2 * MIB);
  });

  test('takes no lost pages for the rest of a segment', () => {
    const { bytes } = switched();
    const page = new Uint8Array(bytes.subarray(MIB, MIB + PAGE));
    bytes.set(page, 9 * PAGE);
    expect(() => search(bytes, MIB + 2 * PAGE).next()).toThrow(/behind pages that have not been written/);
    const wal = writer(2 * MIB - 5 * PAGE);
    wal.append(message(9 * PAGE));
    const lost = new Uint8Array(MIB - 5 * PAGE + wal.take().length);
    lost.set(wal.take().subarray(5 * PAGE), MIB);
    expect(() => search(lost, 2 * MIB - 3 * PAGE).next()).toThrow(/that zeros cut off/);
  });
});
