const SLAB_BYTES = 64 * 1024;
/** Larger chunks have a buffer of their own, and live no longer than they are used. */
const LARGE_BYTES = 4096;

let slab = new Uint8Array(0);
let usedBytes = 0;

/** A copy of `bytes` from `start` to `end`. Small ones share a buffer, which makes them much cheaper. */
export function copyChunk(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > LARGE_BYTES) return bytes.slice(start, end);
  if (usedBytes + length > slab.length) {
    slab = new Uint8Array(SLAB_BYTES);
    usedBytes = 0;
  }
  const chunk = slab.subarray(usedBytes, usedBytes + length);
  chunk.set(bytes.subarray(start, end));
  usedBytes += length;
  return chunk;
}

export function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
