import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Lsn } from '../../src/base/lsn.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import {
  feedFromFiles,
  type WalFileSourceOptions,
} from '../../src/pageserver/ingest/receiver/wal-file-source.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { formatSegmentName, segmentNumber } from '../../src/postgres/wal/segment-name.ts';
import { START_LSN } from '../safekeeper/running-safekeeper.ts';
import { type MadeWal, makeWal, TEST_SEGMENT_BYTES, TEST_SYSTEM } from '../support/safekeeper-wal.ts';
import { endOf, walOf } from './receiver-world.ts';
import { RecordingIntake } from './recording-intake.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-wal-files-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const nameOf = (segment: number, timelineId = 1) =>
  formatSegmentName(timelineId, segment, TEST_SEGMENT_BYTES);
const firstSegment = segmentNumber(START_LSN, TEST_SEGMENT_BYTES);
const lastSegment = (wal: MadeWal) => segmentNumber(endOf(wal) - 1, TEST_SEGMENT_BYTES);

/** Whole segments, with zeros before and after the WAL. */
function segmentsOf(wal: MadeWal): Map<number, Uint8Array> {
  const segments = new Map<number, Uint8Array>();
  const count = lastSegment(wal) - firstSegment + 1;
  const all = new Uint8Array(count * TEST_SEGMENT_BYTES);
  all.set(wal.bytes, wal.startLsn - firstSegment * TEST_SEGMENT_BYTES);
  for (let index = 0; index < count; index++) {
    segments.set(
      firstSegment + index,
      all.subarray(index * TEST_SEGMENT_BYTES, (index + 1) * TEST_SEGMENT_BYTES),
    );
  }
  return segments;
}

const write = (name: string, bytes: Uint8Array) => writeFileSync(join(directory, name), bytes);

function writeAll(wal: MadeWal): void {
  for (const [segment, bytes] of segmentsOf(wal)) write(nameOf(segment), bytes);
}

const run = (intake: RecordingIntake, options: Partial<WalFileSourceOptions> = {}) =>
  feedFromFiles({
    files: nodeFiles,
    directory,
    version: POSTGRES_17,
    systemIdentifier: TEST_SYSTEM,
    segmentBytes: TEST_SEGMENT_BYTES,
    intake,
    signal: new AbortController().signal,
    ...options,
  });

test('all WAL in the files is taken, in big pieces, up to the last whole record, and no zeros', async () => {
  const wal = walOf(3_500_000);
  writeAll(wal);
  write('archive_status', new Uint8Array(0));
  const intake = new RecordingIntake(wal);
  expect((await run(intake)).lsn).toBe(endOf(wal));
  expect(intake.position).toBe(endOf(wal));
  expect(intake.takes).toBeLessThan(12);
  // Again there is nothing more.
  expect((await run(intake)).lsn).toBe(endOf(wal));
  expect(intake.refusals).toBe(0);
});

test.each([1, 77, 5000, 40_001, 1_300_000])(
  'an intake within a record, %i bytes on, gets the rest of it',
  async (offset) => {
    const recordBytes = [100, 30_000, 2_500_000, 200];
    const wal = makeWal({ startLsn: START_LSN, recordBytes });
    writeAll(wal);
    const intake = new RecordingIntake(wal);
    await intake.take(wal.bytes.slice(0, offset));
    expect((await run(intake)).lsn).toBe(endOf(wal));
    expect(intake.refusals).toBe(0);
  },
);

test('an intake within the last record gets its end', async () => {
  const wal = makeWal({ startLsn: START_LSN, recordBytes: [100, 30_000] });
  writeAll(wal);
  const intake = new RecordingIntake(wal);
  await intake.take(wal.bytes.slice(0, 20_000));
  expect((await run(intake)).lsn).toBe(endOf(wal));
});

