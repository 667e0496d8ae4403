/** WAL made up for tests of what keeps it. */
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { SeededRandom } from './seeded-random.ts';

export const TEST_SYSTEM = 0x1234_5678_9abcn;
/** The smallest segments that there are. */
export const TEST_SEGMENT_BYTES: number = 1024 * 1024;
const XLOG_SWITCH = 0x40;

/** WAL from `startLsn` to the last of `ends`. */
export interface MadeWal {
  readonly startLsn: Lsn;
  readonly bytes: Uint8Array;
  /** Where each record ends. */
  readonly ends: readonly Lsn[];
  /** Start of the last record. */
  readonly previousLsn: Lsn;
}

export interface WalToMake {
  readonly startLsn: number;
  readonly recordBytes: readonly number[];
  readonly seed?: number;
  /** Start of the record before. */
  readonly previousLsn?: number;
  /** The last record is a segment switch, with the rest of its segment. */
  readonly endsWithSwitch?: boolean;
}

export function makeWal(wanted: WalToMake): MadeWal {
  const { startLsn, recordBytes } = wanted;
  const random = new SeededRandom(wanted.seed ?? 1);
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: TEST_SYSTEM,
    timelineId: 1,
    segmentBytes: TEST_SEGMENT_BYTES,
    startLsn,
    previousLsn: wanted.previousLsn ?? startLsn - 64,
  });
  const ends: Lsn[] = [];
  for (const length of recordBytes) {
    const mainData = new Uint8Array(length);
    for (let at = 0; at < length; at++) mainData[at] = random.next() >>> 24;
    ends.push(writer.append({ resourceManager: RM_LOGICAL_MESSAGE, info: 0, mainData }).endLsn);
  }
  if (wanted.endsWithSwitch === true) {
    writer.append({ resourceManager: RM_XLOG, info: XLOG_SWITCH });
    writer.fillSegment();
    ends.push(writer.position);
  }
  const bytes = writer.take().subarray(startLsn - writer.baseLsn);
  return { startLsn: toLsn(startLsn), bytes, ends, previousLsn: writer.previousLsn };
}

/** Lengths of records, most of them short, that fill about so many bytes. */
export function drawRecordBytes(random: SeededRandom, totalBytes: number): number[] {
  const lengths: number[] = [];
  for (let sum = 0; sum < totalBytes; ) {
    const length = random.chance(0.05) ? random.below(40_000) : 1 + random.below(600);
    lengths.push(length);
    sum += length;
  }
  return lengths;
}
