import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type MadeWal,
  makeWal,
  TEST_SEGMENT_BYTES,
  TEST_SYSTEM,
} from '../../../test/support/safekeeper-wal.ts';
import { VarveError } from '../../base/errors.ts';
import { INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import type { Files, ReadableFile } from '../../io/files.ts';
import { nodeFiles } from '../../io/node/files.ts';
import { POSTGRES_17 } from '../../postgres/versions/version.ts';
import { WalWorkspace } from '../../postgres/wal/workspace.ts';
import { WalStorage, type WalStorageOptions } from './wal-storage.ts';

const START = toLsn(0x100_0000 + 3 * 8192 + 0x100);
const SEGMENT = TEST_SEGMENT_BYTES;
const workspace = new WalWorkspace();
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-wal-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function open(changes: Partial<WalStorageOptions> = {}): Promise<WalStorage> {
  return WalStorage.open({
    files: nodeFiles,
    directory,
    version: POSTGRES_17,
    segmentBytes: SEGMENT,
    systemIdentifier: TEST_SYSTEM,
    commitLsn: INVALID_LSN,
    timelineStartLsn: START,
    localStartLsn: START,
    workspace,
    ...changes,
  });
}

async function create(lsn: Lsn = START): Promise<WalStorage> {
  const storage = await open({ localStartLsn: lsn, timelineStartLsn: lsn });
  await storage.initialize(lsn, TEST_SYSTEM);
  return storage;
}

/** Writes WAL in pieces from where the storage is. */
async function writeUpTo(storage: WalStorage, wal: MadeWal, endLsn: number, piece = 1000): Promise<void> {
  while (storage.writeLsn < endLsn) {
    const length = Math.min(piece, endLsn - storage.writeLsn);
    await storage.write(storage.writeLsn, wal.bytes, storage.writeLsn - wal.startLsn, length);
  }
}

async function readAll(storage: WalStorage, from: Lsn, to: Lsn): Promise<Uint8Array> {
  const bytes = new Uint8Array(to - from);
  for (let at = from; at < to; ) {
    const count = await storage.read(bytes, at - from, to - at, at);
    if (count === 0) throw new Error('nothing there');
    at = toLsn(at + count);
  }
  return bytes;
}

/** A storage whose reads from its last segment wait. */
async function openSlowly(commitLsn: Lsn): Promise<{ storage: WalStorage; letRead: () => void }> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isSlow = false;
  const files: Files = {
    ...nodeFiles,
    open: async (path) => {
      const file = await nodeFiles.open(path);
      if (!isSlow || !path.includes('012')) return file;
      const read: ReadableFile['read'] = async (...range) => {
        await promise;
        return file.read(...range);
      };
      const { sizeBytes } = file;
      const readNow: ReadableFile['readNow'] = (...range) => file.readNow(...range);
      return {
        path,
        sizeBytes,
        read,
        readNow,
        close: () => file.close(),
        [Symbol.asyncDispose]: () => file.close(),
      };
    },
  };
  const storage = await open({ commitLsn, files });
  isSlow = true;
  return { storage, letRead: resolve };
}

/** Compares in one piece: a matcher takes seconds for some megabytes. */
async function expectAll(storage: WalStorage, wal: MadeWal): Promise<void> {
  expect(Buffer.compare(await readAll(storage, START, endOf(wal)), wal.bytes)).toBe(0);
}

const endOf = (wal: MadeWal): Lsn => wal.ends.at(-1) as Lsn;
const names = (): string[] => readdirSync(directory).sort();
const record = (wal: MadeWal, index: number): Lsn => wal.ends[index] as Lsn;
const sizes = (count: number, bytes = 500): number[] => new Array<number>(count).fill(bytes);

