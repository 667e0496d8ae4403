import { AssertionError, VarveError } from '../src/base/errors.ts';
import { decodeControlFile } from '../src/postgres/files/control-file.ts';
import { decodeRelationMap } from '../src/postgres/files/relation-map-file.ts';
import { Page } from '../src/postgres/page/page.ts';
import { getResourceManager } from '../src/postgres/rmgr/resource-managers.ts';
import { POSTGRES_17 } from '../src/postgres/versions/version.ts';
import { DecodedRecord } from '../src/postgres/wal/decoded-record.ts';
import { BLOCK_BYTES } from '../src/postgres/wal/record-header.ts';
import { setRecordCrc } from '../src/postgres/wal/record-writer.ts';
import { WalReader } from '../src/postgres/wal/wal-reader.ts';
import { WalWriter } from '../src/postgres/wal/wal-writer.ts';
import { WalWorkspace } from '../src/postgres/wal/workspace.ts';
import { effectsOf } from '../src/redo/effects/effects-of.ts';
import { redo } from '../src/redo/redo.ts';
import { decodeRedoCase } from '../src/redo/redo-case.ts';
import { findVisibilityClears, VisibilityClears } from '../src/redo/visibility.ts';
import { type RecordSample, readRecordSamples, recordSamplesPath } from '../test/golden/record-samples.ts';
import { SeededRandom } from '../test/support/seeded-random.ts';
import { mutate, mutateInPlace } from './mutate.ts';

/** A case may not take longer than this: bad input must be refused in bounded time. */
const CASE_MS_MAX = 2000;
const SEGMENT_BYTES = 1024 * 1024;

export interface FuzzOptions {
  readonly seed: number;
  readonly cases: number;
  readonly onProgress?: (done: number) => void;
}

export interface FuzzResult {
  /** How many cases of each target ended with a value, and how many with a typed error. */
  readonly targets: Readonly<Record<string, { values: number; refused: number }>>;
  readonly slowestMs: number;
}

/** A case that ended in something else than a value or a typed error of a check, or took too long. */
export class FuzzFailure extends Error {}

interface Material {
  readonly samples: readonly RecordSample[];
  readonly wal: Uint8Array;
  readonly walStart: number;
}

type Target = (material: Material, random: SeededRandom) => void;

const settings = [{ hintBitsAreLogged: false }, { hintBitsAreLogged: true }] as const;
const record = new DecodedRecord(POSTGRES_17);
const workspace = new WalWorkspace();
const page = new Page();
const clears = new VisibilityClears();

function decode(bytes: Uint8Array, sample: RecordSample): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  record.decode(bytes, view, 0, bytes.length, sample.startLsn, sample.endLsn);
}

/** Everything that is ever asked of a decoded record. The first refusal ends the case. */
function useRecord(before: Uint8Array | undefined, random: SeededRandom): void {
  const refusals: VarveError[] = [];
  const attempt = (use: () => unknown): void => {
    try {
      use();
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) throw error;
      refusals.push(error);
    }
  };
  const { resourceManager, info, startLsn } = record;
  attempt(() => getResourceManager(resourceManager, info, startLsn).decodeBody(record));
  attempt(() => effectsOf(record));
  attempt(() => findVisibilityClears(record, clears));
  for (let blockId = 0; blockId < record.blockCount; blockId++) {
    attempt(() => {
      if (before === undefined) page.bytes.fill(0);
      else page.bytes.set(before);
      redo(page, record, blockId, random.pick(settings));
    });
  }
  if (refusals[0] !== undefined) throw refusals[0];
}

/** The record's bytes with other main data, block data or headers, on the page that it belongs to, damaged or not. */
const redoTarget: Target = ({ samples }, random) => {
  const sample = random.pick(samples);
  const bytes = random.chance(0.8)
    ? mutate(sample.bytes, random.pick(samples).bytes, random)
    : sample.bytes.slice();
  const pages = random.chance(0.9) ? sample.pages : random.pick(samples).pages;
  const before = pages.length === 0 ? undefined : random.pick(pages).before.slice();
  if (before !== undefined && random.chance(0.5)) mutateInPlace(before, random);
  decode(bytes, sample);
  useRecord(before, random);
};

/** Damage behind the headers only, so that it always reaches the resource manager. */
const bodyTarget: Target = ({ samples }, random) => {
  const sample = random.pick(samples);
  const bytes = sample.bytes.slice();
  decode(bytes, sample);
  const start = record.blockCount > 0 ? (record.blockImageOffset[0] as number) : record.mainDataOffset;
  if (start < bytes.length) mutateInPlace(bytes.subarray(start), random);
  if (random.chance(0.2)) bytes[16] = random.below(256);
  if (random.chance(0.1)) bytes[17] = random.below(24);
  decode(bytes, sample);
  const before = sample.pages.length === 0 ? undefined : random.pick(sample.pages).before.slice();
  if (before !== undefined && random.chance(0.3)) mutateInPlace(before, random);
  useRecord(before, random);
};

