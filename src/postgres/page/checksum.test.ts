import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { StockPostgres } from '../../../test/support/stock-postgres.ts';
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { computePageChecksum, writePageChecksum } from './checksum.ts';
import { isNewPage, PAGE_CHECKSUM, Page } from './page.ts';

/** The page of a sequence (START 4711) as PostgreSQL 17.10 wrote it with data checksums: all bytes but zeros. */
const SEQUENCE_PAGE: readonly (readonly [number, string])[] = [
  [4, 'c0ed7201424a'],
  [12, '1c00c81ff81f0420'],
  [24, 'c89f52'],
  [8136, '02'],
  [8152, '010003'],
  [8157, '0b18006712'],
  [8184, '1717'],
];

function sequencePage(): Page {
  const page = new Page();
  for (const [offset, hex] of SEQUENCE_PAGE) page.bytes.set(Buffer.from(hex, 'hex'), offset);
  return page;
}

test('the checksum of a page that a server wrote', () => {
  const page = sequencePage();
  expect(computePageChecksum(page, 0)).toBe(0x4a42);
  expect(computePageChecksum(page, 1), 'as another block').not.toBe(0x4a42);
  page.view.setUint16(PAGE_CHECKSUM, 0, true);
  expect(computePageChecksum(page, 0), 'whatever checksum stands in it').toBe(0x4a42);
  page.bytes[8000] = 1;
  expect(computePageChecksum(page, 0)).not.toBe(0x4a42);
  writePageChecksum(page, 0);
  expect(page.view.getUint16(PAGE_CHECKSUM, true)).toBe(computePageChecksum(page, 0));
});

/** Pages of a directory with relation files, and the blocks that they are. */
async function* readPages(directory: string): AsyncGenerator<readonly [Page, number, string]> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      yield* readPages(path);
      continue;
    }
    if (!/^\d+(_fsm|_vm|_init)?$/.test(entry.name)) continue;
    const bytes = new Uint8Array(await readFile(path));
    for (let offset = 0; offset < bytes.length; offset += BLOCK_BYTES) {
      yield [new Page(bytes.subarray(offset, offset + BLOCK_BYTES)), offset / BLOCK_BYTES, path];
    }
  }
}

test('the checksums of all pages of a new cluster', { timeout: 120_000 }, async () => {
  await using server = await StockPostgres.create({ major: 17, initdbArguments: ['--data-checksums'] });
  let pages = 0;
  for await (const [page, block, path] of readPages(join(server.dataDirectory, 'base'))) {
    if (isNewPage(page)) continue;
    pages++;
    const expected = page.view.getUint16(PAGE_CHECKSUM, true);
    if (computePageChecksum(page, block) !== expected) expect.fail(`block ${block} of ${path}`);
  }
  expect(pages).toBeGreaterThan(1000);
});