async function refusal(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof VarveError) return `${error.kind} ${error.code}`;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('a first segment', () => {
  test('is made with headers that let PostgreSQL tools pass over what is missing', async () => {
    await using storage = await create();
    expect([storage.writeLsn, storage.recordLsn, storage.flushLsn]).toEqual([START, START, START]);
    expect(names()).toEqual(['000000010000000000000010.partial']);
    const bytes = readFileSync(join(directory, '000000010000000000000010.partial'));
    expect(bytes.length).toBe(SEGMENT);
    expect([bytes.readUInt16LE(0), bytes.readUInt16LE(2), bytes.readUInt32LE(16)]).toEqual([0xd116, 2, 0]);
    expect(bytes.readBigUInt64LE(24)).toBe(TEST_SYSTEM);
    const page = 3 * 8192;
    expect([bytes.readUInt16LE(page), bytes.readUInt16LE(page + 2)]).toEqual([0xd116, 1]);
    expect(bytes.readUInt32LE(page + 16)).toBe(0x100 - 24);
    expect(bytes.subarray(page + 24).every((byte) => byte === 0)).toBe(true);
  });

  test.each([0x100_0000, 0x100_0000 + 40, 0x100_0000 + 8192, 0x100_0000 + 8192 + 24])(
    'can begin at %i, and is there after a restart',
    async (lsn) => {
      const start = toLsn(lsn);
      const wal = makeWal({ startLsn: start, recordBytes: sizes(100) });
      {
        await using storage = await create(start);
        await writeUpTo(storage, wal, endOf(wal));
        await storage.flush();
      }
      for (const commitLsn of [INVALID_LSN, start, record(wal, 0), record(wal, 60), endOf(wal)]) {
        await using storage = await open({ localStartLsn: start, commitLsn });
        expect(storage.flushLsn).toBe(endOf(wal));
      }
    },
  );

  test.each([0, 3, 0x100_0000 + 8, 0x100_0000 + 8192 + 16])('can not begin at %i', async (lsn) => {
    await using storage = await open({ localStartLsn: INVALID_LSN, timelineStartLsn: INVALID_LSN });
    expect(await refusal(() => storage.initialize(lsn as Lsn, TEST_SYSTEM))).toBe('bad-request BAD_LSN');
    expect(names()).toEqual([]);
  });

  test('takes the place of what an earlier attempt has left', async () => {
    await (await create(toLsn(START + 5 * SEGMENT))).close();
    writeFileSync(join(directory, 'first-segment.temporary'), 'x');
    await using storage = await open({ localStartLsn: INVALID_LSN, timelineStartLsn: INVALID_LSN });
    expect(storage.writeLsn).toBe(0);
    await storage.initialize(START, TEST_SYSTEM);
    expect(names()).toEqual(['000000010000000000000010.partial']);
  });

  test('is wanted before anything is written', async () => {
    await using storage = await open();
    expect([storage.writeLsn, storage.oldestLocalSegment, storage.localBytes]).toEqual([0, undefined, 0]);
    expect(await refusal(() => storage.write(INVALID_LSN, new Uint8Array(8), 0, 8))).toBe(
      'assertion ASSERTION',
    );
    expect(await storage.read(new Uint8Array(8), 0, 8, START)).toBe(0);
    expect(await refusal(() => storage.truncate(START))).toBe('bad-request BAD_LSN');
  });
});

