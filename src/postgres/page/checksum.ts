/** The checksum of data pages (storage/checksum_impl.h): 32 interleaved FNV-1a hashes with a shift mixed in. */
import { BLOCK_BYTES } from '../wal/record-header.ts';
import { PAGE_CHECKSUM, type Page } from './page.ts';

const N_SUMS = 32;
const FNV_PRIME = 16777619;
const WORD_BYTES = 4;
/** The 32-bit word of the page whose low half is pd_checksum. */
const CHECKSUM_WORD = PAGE_CHECKSUM / WORD_BYTES;

/** checksumBaseOffsets: where each of the hashes begins. */
const BASE_OFFSETS = Int32Array.of(
  ...[0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c],
  ...[0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb],
  ...[0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4],
  ...[0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756],
);

const sums = new Int32Array(N_SUMS);

/**
 * pg_checksum_page: what pd_checksum must be for this page as block `blockNumber` of its fork (1 to 65535). The
 * checksum that stands in the page does not count. Not meant for new (all-zero) pages, which have none.
 */
export function computePageChecksum(page: Page, blockNumber: number): number {
  const { view } = page;
  sums.set(BASE_OFFSETS);
  for (let word = 0; word < BLOCK_BYTES / WORD_BYTES; word += N_SUMS) {
    for (let index = 0; index < N_SUMS; index++) {
      let value = view.getInt32((word + index) * WORD_BYTES, true);
      if (word + index === CHECKSUM_WORD) value &= 0xffff_0000;
      const mixed = (sums[index] as number) ^ value;
      sums[index] = Math.imul(mixed, FNV_PRIME) ^ (mixed >>> 17);
    }
  }
  let result = 0;
  for (let index = 0; index < N_SUMS; index++) {
    let sum = sums[index] as number;
    // Two rounds of zeros.
    sum = Math.imul(sum, FNV_PRIME) ^ (sum >>> 17);
    sum = Math.imul(sum, FNV_PRIME) ^ (sum >>> 17);
    result ^= sum;
  }
  return (((result ^ blockNumber) >>> 0) % 65535) + 1;
}

/** PageSetChecksumInplace, for a cluster with data checksums. */
export function writePageChecksum(page: Page, blockNumber: number): void {
  page.view.setUint16(PAGE_CHECKSUM, computePageChecksum(page, blockNumber), true);
}
