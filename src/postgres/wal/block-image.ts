import { zstdDecompressSync } from 'node:zlib';
import { CorruptionError } from '../../base/errors.ts';
import { decompressLz4 } from '../compression/lz4.ts';
import { decompressPglz } from '../compression/pglz.ts';
import type { Page } from '../page/page.ts';
import type { DecodedRecord } from './decoded-record.ts';
import { BLOCK_BYTES } from './record-header.ts';

const scratch = new Uint8Array(BLOCK_BYTES);

function fail(record: DecodedRecord, blockId: number, reason: string): never {
  throw new CorruptionError('BAD_PAGE_IMAGE', `the full-page image cannot be restored: ${reason}`, {
    lsn: record.startLsn,
    blockId,
    page: record.describeBlock(blockId),
  });
}

function decompressZstd(source: Uint8Array, wanted: number): Uint8Array {
  return zstdDecompressSync(source, { maxOutputLength: wanted });
}

/** Puts the decompressed image, without its hole, into `scratch`; returns how many bytes it has. */
function decompressImage(record: DecodedRecord, blockId: number, wanted: number): number {
  const { version } = record;
  const info = record.blockImageInfo[blockId] as number;
  const start = record.blockImageOffset[blockId] as number;
  const end = start + (record.blockImageLength[blockId] as number);
  if ((info & version.imagePglz) !== 0) return decompressPglz(record.bytes, start, end, scratch, 0, wanted);
  if ((info & version.imageLz4) !== 0) return decompressLz4(record.bytes, start, end, scratch, 0, wanted);
  try {
    const image = decompressZstd(record.bytes.subarray(start, end), wanted);
    scratch.set(image);
    return image.length;
  } catch (error) {
    throw new CorruptionError(
      'BAD_PAGE_IMAGE',
      'the zstd image cannot be decompressed',
      { lsn: record.startLsn },
      error,
    );
  }
}

/**
 * RestoreBlockImage (xlogreader.c): puts the full-page image of a block reference into `page`, decompressed and
 * with its hole of zeros. The page's LSN is left as it is in the image.
 *
 * @throws CorruptionError where the image does not give exactly one page.
 */
export function restoreBlockImage(record: DecodedRecord, blockId: number, page: Page): void {
  if (!record.hasBlock(blockId) || record.blockHasImage[blockId] === 0)
    fail(record, blockId, 'there is none');
  const { version, bytes } = record;
  const holeOffset = record.blockHoleOffset[blockId] as number;
  const holeLength = record.blockHoleLength[blockId] as number;
  const wanted = BLOCK_BYTES - holeLength;
  const compressed = version.imagePglz | version.imageLz4 | version.imageZstd;
  let source = bytes;
  let start = record.blockImageOffset[blockId] as number;
  if (((record.blockImageInfo[blockId] as number) & compressed) !== 0) {
    const length = decompressImage(record, blockId, wanted);
    if (length !== wanted) fail(record, blockId, `it gives ${length} bytes instead of ${wanted}`);
    source = scratch;
    start = 0;
  }
  if (holeLength === 0) {
    page.bytes.set(source.subarray(start, start + BLOCK_BYTES));
    return;
  }
  page.bytes.set(source.subarray(start, start + holeOffset));
  page.bytes.fill(0, holeOffset, holeOffset + holeLength);
  page.bytes.set(source.subarray(start + holeOffset, start + wanted), holeOffset + holeLength);
}