describe('writing', () => {
  test('counts whole records only, and those only after a sync', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: [100, 200, 20_000, 50] });
    await using storage = await create();
    const write = (end: number): Promise<void> => writeUpTo(storage, wal, end, 1_000_000);
    await write(record(wal, 0) - 1);
    expect([storage.recordLsn, storage.isDirty]).toEqual([START, true]);
    await write(record(wal, 1) + 10);
    expect([storage.recordLsn, storage.flushLsn]).toEqual([record(wal, 1), START]);
    await storage.flush();
    expect([storage.flushLsn, storage.isDirty]).toEqual([record(wal, 1), false]);
    await write(endOf(wal));
    expect([storage.recordLsn, storage.flushLsn, storage.isDirty]).toEqual([
      endOf(wal),
      record(wal, 1),
      true,
    ]);
    await storage.flush();
    expect(storage.flushLsn).toBe(endOf(wal));
    await expectAll(storage, wal);
  });

  test.each([200, 8192, 131072, 300_000, SEGMENT])(
    'crosses segments in pieces of %i bytes, gives them their names, and finds the end again',
    async (piece) => {
      const wal = makeWal({ startLsn: START, recordBytes: [...sizes(1500), 2_500_000, ...sizes(100)] });
      {
        await using storage = await create();
        await writeUpTo(storage, wal, endOf(wal), piece);
        await storage.flush();
        expect(storage.flushLsn).toBe(endOf(wal));
        await expectAll(storage, wal);
        expect(storage.localBytes).toBe(4 * SEGMENT);
      }
      const digits = ['10', '11', '12', '13.partial'];
      expect(names()).toEqual(digits.map((end) => `0000000100000000000000${end}`));
      for (const name of names()) expect(statSync(join(directory, name)).size).toBe(SEGMENT);
      for (const commitLsn of [INVALID_LSN, record(wal, 1000), record(wal, 1500), endOf(wal)]) {
        await using storage = await open({ commitLsn });
        expect(storage.flushLsn).toBe(endOf(wal));
        await expectAll(storage, wal);
      }
    },
  );

  test('SK-22: a segment that has become full is flushed and has its name at once', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(3000) });
    await using storage = await create();
    const border = 0x100_0000 + SEGMENT;
    await writeUpTo(storage, wal, border - 100, 100_000);
    expect(storage.flushLsn).toBe(START);
    await storage.write(storage.writeLsn, wal.bytes, storage.writeLsn - START, 300);
    const last = wal.ends.filter((end) => end <= border).at(-1);
    expect(storage.flushLsn).toBe(last);
    expect(names()).toContain('000000010000000000000010');
  });

  test('a damaged record is refused with all that came with it, and WAL goes on after a cut', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(40) });
    await using storage = await create();
    await writeUpTo(storage, wal, record(wal, 9));
    await storage.flush();
    const damaged = wal.bytes.slice();
    const at = record(wal, 11) - START;
    damaged[at + 100] = (damaged[at + 100] as number) ^ 1;
    const write = (): unknown => storage.write(record(wal, 9), damaged, record(wal, 9) - START, 5000);
    const before = readFileSync(join(directory, names()[0] as string));
    expect(write).toThrow(/the CRC of the record is wrong.*LSN 0\/1007/);
    expect([storage.writeLsn, storage.recordLsn]).toEqual([record(wal, 9), record(wal, 9)]);
    expect(readFileSync(join(directory, names()[0] as string))).toEqual(before);
    // It stays refused, whatever comes.
    expect(await refusal(() => storage.write(record(wal, 19), wal.bytes, 0, 1))).toBe('corruption BAD_WAL');
    await storage.flush();
    await storage.truncate(storage.flushLsn);
    await writeUpTo(storage, wal, endOf(wal));
    await storage.flush();
    await expectAll(storage, wal);
  });

  test('a record that names another one as the one before it is refused, also right after a cut', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(20) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal));
    await storage.flush();
    await storage.truncate(record(wal, 9));
    const other = makeWal({ startLsn: record(wal, 9), recordBytes: [10], previousLsn: record(wal, 7) });
    expect(() => storage.write(record(wal, 9), other.bytes, 0, other.bytes.length)).toThrow(
      /names .* as the one before it/,
    );
    await storage.truncate(record(wal, 9));
    const right = makeWal({ startLsn: record(wal, 9), recordBytes: [10], previousLsn: record(wal, 8) });
    await storage.write(record(wal, 9), right.bytes, 0, right.bytes.length);
    expect(storage.recordLsn).toBe(endOf(right));
  });

  test('zeros are no WAL, nor is WAL of another system', async () => {
    await using storage = await create();
    expect(() => storage.write(START, new Uint8Array(100), 0, 100)).toThrow(/zeros where a record should be/);
    await storage.truncate(START);
    const wal = makeWal({ startLsn: START, recordBytes: sizes(40) });
    const foreign = await open({ systemIdentifier: 77n });
    await foreign.truncate(START);
    expect(() => foreign.write(START, wal.bytes, 0, wal.bytes.length)).not.toThrow();
    await foreign.close();
    const border = toLsn(0x200_0000);
    const next = makeWal({ startLsn: border, recordBytes: [5] });
    rmSync(directory, { recursive: true });
    directory = mkdtempSync(join(tmpdir(), 'varve-wal-'));
    await using second = await open({ localStartLsn: border });
    await second.initialize(border, 77n);
    expect(await refusal(() => second.write(border, next.bytes, 0, next.bytes.length))).toBe(
      'corruption BAD_WAL',
    );
  });

  test('only goes on where WAL ends, and never before its tail was cut', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(20) });
    const storage = await create();
    await writeUpTo(storage, wal, record(wal, 9));
    expect(() => storage.write(START, wal.bytes, 0, 10)).toThrow(/not at the end/);
    await storage.flush();
    await storage.close();
    expect(() => storage.write(record(wal, 9), wal.bytes, 0, 10)).toThrow(/has been closed/);
    await using again = await open();
    expect(again.flushLsn).toBe(record(wal, 9));
    expect(() => again.write(record(wal, 9), wal.bytes, record(wal, 9) - START, 10)).toThrow(
      /before its tail was cut/,
    );
  });

  test('a segment switch counts when the rest of its segment is here', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(5), endsWithSwitch: true });
    const border = endOf(wal);
    expect(border % SEGMENT).toBe(0);
    await using storage = await create();
    await writeUpTo(storage, wal, record(wal, 4) + 24);
    await storage.flush();
    expect(storage.flushLsn).toBe(record(wal, 4));
    await writeUpTo(storage, wal, border - 8, 100_000);
    await storage.flush();
    expect([storage.flushLsn, storage.recordLsn]).toEqual([record(wal, 4), record(wal, 4)]);
    await writeUpTo(storage, wal, border);
    expect([storage.writeLsn, storage.recordLsn, storage.flushLsn]).toEqual([border, border, border]);
    const next = makeWal({ startLsn: border, recordBytes: sizes(5), previousLsn: wal.previousLsn });
    await writeUpTo(storage, next, endOf(next));
    await storage.flush();
    await using again = await open({ commitLsn: record(wal, 4) });
    expect(again.flushLsn).toBe(endOf(next));
    await again.truncate(border);
    expect(names()).toEqual(['000000010000000000000010']);
    await using third = await open({ commitLsn: border });
    expect(third.flushLsn).toBe(border);
  });
});