test('what an earlier use of a file has left, and a record that is cut off, is no WAL', async () => {
  const wal = walOf(1_500_000);
  const [last] = [...segmentsOf(wal)].slice(-1) as [[number, Uint8Array]];
  writeAll(wal);
  const recycled = last[1].slice();
  const end = endOf(wal) % TEST_SEGMENT_BYTES;
  // Older pages from the next one on, as they stood in a file before it was given this name.
  const nextPage = Math.ceil(end / 8192) * 8192;
  recycled.set(wal.bytes.subarray(0, recycled.length - nextPage), nextPage);
  recycled.fill(0xab, end, Math.min(end + 20, nextPage));
  write(nameOf(last[0]), recycled);
  const intake = new RecordingIntake(wal);
  const { lsn, reason } = await run(intake);
  expect(lsn).toBe(endOf(wal));
  expect(reason).not.toBe('');
  expect(intake.refusals).toBe(0);
  const cut = wal.ends.at(-2) as Lsn;
  write(nameOf(last[0]), last[1].subarray(0, (endOf(wal) - 10) % TEST_SEGMENT_BYTES));
  expect(await run(new RecordingIntake(wal))).toEqual({ lsn: cut, reason: 'the files end there' });
});

test('it ends exactly where it is told to, also within a piece', async () => {
  const wal = walOf(1_200_000);
  writeAll(wal);
  const endLsn = wal.ends[Math.floor(wal.ends.length / 2)] as Lsn;
  const intake = new RecordingIntake(wal);
  expect((await run(intake, { endLsn })).lsn).toBe(endLsn);
  expect(intake.position).toBe(endLsn);
  expect((await run(intake, { endLsn: START_LSN })).lsn).toBe(endLsn);
  const beyond = (endOf(wal) + 8) as Lsn;
  await expect(run(intake, { endLsn: beyond })).rejects.toMatchObject({
    code: 'WAL_ENDS_EARLY',
    place: { lsn: endOf(wal) },
  });
});

test('a partial file is read where there is no whole one', async () => {
  const wal = walOf(1_500_000);
  for (const [segment, bytes] of segmentsOf(wal)) {
    write(nameOf(segment), bytes);
    write(`${nameOf(segment)}.partial`, new Uint8Array(100));
  }
  const last = lastSegment(wal);
  rmSync(join(directory, nameOf(last)));
  write(`${nameOf(last)}.partial`, segmentsOf(wal).get(last) as Uint8Array);
  expect((await run(new RecordingIntake(wal))).lsn).toBe(endOf(wal));
});

test('where a later PostgreSQL timeline has the segment too, its file counts, and no later one of the earlier', async () => {
  const wal = walOf(3_000_000);
  const segments = segmentsOf(wal);
  for (const [segment, bytes] of segments) {
    if (segment <= firstSegment + 1) write(nameOf(segment), bytes);
    if (segment === firstSegment + 1) write(nameOf(segment, 2), bytes.subarray(0, 500_000));
    if (segment > firstSegment + 1) write(nameOf(segment), bytes);
  }
  const { lsn } = await run(new RecordingIntake(wal));
  const forkedAt = (firstSegment + 1) * TEST_SEGMENT_BYTES + 500_000;
  expect(lsn).toBe(wal.ends.findLast((end) => end <= forkedAt));
});

test('a segment that is missing ends it, and one that holds the first byte must be there', async () => {
  const wal = walOf(3_000_000);
  writeAll(wal);
  rmSync(join(directory, nameOf(firstSegment + 2)));
  const intake = new RecordingIntake(wal);
  const border = (firstSegment + 2) * TEST_SEGMENT_BYTES;
  expect((await run(intake)).lsn).toBe(wal.ends.findLast((end) => end <= border));
  rmSync(join(directory, nameOf(firstSegment)));
  await expect(run(new RecordingIntake(wal))).rejects.toMatchObject({
    kind: 'not-found',
    code: 'NO_WAL_SEGMENTS',
  });
});

test('a cancelled run ends with what has been taken', async () => {
  const wal = walOf(2_500_000);
  writeAll(wal);
  const intake = new RecordingIntake(wal);
  const life = new AbortController();
  intake.onTaken = () => life.abort();
  await expect(run(intake, { signal: life.signal })).rejects.toMatchObject({ kind: 'cancelled' });
  expect(intake.takes).toBe(1);
});
