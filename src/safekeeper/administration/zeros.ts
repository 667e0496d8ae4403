import type { ReadableFile } from '../../io/files.ts';

const CHUNK_BYTES = 64 * 1024;

/** How many bytes of zero a file begins with, and how many it ends with: how much of a segment was ever written. */
export async function countZeros(file: ReadableFile): Promise<{ startBytes: number; endBytes: number }> {
  const { sizeBytes } = file;
  const chunk = new Uint8Array(CHUNK_BYTES);
  let startBytes = 0;
  while (startBytes < sizeBytes) {
    const length = await file.read(chunk, 0, Math.min(CHUNK_BYTES, sizeBytes - startBytes), startBytes);
    const first = chunk.subarray(0, length).findIndex((byte) => byte !== 0);
    startBytes += first < 0 ? length : first;
    if (first >= 0 || length === 0) break;
  }
  let endBytes = 0;
  while (endBytes < sizeBytes) {
    const wanted = Math.min(CHUNK_BYTES, sizeBytes - endBytes);
    const length = await file.read(chunk, 0, wanted, sizeBytes - endBytes - wanted);
    const last = chunk.subarray(0, length).findLastIndex((byte) => byte !== 0);
    endBytes += length - 1 - last;
    if (last >= 0 || length < wanted) break;
  }
  return { startBytes, endBytes };
}