describe('a cut', () => {
  test.each([2, 100, 1500, 2100, 2999])(
    'after record %i leaves zeros behind it, and WAL goes on',
    async (index) => {
      const wal = makeWal({ startLsn: START, recordBytes: sizes(3000) });
      const cut = record(wal, index);
      const storage = await create();
      await writeUpTo(storage, wal, endOf(wal) - 100, 100_000);
      if (cut > storage.recordLsn) await writeUpTo(storage, wal, endOf(wal));
      await storage.truncate(cut);
      expect([storage.writeLsn, storage.recordLsn, storage.flushLsn]).toEqual([cut, cut, cut]);
      const last = names().at(-1) as string;
      expect(last.endsWith('.partial')).toBe(true);
      const file = readFileSync(join(directory, last));
      expect(file.length).toBe(SEGMENT);
      expect(file.subarray(cut % SEGMENT).every((byte) => byte === 0)).toBe(true);
      const other = makeWal({
        startLsn: cut,
        recordBytes: sizes(2500, 300),
        seed: 2,
        previousLsn: record(wal, index - 1) === 0 ? START - 64 : startOf(wal, index),
      });
      await writeUpTo(storage, other, endOf(other), 50_000);
      await storage.flush();
      await storage.close();
      await using again = await open({ commitLsn: cut });
      expect(again.flushLsn).toBe(endOf(other));
      expect(await readAll(again, START, cut)).toEqual(wal.bytes.subarray(0, cut - START));
      expect(await readAll(again, cut, endOf(other))).toEqual(other.bytes);
    },
  );

  test('where WAL ends anyway does nothing', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(30) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal));
    await storage.flush();
    const before = statSync(join(directory, names()[0] as string));
    await storage.truncate(endOf(wal));
    expect(statSync(join(directory, names()[0] as string)).mtimeMs).toBe(before.mtimeMs);
  });

  test('is refused where no record ends, where nothing is, and below what is committed', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(30) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal));
    await storage.flush();
    expect(await refusal(() => storage.truncate(toLsn(record(wal, 5) + 8)))).toBe('corruption NO_RECORD_END');
    expect(await refusal(() => storage.truncate(toLsn(endOf(wal) + 8)))).toBe('bad-request BAD_LSN');
    expect(storage.flushLsn).toBe(endOf(wal));
    await storage.close();
    await using again = await open({ commitLsn: record(wal, 20) });
    expect(await refusal(() => again.truncate(record(wal, 19)))).toBe('bad-request BAD_LSN');
    await again.truncate(record(wal, 20));
    expect(again.flushLsn).toBe(record(wal, 20));
  });
});

