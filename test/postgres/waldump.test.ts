import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CorruptionError } from '../../src/base/errors.ts';
import { formatLsn, parseLsn } from '../../src/base/lsn.ts';
import { RM_LOGICAL_MESSAGE, RM_XLOG } from '../../src/postgres/rmgr/resource-manager.ts';
import { POSTGRES_17 } from '../../src/postgres/versions/version.ts';
import { encodeRecord } from '../../src/postgres/wal/record-writer.ts';
import { formatSegmentName } from '../../src/postgres/wal/segment-name.ts';
import { WalReader } from '../../src/postgres/wal/wal-reader.ts';
import { WalWriter } from '../../src/postgres/wal/wal-writer.ts';
import { SeededRandom } from '../support/seeded-random.ts';

// PostgreSQL's own reader, as pg_waldump shows it, and WalReader on the same files, sound and damaged.

const SEGMENT_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;
const TIMELINE = 3;
const STARTS = [SEGMENT_BYTES, 2 ** 32 - SEGMENT_BYTES, 2 ** 44 + 5 * SEGMENT_BYTES];

function findWaldump(): string | undefined {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'pg_waldump'))
    .find((path) => existsSync(path));
  if (found === undefined) return undefined;
  const version = spawnSync(found, ['--version'], { encoding: 'utf8' }).stdout;
  return version.includes(` ${POSTGRES_17.major}.`) ? found : undefined;
}

const waldump = findWaldump();
/** Made only where a test runs: skipped ones have nobody to remove it. */
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'varve-waldump-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

interface Shown {
  readonly lsn: number;
  readonly totalBytes: number;
  readonly xid: number;
  readonly previousLsn: number;
}

const message = (length: number, xid: number) => ({
  resourceManager: RM_LOGICAL_MESSAGE,
  info: 0,
  xid,
  // flags, prefix of one byte, and what is left
  mainData: Uint8Array.from({ length: Math.max(length, 30) }, (_, at) => (at === 16 ? 1 : at < 30 ? 0 : 65)),
});

function appendAborted(writer: WalWriter, random: SeededRandom): void {
  const room = PAGE_BYTES - (writer.nextLsn % PAGE_BYTES);
  const bytes = encodeRecord(message(room + PAGE_BYTES + random.below(60_000), 9), writer.previousLsn);
  const cut = room + random.below(bytes.length - PAGE_BYTES - room + 1);
  const body = new Uint8Array(16);
  const lost = writer.appendAborted(bytes, cut);
  new DataView(body.buffer).setBigUint64(0, BigInt(lost), true);
  writer.append({ resourceManager: RM_XLOG, info: 0xd0, mainData: body });
}

/** WAL from the start of a segment on, filled up with zeros to the end of one. */
function makeWal(random: SeededRandom, start: number): Uint8Array {
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: 42n,
    timelineId: TIMELINE,
    segmentBytes: SEGMENT_BYTES,
    startLsn: start,
    previousLsn: start - 100,
  });
  for (let xid = 3; xid < 3 + 5 + random.below(60); xid++) {
    const room = PAGE_BYTES - (writer.nextLsn % PAGE_BYTES);
    const kind = random.below(20);
    if (kind === 0) {
      writer.append({ resourceManager: RM_XLOG, info: 0x40 });
      writer.fillSegment();
    } else if (kind === 1) appendAborted(writer, random);
    // To the end of the page, or to so little before it that the next record's header is cut.
    else if (kind < 8 && room > 200) writer.append(message(room - 29 - 8 * random.below(5), xid));
    else writer.append(message(random.below(random.chance(0.2) ? 200_000 : 700), xid));
  }
  const bytes = writer.take();
  const wal = new Uint8Array(Math.ceil((bytes.length + 1) / SEGMENT_BYTES) * SEGMENT_BYTES);
  wal.set(bytes);
  return wal;
}

/** Only where both readers have the same rules; what WalReader refuses beyond is tested beside it. */
function damage(wal: Uint8Array, random: SeededRandom): void {
  const at = random.below(wal.length);
  const page = at - (at % PAGE_BYTES);
  const flip = (offset: number): void => {
    wal[offset] = (wal[offset] as number) ^ (1 << random.below(8));
  };
  switch (random.below(4)) {
    case 0:
      flip(Math.max(at, page + 40));
      break;
    case 1:
      // Magic number and address of the page.
      flip(page + random.pick([0, 1, 8, 9, 10, 11, 12]));
      break;
    case 2:
      wal.fill(0, page, page + PAGE_BYTES);
      break;
    default:
      wal.fill(0, Math.max(at, page + 40), page + PAGE_BYTES);
      break;
  }
}

function showWithWaldump(folder: string, lsn: number): Shown[] {
  const args = ['--path', folder, '--timeline', String(TIMELINE), '--start', formatLsn(lsn)];
  const { stdout, error } = spawnSync(waldump as string, args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (error !== undefined) throw error;
  const line = /len \(rec\/tot\): +\d+\/ *(\d+), tx: +(\d+), lsn: ([0-9A-F/]+), prev ([0-9A-F/]+)/g;
  return [...stdout.matchAll(line)].map(([, total, xid, at, previous]) => ({
    lsn: parseLsn(at as string),
    totalBytes: Number(total),
    xid: Number(xid),
    previousLsn: parseLsn(previous as string),
  }));
}

function showWithReader(wal: Uint8Array, base: number, lsn: number, random: SeededRandom): Shown[] {
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: SEGMENT_BYTES,
    startLsn: lsn,
    mode: 'search',
  });
  const shown: Shown[] = [];
  try {
    while (reader.position < base + wal.length && reader.end === undefined) {
      const from = reader.position - base;
      reader.feed(wal, from, Math.min(wal.length, from + 1 + random.below(100_000)));
      while (reader.next()) {
        const { view } = reader.workspace;
        const at = reader.recordOffset;
        shown.push({
          lsn: reader.startLsn,
          totalBytes: reader.recordLength,
          xid: view.getUint32(at + 4, true),
          previousLsn: Number(view.getBigUint64(at + 8, true)),
        });
      }
    }
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
  }
  return shown;
}

describe.skipIf(waldump === undefined)('against pg_waldump of PostgreSQL 17', () => {
  test.each([
    ['sound', 0],
    ['damaged', 1],
    ['twice damaged', 2],
  ] as const)(
    'shows the same records of %s WAL, from its start and from anywhere',
    (name, times) => {
      let records = 0;
      for (let seed = 1; seed <= 25; seed++) {
        const random = new SeededRandom(seed);
        const base = random.pick(STARTS);
        const wal = makeWal(random, base);
        for (let time = 0; time < times; time++) damage(wal, random);
        const folder = join(directory, `${times}-${seed}`);
        mkdirSync(folder);
        for (let at = 0; at < wal.length; at += SEGMENT_BYTES) {
          const segment = (base + at) / SEGMENT_BYTES;
          writeFileSync(
            join(folder, formatSegmentName(TIMELINE, segment, SEGMENT_BYTES)),
            wal.subarray(at, at + SEGMENT_BYTES),
          );
        }
        // PostgreSQL also reads the first page of a start's segment, which WalReader is not given.
        const lsns = [base, base + random.below(SEGMENT_BYTES), base + 8 * random.below(20_000)];
        for (const lsn of times === 0 ? lsns : [base]) {
          const expected = showWithWaldump(folder, lsn);
          expect(showWithReader(wal, base, lsn, random), `${name} ${seed} from ${formatLsn(lsn)}`).toEqual(
            expected,
          );
          records += expected.length;
        }
      }
      expect(records).toBeGreaterThan(100);
    },
    120_000,
  );
});
