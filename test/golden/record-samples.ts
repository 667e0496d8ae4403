import type { PostgresVersion } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import { fromBase64, readLines, toBase64, writeLines } from './compressed-lines.ts';

/** A page that a sampled record changed. */
export interface SampledPage {
  readonly blockId: number;
  readonly before: Uint8Array;
  /** What replay made of it, which the oracle has found to be what PostgreSQL made of it. */
  readonly after: Uint8Array;
}

/** A record that a real server wrote, kept with the pages that it changed. */
export interface RecordSample {
  /** Resource manager and record kind, as pg_waldump prints them. */
  readonly kind: string;
  readonly startLsn: number;
  readonly endLsn: number;
  readonly hintBitsAreLogged: boolean;
  readonly bytes: Uint8Array;
  readonly pages: readonly SampledPage[];
}

/**
 * Where samples are kept: `17` are those of the npm package's server, `17.11` what only later or other builds write
 * (heap records that name the visibility map, images compressed with lz4 and zstd).
 */
export function recordSamplesPath(version: '17' | '17.11'): URL {
  return new URL(`./record-samples-${version}.jsonl.zst`, import.meta.url);
}

interface SampleLine extends Omit<RecordSample, 'bytes' | 'pages'> {
  readonly bytes: string;
  readonly pages: readonly { readonly blockId: number; readonly before: string; readonly after: string }[];
}

export function writeRecordSamples(path: URL | string, samples: readonly RecordSample[]): void {
  const lines = samples.map((sample): SampleLine => {
    const pages = sample.pages.map(({ blockId, before, after }) => {
      return { blockId, before: toBase64(before), after: toBase64(after) };
    });
    return { ...sample, bytes: toBase64(sample.bytes), pages };
  });
  writeLines(path, lines);
}

export function readRecordSamples(path: URL | string): RecordSample[] {
  const lines = readLines(path) as SampleLine[];
  return lines.map((line) => {
    const pages = line.pages.map(({ blockId, before, after }) => {
      return { blockId, before: fromBase64(before), after: fromBase64(after) };
    });
    return { ...line, bytes: fromBase64(line.bytes), pages };
  });
}

/** The sample's record, decoded. */
export function decodeSample(sample: RecordSample, version: PostgresVersion): DecodedRecord {
  const record = new DecodedRecord(version);
  const { bytes } = sample;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  record.decode(bytes, view, 0, bytes.length, sample.startLsn, sample.endLsn);
  return record;
}
