/** CRC-32C (Castagnoli), the checksum of PostgreSQL's WAL, control file, relation map and state files. */

const POLYNOMIAL_REFLECTED = 0x82f63b78;

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL_REFLECTED : crc >>> 1;
  table[byte] = crc;
}

/**
 * CRC of bytes[start, end), as an unsigned number. One table and plain code: for small things such as state
 * files. WAL is checked in bulk by `postgres/wal/workspace.ts`.
 *
 * `previous` continues an earlier result, as if the bytes stood in one row.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length, previous = 0): number {
  let crc = ~previous;
  for (let index = start; index < end; index++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[index] as number)) & 0xff] as number);
  }
  return ~crc >>> 0;
}
