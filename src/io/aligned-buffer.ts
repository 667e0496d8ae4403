/**
 * What O_DIRECT wants of an address in memory on every disk that we know of: a multiple of the logical block of the
 * oldest ones.
 */
export const MEMORY_ALIGNMENT_BYTES = 512;

/**
 * Memory that a disk may read and write without a copy. A resizable ArrayBuffer gets whole pages of its own, which
 * neither `Buffer` nor a plain ArrayBuffer promises; its pages take up memory as they are first touched. This costs
 * some microseconds and is not for hot paths.
 */
export function allocateAligned(lengthBytes: number): Uint8Array {
  // With a length of its own the view does not follow the buffer's, and costs nothing more than any other.
  return new Uint8Array(new ArrayBuffer(lengthBytes, { maxByteLength: lengthBytes }), 0, lengthBytes);
}

/** Whether the byte at this index lies where O_DIRECT wants it: known only of what `allocateAligned` gave. */
export const isAligned = (bytes: Uint8Array, index: number): boolean =>
  (bytes.byteOffset + index) % MEMORY_ALIGNMENT_BYTES === 0 &&
  bytes.buffer instanceof ArrayBuffer &&
  bytes.buffer.resizable;
