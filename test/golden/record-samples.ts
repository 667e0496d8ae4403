import { readFileSync, writeFileSync } from 'node:fs';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { PostgresVersion } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';

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

/** Where the samples of a major version are kept. */
export function recordSamplesPath(major: number): URL {
  return new URL(`./record-samples-${major}.jsonl.zst`, import.meta.url);
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

/** Writes samples as lines of JSON, compressed. */
export function writeRecordSamples(path: URL | string, samples: readonly RecordSample[]): void {
  const lines = samples.map((sample) =>
    JSON.stringify({
      ...sample,
      bytes: base64(sample.bytes),
      pages: sample.pages.map((page) => ({
        ...page,
        before: base64(page.before),
        after: base64(page.after),
      })),
    }),
  );
  writeFileSync(path, zstdCompressSync(Buffer.from(`${lines.join('\n')}\n`), { params: { 100: 19 } }));
}

interface SampleLine extends Omit<RecordSample, 'bytes' | 'pages'> {
  readonly bytes: string;
  readonly pages: readonly { readonly blockId: number; readonly before: string; readonly after: string }[];
}

export function readRecordSamples(path: URL | string): RecordSample[] {
  const text = zstdDecompressSync(readFileSync(path)).toString();
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const sample = JSON.parse(line) as SampleLine;
      return {
        ...sample,
        bytes: fromBase64(sample.bytes),
        pages: sample.pages.map((page) => ({
          ...page,
          before: fromBase64(page.before),
          after: fromBase64(page.after),
        })),
      };
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