/** Where record `index` starts, which has 500 bytes of data. */
function startOf(wal: MadeWal, index: number): number {
  const until = { startLsn: START, recordBytes: sizes(index + 1), seed: 1 };
  return wal.ends.length > index ? makeWal(until).previousLsn : 0;
}

describe('opening', () => {
  test('takes a torn tail for the end, and damage of what is committed for damage', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(100) });
    const storage = await create();
    await writeUpTo(storage, wal, endOf(wal) - 20);
    await storage.flush();
    await storage.close();
    const path = join(directory, names()[0] as string);
    {
      await using again = await open({ commitLsn: record(wal, 50) });
      expect(again.flushLsn).toBe(record(wal, 98));
    }
    const bytes = readFileSync(path);
    const at = (record(wal, 80) % SEGMENT) + 60;
    bytes[at] = (bytes[at] as number) ^ 0x40;
    writeFileSync(path, bytes);
    {
      await using again = await open({ commitLsn: record(wal, 50) });
      expect(again.flushLsn).toBe(record(wal, 80));
    }
    const committed = { commitLsn: record(wal, 81) };
    expect(await refusal(() => open(committed))).toBe('corruption BAD_WAL');
    await expect(open(committed)).rejects.toThrow(/000000010000000000000010/);
    writeFileSync(path, bytes.subarray(0, record(wal, 40) % SEGMENT));
    expect(await refusal(() => open({ commitLsn: record(wal, 50) }))).toBe('corruption WAL_MISSING');
    expect(await refusal(() => open({ commitLsn: toLsn(record(wal, 20) + 8) }))).toBe(
      'corruption NO_RECORD_END',
    );
    rmSync(path);
    expect(await refusal(() => open({ commitLsn: record(wal, 50) }))).toBe('corruption WAL_MISSING');
    await using empty = await open({ commitLsn: START });
    expect(empty.writeLsn).toBe(0);
  });

  test('refuses segments of another PostgreSQL timeline or size, and passes over other names', async () => {
    await (await create()).close();
    writeFileSync(join(directory, 'safekeeper.control'), 'x');
    await (await open()).close();
    writeFileSync(join(directory, '000000020000000000000010'), 'x');
    expect(await refusal(open)).toBe('corruption BAD_SEGMENT_NAME');
    rmSync(join(directory, '000000020000000000000010'));
    writeFileSync(join(directory, '000000010000000000001000'), 'x');
    expect(await refusal(open)).toBe('corruption BAD_SEGMENT_NAME');
  });

  // A segment is completed by: sync, make the next one, rename, sync the directory. Of the names any part may be left.
  test.each([
    ['both new names', ['10', '11.partial']],
    ['the old name and the next segment', ['10.partial', '11.partial']],
    ['the old name alone', ['10.partial']],
    ['the new name alone', ['10']],
    ['both names of one file', ['10', '10.partial']],
    ['both names of one file and the next segment', ['10', '10.partial', '11.partial']],
    ['a next segment that is empty', ['10', '11.partial empty']],
  ])('finds the end with %s, and puts the names right', async (_, left) => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(3000) });
    const border = 0x100_0000 + SEGMENT;
    const isTorn = (lsn: number): boolean => lsn > border;
    const lastEnd = wal.ends.filter((end) => !isTorn(end)).at(-1) as Lsn;
    const storage = await create();
    await writeUpTo(storage, wal, border, 100_000);
    await storage.close();
    const content = readFileSync(join(directory, '000000010000000000000010'));
    for (const name of names()) rmSync(join(directory, name));
    for (const name of left) {
      const [digits, isEmpty] = name.split(' ');
      const bytes = digits?.startsWith('10') ? content : new Uint8Array(isEmpty === undefined ? SEGMENT : 0);
      writeFileSync(join(directory, `0000000100000000000000${digits}`), bytes);
    }
    for (const commitLsn of [INVALID_LSN, lastEnd]) {
      await using again = await open({ commitLsn });
      expect(again.flushLsn).toBe(lastEnd);
    }
    await using again = await open();
    await again.truncate(lastEnd);
    expect(names()).toEqual(['000000010000000000000010.partial']);
    await writeUpTo(again, wal, endOf(wal), 100_000);
    await again.flush();
    expect(names()).toEqual(['000000010000000000000010', '000000010000000000000011.partial']);
    await expectAll(again, wal);
  });
});