/** Damaged WAL in chunks of random sizes, with some CRCs made right again. */
const walTarget: Target = ({ wal, walStart }, random) => {
  const start = random.below(Math.max(1, wal.length - 60_000)) & ~8191;
  const length = 8192 + random.below(50_000);
  const bytes = mutate(wal.subarray(start, start + length), wal.subarray(0, 20_000), random);
  const reader = new WalReader({
    version: POSTGRES_17,
    segmentBytes: SEGMENT_BYTES,
    startLsn: walStart + start,
    mode: 'search',
    workspace,
  });
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(20_000));
    reader.feed(bytes, at, end);
    while (reader.next()) {
      reader.decode(record);
      useRecord(undefined, random);
    }
    at = end;
  }
};

const randomBytesTarget: Target = (_material, random) => {
  const bytes = Uint8Array.from({ length: random.below(600) }, () => random.below(256));
  if (bytes.length >= 24 && random.chance(0.5)) {
    new DataView(bytes.buffer).setUint32(0, bytes.length, true);
    bytes[17] = random.below(24);
    setRecordCrc(bytes);
  }
  decode(bytes, { startLsn: 0x1000, endLsn: 0x2000 } as RecordSample);
  useRecord(undefined, random);
};

const filesTarget: Target = ({ samples }, random) => {
  const bytes = new Uint8Array(BLOCK_BYTES);
  bytes.set(mutate(random.pick(samples).bytes, random.pick(samples).bytes, random).subarray(0, BLOCK_BYTES));
  switch (random.below(3)) {
    case 0:
      decodeControlFile(POSTGRES_17, bytes.subarray(0, random.below(BLOCK_BYTES + 1)));
      break;
    case 1:
      decodeRelationMap(POSTGRES_17, bytes.subarray(0, random.below(1000)));
      break;
    default:
      decodeRedoCase(Buffer.from(bytes).toString('latin1'));
      break;
  }
};

const targets: readonly (readonly [string, number, Target])[] = [
  ['redo', 45, redoTarget],
  ['body', 40, bodyTarget],
  ['wal', 5, walTarget],
  ['random', 8, randomBytesTarget],
  ['files', 2, filesTarget],
];

/** The samples once more, one after another, as WAL of their own with page headers, right links and right CRCs. */
function makeWal(samples: readonly RecordSample[]): { wal: Uint8Array; walStart: number } {
  const writer = new WalWriter({
    version: POSTGRES_17,
    systemIdentifier: 7n,
    timelineId: 1,
    segmentBytes: SEGMENT_BYTES,
    startLsn: SEGMENT_BYTES,
    previousLsn: 0,
  });
  for (const sample of samples) {
    if (sample.bytes[17] === 0 && (sample.bytes[16] as number) >> 4 === 4) continue;
    const bytes = sample.bytes.slice();
    new DataView(bytes.buffer).setBigUint64(8, BigInt(writer.previousLsn), true);
    setRecordCrc(bytes);
    writer.appendBytes(bytes);
  }
  return { wal: writer.take(), walStart: writer.baseLsn };
}

/**
 * Gives damaged records, pages, WAL and files to everything that reads them. Each case must end with a value or a
 * VarveError that is no assertion, in bounded time. The same seed gives the same cases.
 *
 * @throws FuzzFailure naming the case's own seed.
 */
export function runFuzz(options: FuzzOptions): FuzzResult {
  const samples = readRecordSamples(recordSamplesPath(POSTGRES_17.major));
  const material: Material = { samples, ...makeWal(samples) };
  const counts: Record<string, { values: number; refused: number }> = {};
  for (const [name] of targets) counts[name] = { values: 0, refused: 0 };
  const weights = targets.flatMap(([, weight], index) => new Array<number>(weight).fill(index));
  let slowestMs = 0;
  for (let number = 0; number < options.cases; number++) {
    const caseSeed = (options.seed + number) >>> 0;
    const random = new SeededRandom(caseSeed);
    const [name, , target] = targets[random.pick(weights)] as (typeof targets)[number];
    const count = counts[name] as { values: number; refused: number };
    const started = performance.now();
    try {
      target(material, random);
      count.values++;
    } catch (error) {
      if (!(error instanceof VarveError) || error instanceof AssertionError) {
        throw new FuzzFailure(`target ${name}, case seed ${caseSeed}: ${String(error)}`, { cause: error });
      }
      // Redo's second net: harmless, but a check is missing.
      if (error.cause instanceof RangeError) {
        throw new FuzzFailure(
          `target ${name}, case seed ${caseSeed}: only the second net held: ${error.message}`,
          {
            cause: error,
          },
        );
      }
      count.refused++;
    }
    const took = performance.now() - started;
    if (took > CASE_MS_MAX) throw new FuzzFailure(`target ${name}, case seed ${caseSeed}: took ${took} ms`);
    slowestMs = Math.max(slowestMs, took);
    if (number % 10_000 === 9999) options.onProgress?.(number + 1);
  }
  return { targets: counts, slowestMs };
}
