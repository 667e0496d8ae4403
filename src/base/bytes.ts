/** From here on `set` costs less, although it needs a subarray. */
const SET_BYTES_MIN = 128;

/**
 * Copies `length` bytes between different buffers. Short runs, which are the rule in WAL, go by four bytes, in
 * blocks of 32: half the cost of a plain loop, and for less than 128 bytes also less than the subarray that `set`
 * needs. Within one buffer the runs must not overlap.
 */
export function copyBytes(
  target: Uint8Array,
  targetView: DataView,
  targetOffset: number,
  source: Uint8Array,
  sourceView: DataView,
  sourceOffset: number,
  length: number,
): void {
  if (length >= SET_BYTES_MIN) {
    target.set(source.subarray(sourceOffset, sourceOffset + length), targetOffset);
    return;
  }
  const end = sourceOffset + length;
  const distance = targetOffset - sourceOffset;
  let at = sourceOffset;
  for (; at + 32 <= end; at += 32) {
    targetView.setInt32(at + distance, sourceView.getInt32(at, true), true);
    targetView.setInt32(at + distance + 4, sourceView.getInt32(at + 4, true), true);
    targetView.setInt32(at + distance + 8, sourceView.getInt32(at + 8, true), true);
    targetView.setInt32(at + distance + 12, sourceView.getInt32(at + 12, true), true);
    targetView.setInt32(at + distance + 16, sourceView.getInt32(at + 16, true), true);
    targetView.setInt32(at + distance + 20, sourceView.getInt32(at + 20, true), true);
    targetView.setInt32(at + distance + 24, sourceView.getInt32(at + 24, true), true);
    targetView.setInt32(at + distance + 28, sourceView.getInt32(at + 28, true), true);
  }
  for (; at + 4 <= end; at += 4) targetView.setInt32(at + distance, sourceView.getInt32(at, true), true);
  if (at === end) return;
  if (length >= 4) {
    // The last word once more covers the last one to three bytes.
    targetView.setInt32(end + distance - 4, sourceView.getInt32(end - 4, true), true);
    return;
  }
  for (; at < end; at++) targetView.setUint8(at + distance, sourceView.getUint8(at));
}