describe('reading', () => {
  test('ends at the border of a segment and at the end of what is written', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(3000) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal) - 7, 100_000);
    const target = new Uint8Array(2 * SEGMENT);
    const border = 0x100_0000 + SEGMENT;
    expect(await storage.read(target, 0, target.length, START)).toBe(border - START);
    expect(await storage.read(target, 5, target.length - 5, toLsn(border))).toBe(endOf(wal) - 7 - border);
    expect(target.subarray(5, 105)).toEqual(wal.bytes.subarray(border - START, border - START + 100));
    expect(await storage.read(target, 0, 10, storage.writeLsn)).toBe(0);
    expect(await storage.read(target, 0, 10, toLsn(storage.writeLsn + SEGMENT))).toBe(0);
    // What was made up before the timeline's start may be seen, since nothing real was ever there.
    expect(await storage.read(target, 0, 100, toLsn(0x100_0000))).toBe(100);
    expect(target[0]).toBe(0x16);
    await using later = await open({ timelineStartLsn: toLsn(START - 800) });
    expect(await refusal(() => later.read(target, 0, 100, toLsn(0x100_0000)))).toBe(
      'not-found WAL_NOT_LOCAL',
    );
  });

  test('of WAL that is cut meanwhile gives an error, and many readers share the files', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(5000) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal), 100_000);
    await storage.flush();
    const froms = Array.from({ length: 60 }, (_, index) => record(wal, (index * 1777) % 4900));
    const reads = froms.map(async (from) => {
      const target = new Uint8Array(5000);
      const count = await storage.read(target, 0, 5000, from);
      expect(target.subarray(0, count)).toEqual(wal.bytes.subarray(from - START, from - START + count));
      return 'read';
    });
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['read']));
    const target = new Uint8Array(5000);
    const slow = await openSlowly(record(wal, 1000));
    const racing = refusal(() => slow.storage.read(target, 0, 5000, record(wal, 4000)));
    await slow.storage.truncate(record(wal, 1000));
    slow.letRead();
    expect(await racing).toBe('unavailable WAL_TRUNCATED');
    expect(await slow.storage.read(target, 0, 5000, record(wal, 4000))).toBe(0);
    await slow.storage.close();
  });

  test('of segments that were removed says so', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: [...sizes(1000), 2_800_000, 10] });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal), 100_000);
    await storage.flush();
    expect(storage.oldestLocalSegment).toBe(16);
    expect(await storage.removeSegmentsBelow(16)).toBe(0);
    expect(await storage.removeSegmentsBelow(18)).toBe(2);
    expect(await storage.removeSegmentsBelow(18)).toBe(0);
    expect([storage.oldestLocalSegment, storage.localBytes]).toEqual([18, 2 * SEGMENT]);
    const target = new Uint8Array(10);
    expect(await refusal(() => storage.read(target, 0, 10, START))).toBe('not-found WAL_NOT_LOCAL');
    // The segment of the end stays, and WAL is found although its last records begin in segments that are gone.
    expect(await storage.removeSegmentsBelow(1000)).toBe(1);
    for (const commitLsn of [record(wal, 1000), endOf(wal)]) {
      await using again = await open({ commitLsn });
      expect([again.flushLsn, again.oldestLocalSegment]).toEqual([endOf(wal), 19]);
      await again.truncate(endOf(wal));
    }
    await using again = await open({ commitLsn: record(wal, 1000) });
    await again.truncate(record(wal, 1000));
    expect(again.flushLsn).toBe(record(wal, 1000));
  });

  test('segments below a gap are of no use, and are removed in the end', async () => {
    const wal = makeWal({ startLsn: START, recordBytes: sizes(9000) });
    await using storage = await create();
    await writeUpTo(storage, wal, endOf(wal), 100_000);
    await storage.close();
    rmSync(join(directory, '000000010000000000000011'));
    await using again = await open({ commitLsn: endOf(wal) });
    expect(again.oldestLocalSegment).toBe(18);
    expect(await again.removeSegmentsBelow(16)).toBe(0);
    await using third = await open({ commitLsn: endOf(wal) });
    expect(await third.removeSegmentsBelow(18)).toBe(1);
    expect(existsSync(join(directory, '000000010000000000000010'))).toBe(false);
  });
});

