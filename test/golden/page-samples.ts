import { readFileSync, writeFileSync } from 'node:fs';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { Page } from '../../src/postgres/page/page.ts';

/** A page as a real server, with data checksums, wrote it to its file. */
export interface PageSample {
  readonly relation: string;
  readonly block: number;
  readonly page: Page;
}

/** Where the samples of a major version are kept. `make-page-samples.ts` makes the file. */
export function pageSamplesPath(major: number): URL {
  return new URL(`./page-samples-${major}.jsonl.zst`, import.meta.url);
}

export function writePageSamples(path: URL, samples: readonly PageSample[]): void {
  const lines = samples.map(({ relation, block, page }) =>
    JSON.stringify({ relation, block, bytes: Buffer.from(page.bytes).toString('base64') }),
  );
  writeFileSync(path, zstdCompressSync(Buffer.from(`${lines.join('\n')}\n`), { params: { 100: 19 } }));
}

export function readPageSamples(path: URL): PageSample[] {
  const lines = zstdDecompressSync(readFileSync(path)).toString().trimEnd().split('\n');
  return lines.map((line) => {
    const { relation, block, bytes } = JSON.parse(line) as { relation: string; block: number; bytes: string };
    return { relation, block, page: new Page(Uint8Array.from(Buffer.from(bytes, 'base64'))) };
  });
}

/** A sample page of PostgreSQL 17. It is read anew, so that a test may change it. */
export function getPageSample(relation: string, block: number): Page {
  const sample = readPageSamples(pageSamplesPath(17)).find(
    (candidate) => candidate.relation === relation && candidate.block === block,
  );
  if (sample === undefined) throw new Error(`there is no sample of block ${block} of ${relation}`);
  return sample.page;
}
