/**
 * What a part of a free space map is in storage: the pages as zstd packs them, but for what is of the server that wrote them.
 * Everything in such a page corrects itself (facts: freespace/README), but not its LSN: a server cannot write a page out
 * whose LSN is ahead of its own WAL (XLogFlush), and a map may be of a server whose last WAL no quorum has.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { FREE_SPACE_MAP_PART_BYTES } from '../contracts/auxiliary-path.ts';
import { computePageChecksum, writePageChecksum } from '../postgres/page/checksum.ts';
import { initializePage, isNewPage, PAGE_CHECKSUM, PAGE_HEADER_BYTES, Page } from '../postgres/page/page.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';

/** What all pages of free space maps begin with (fsm_readbuf). */
const HEADER: Uint8Array = emptyPageHeader();

function emptyPageHeader(): Uint8Array {
  const page = new Page();
  initializePage(page, 0);
  return page.bytes.slice(0, PAGE_HEADER_BYTES);
}

/** Makes the headers of pages what they are in storage: without LSN and checksum. A page that is new is zero. */
export function clearHeaders(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const page = new Page(bytes.subarray(at, at + BLOCK_BYTES));
    if (isNewPage(page)) page.bytes.fill(0);
    else page.bytes.set(HEADER);
  }
}

/** Makes pages zero whose checksum is wrong: they were being written while they were read. @param block of the first */
export function clearTornPages(bytes: Uint8Array, block: number): void {
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const page = new Page(bytes.subarray(at, at + BLOCK_BYTES));
    if (isNewPage(page)) continue;
    const checksum = page.view.getUint16(PAGE_CHECKSUM, true);
    if (checksum !== computePageChecksum(page, block + at / BLOCK_BYTES)) page.bytes.fill(0);
  }
}

/** @param block of the first */
export function writeChecksums(bytes: Uint8Array, block: number): void {
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const page = new Page(bytes.subarray(at, at + BLOCK_BYTES));
    if (!isNewPage(page)) writePageChecksum(page, block + at / BLOCK_BYTES);
  }
}

export function packPart(pages: Uint8Array): Uint8Array {
  return zstdCompressSync(pages);
}

/** Whole pages, with cleared headers; undefined for what is no part of a map: anybody may have put it into storage. */
export function unpackPart(content: Uint8Array): Uint8Array | undefined {
  let pages: Uint8Array;
  try {
    pages = zstdDecompressSync(content, { maxOutputLength: FREE_SPACE_MAP_PART_BYTES });
  } catch (error) {
    // Damaged, or too long.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
  if (pages.length === 0 || pages.length % BLOCK_BYTES !== 0) return undefined;
  clearHeaders(pages);
  return pages;
}