test('sleeps without files, and goes on within a record', async () => {
  const wal = makeWal({ startLsn: START, recordBytes: sizes(3000) });
  await using storage = await create();
  const middle = record(wal, 700) + 100;
  await writeUpTo(storage, wal, middle);
  await storage.sleep();
  expect([storage.isDirty, storage.flushLsn, storage.writeLsn]).toEqual([false, record(wal, 700), middle]);
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    const link = `/proc/self/fd/${fd}`;
    return existsSync(link) && readlinkSync(link).startsWith(directory);
  });
  expect(open).toEqual([]);
  expect(await readAll(storage, START, storage.writeLsn)).toEqual(wal.bytes.subarray(0, middle - START));
  await storage.sleep();
  await writeUpTo(storage, wal, endOf(wal), 7777);
  await storage.flush();
  expect(storage.flushLsn).toBe(endOf(wal));
  await storage.sleep();
  await storage.truncate(endOf(wal));
  await expectAll(storage, wal);
});

test('writes may go on while a flush is under way, which vouches for what was before it', async () => {
  const wal = makeWal({ startLsn: START, recordBytes: sizes(100) });
  await using storage = await create();
  await writeUpTo(storage, wal, record(wal, 10), 100_000);
  const flushing = storage.flush();
  const write = storage.write(storage.writeLsn, wal.bytes, storage.writeLsn - START, 1000);
  expect(write).toBeUndefined();
  const second = storage.flush();
  await flushing;
  expect(storage.flushLsn).toBe(record(wal, 10));
  await second;
  expect([storage.flushLsn, storage.isDirty]).toEqual([storage.recordLsn, false]);
});
