/**
 * PostgreSQL's own LZ compression (common/pg_lzcompress.c, pglz_decompress with a complete result demanded).
 *
 * The input is groups of eight items behind a control byte, lowest bit first. A clear bit is one literal byte. A
 * set bit is a match: low half of the first byte + 3 is its length (18 means that one more byte is added), high
 * half and the second byte are how far back it begins.
 *
 * Decompresses source[start, end) into exactly `wanted` bytes of `target` at `targetStart`.
 * Returns the number of bytes made, which is not `wanted` where the input is damaged; never writes beyond them.
 */
export function decompressPglz(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
  wanted: number,
): number {
  const targetEnd = targetStart + wanted;
  let input = start;
  let output = targetStart;
  while (input < end && output < targetEnd) {
    let control = source[input++] as number;
    for (let item = 0; item < 8 && input < end && output < targetEnd; item++, control >>= 1) {
      if ((control & 1) === 0) {
        target[output++] = source[input++] as number;
        continue;
      }
      if (input + 2 > end) return -1;
      const first = source[input] as number;
      let length = (first & 0x0f) + 3;
      const distance = ((first & 0xf0) << 4) | (source[input + 1] as number);
      input += 2;
      if (length === 18) {
        if (input >= end) return -1;
        length += source[input++] as number;
      }
      if (distance === 0 || distance > output - targetStart) return -1;
      const matchEnd = Math.min(output + length, targetEnd);
      for (; output < matchEnd; output++) target[output] = target[output - distance] as number;
    }
  }
  return input === end ? output - targetStart : -1;
}
