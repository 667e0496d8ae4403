const ITEMS_PER_CONTROL = 8;
/** The length in a tag that one more byte is added to. */
const LENGTH_GOES_ON = 15;

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
    for (let item = 0; item < ITEMS_PER_CONTROL && input < end && output < targetEnd; item++, control >>= 1) {
      if ((control & 1) === 0) {
        target[output++] = source[input++] as number;
        continue;
      }
      const tagBytes = ((source[input] as number) & 0x0f) === LENGTH_GOES_ON ? 3 : 2;
      if (input + tagBytes > end) return -1;
      const distance = (((source[input] as number) & 0xf0) << 4) | (source[input + 1] as number);
      if (distance === 0 || distance > output - targetStart) return -1;
      const matchEnd = Math.min(output + matchLength(source, input), targetEnd);
      input += tagBytes;
      for (; output < matchEnd; output++) target[output] = target[output - distance] as number;
    }
  }
  return input === end ? output - targetStart : -1;
}

/** Length of the match whose tag stands at `input`. */
function matchLength(source: Uint8Array, input: number): number {
  const length = (source[input] as number) & 0x0f;
  return length === LENGTH_GOES_ON ? length + 3 + (source[input + 2] as number) : length + 3;
}
