import { Page } from '../../src/postgres/page/page.ts';
import { fromBase64, readLines, toBase64, writeLines } from './compressed-lines.ts';

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

interface SampleLine extends Omit<PageSample, 'page'> {
  readonly bytes: string;
}

export function writePageSamples(path: URL, samples: readonly PageSample[]): void {
  const lines = samples.map(({ relation, block, page }): SampleLine => {
    return { relation, block, bytes: toBase64(page.bytes) };
  });
  writeLines(path, lines);
}

export function readPageSamples(path: URL): PageSample[] {
  const lines = readLines(path) as SampleLine[];
  return lines.map(({ relation, block, bytes }) => ({ relation, block, page: new Page(fromBase64(bytes)) }));
}

/** A sample page of PostgreSQL 17. It is read anew, so that a test may change it. */
export function getPageSample(relation: string, block: number): Page {
  const sample = readPageSamples(pageSamplesPath(17)).find(
    (candidate) => candidate.relation === relation && candidate.block === block,
  );
  if (sample === undefined) throw new Error(`there is no sample of block ${block} of ${relation}`);
  return sample.page;
}
