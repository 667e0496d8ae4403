/** A length of 15 in a token goes on in the bytes behind. */
const LENGTH_GOES_ON = 15;
const MATCH_BYTES_MIN = 4;

/**
 * One LZ4 block, without a frame, as PostgreSQL stores it in full-page images and TOAST (lz4 Block Format
 * Description). Our own because it must write into a given place without allocating, and no package does.
 *
 * A sequence is a token (high half: literal length, low half: match length - 4; 15 means that bytes follow which
 * are added, up to and including the first that is not 255), the literals, a two-byte distance, and the match.
 * The last sequence ends after its literals.
 *
 * Decompresses source[start, end) into at most `wanted` bytes of `target` at `targetStart`.
 * Returns the number of bytes made, or -1 where the input is damaged or would give more; never writes beyond them.
 */
export function decompressLz4(
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
  while (input < end) {
    const token = source[input++] as number;
    let literals = token >> 4;
    if (literals === LENGTH_GOES_ON) {
      const more = readMoreLength(source, input, end);
      if (more < 0) return -1;
      literals += more;
      input += moreLengthBytes(more);
    }
    if (literals > end - input || literals > targetEnd - output) return -1;
    for (let index = 0; index < literals; index++) target[output++] = source[input++] as number;
    if (input === end) return output - targetStart;
    if (input + 2 > end) return -1;
    const distance = (source[input] as number) | ((source[input + 1] as number) << 8);
    input += 2;
    let length = (token & 15) + MATCH_BYTES_MIN;
    if ((token & 15) === LENGTH_GOES_ON) {
      const more = readMoreLength(source, input, end);
      if (more < 0) return -1;
      length += more;
      input += moreLengthBytes(more);
    }
    if (distance === 0 || distance > output - targetStart || length > targetEnd - output) return -1;
    for (let index = 0; index < length; index++, output++) {
      target[output] = target[output - distance] as number;
    }
  }
  return -1;
}

/** Sum of the bytes up to and including the first that is not 255, or -1 where they are cut off. */
function readMoreLength(source: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let input = start; input < end; input++) {
    const byte = source[input] as number;
    sum += byte;
    if (byte !== 255) return sum;
  }
  return -1;
}

/** How many bytes `readMoreLength` has read. */
function moreLengthBytes(sum: number): number {
  return Math.floor(sum / 255) + 1;
}
