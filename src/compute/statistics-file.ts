import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { VarveError } from '../base/errors.ts';
import { PACKED_STATISTICS_PATH, STATISTICS_PATH } from '../contracts/auxiliary-path.ts';
import { AUXILIARY_CONTENT_BYTES_MAX } from '../contracts/auxiliary-stream.ts';
import type { Files } from '../io/files.ts';
import { readWholeFile } from '../io/read-whole-file.ts';

/** Some hundred bytes a table and index. They pack to a tenth. */
const UNPACKED_BYTES_MAX: number = 64 * 1024 * 1024;

/**
 * The statistics that a server has left when it was shut down, packed.
 * @returns undefined where it has left none
 * @throws VarveError ‘precondition’ / STATISTICS_TOO_LARGE; the disk's
 */
export async function packStatistics(files: Files, dataPath: string): Promise<Uint8Array | undefined> {
  const bytes = await readIfThere(files, `${dataPath}/${STATISTICS_PATH}`);
  if (bytes === undefined) return undefined;
  const packed =
    bytes.length > UNPACKED_BYTES_MAX
      ? undefined
      : zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  if (packed !== undefined && packed.length <= AUXILIARY_CONTENT_BYTES_MAX) return packed;
  const reason = `the server has left ${bytes.length} bytes of statistics, which are too many`;
  throw new VarveError('precondition', 'STATISTICS_TOO_LARGE', reason);
}

/** Puts statistics in their place that a start set has brought. Those that cannot be read are none. @throws the disk's */
export async function unpackStatistics(files: Files, dataPath: string): Promise<void> {
  const packed = await readIfThere(files, `${dataPath}/${PACKED_STATISTICS_PATH}`);
  if (packed === undefined) return;
  await files.remove(`${dataPath}/${PACKED_STATISTICS_PATH}`);
  try {
    const bytes = zstdDecompressSync(packed, { maxOutputLength: UNPACKED_BYTES_MAX });
    await using file = await files.openForUpdate(`${dataPath}/${STATISTICS_PATH}`);
    await file.write(bytes, 0, bytes.length, 0);
  } catch (error) {
    // Damaged, or too long: anybody may have put it into storage.
    if (!(error instanceof Error && 'code' in error) || error instanceof VarveError) throw error;
  }
}

async function readIfThere(files: Files, path: string): Promise<Uint8Array | undefined> {
  try {
    return await readWholeFile(files, path);
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return undefined;
    throw error;
  }
}
