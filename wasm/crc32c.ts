// AssemblyScript (compiled by tools/build-wasm.ts, never by tsc): CRC-32C (Castagnoli) over linear memory.
//
// Slicing by 16: sixteen tables of 256 words turn sixteen input bytes into sixteen independent look-ups. What
// bounds it is the way from one running value to the next, so the look-ups that need it are combined last.
// The tables and a window of masks fill [0, 16448); whoever shares the memory keeps out of there.

const POLYNOMIAL_REFLECTED: u32 = 0x82f63b78;

/** Where 16 bytes of zeros and 16 of ones stand (and four zeros before): at + n, 16 - n bytes of zeros, then ones. */
const MASK_WINDOW: u32 = 16384 + 4;

/** Fills the tables. To be called once for each memory. */
export function initialize(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc: u32 = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
    store<u32>(byte << 2, crc);
  }
  for (let table: u32 = 1; table < 16; table++) {
    for (let byte: u32 = 0; byte < 256; byte++) {
      const previous = load<u32>(((table - 1) << 10) + (byte << 2));
      store<u32>((table << 10) + (byte << 2), (previous >> 8) ^ load<u32>((previous & 0xff) << 2));
    }
  }
  for (let index: u32 = 16; index < 32; index++) store<u8>(MASK_WINDOW + index, 0xff);
}

// Look-ups of the four bytes of a word in four tables. The table's place is the load's own constant offset.

// @ts-ignore: decorator
@inline
function lookUp0(word: u32): u32 {
  return (
    (load<u32>((word << 2) & 0x3fc, 0x0c00) ^ load<u32>((word >> 6) & 0x3fc, 0x0800)) ^
    (load<u32>((word >> 14) & 0x3fc, 0x0400) ^ load<u32>((word >> 22) & 0x3fc))
  );
}

// @ts-ignore: decorator
@inline
function lookUp4(word: u32): u32 {
  return (
    (load<u32>((word << 2) & 0x3fc, 0x1c00) ^ load<u32>((word >> 6) & 0x3fc, 0x1800)) ^
    (load<u32>((word >> 14) & 0x3fc, 0x1400) ^ load<u32>((word >> 22) & 0x3fc, 0x1000))
  );
}

// @ts-ignore: decorator
@inline
function lookUp8(word: u32): u32 {
  return (
    (load<u32>((word << 2) & 0x3fc, 0x2c00) ^ load<u32>((word >> 6) & 0x3fc, 0x2800)) ^
    (load<u32>((word >> 14) & 0x3fc, 0x2400) ^ load<u32>((word >> 22) & 0x3fc, 0x2000))
  );
}

// @ts-ignore: decorator
@inline
function lookUp12(word: u32): u32 {
  return (
    (load<u32>((word << 2) & 0x3fc, 0x3c00) ^ load<u32>((word >> 6) & 0x3fc, 0x3800)) ^
    (load<u32>((word >> 14) & 0x3fc, 0x3400) ^ load<u32>((word >> 22) & 0x3fc, 0x3000))
  );
}

// @ts-ignore: decorator
@inline
function sixteenBytes(crc: u32, pointer: u32): u32 {
  const rest = lookUp8(load<u32>(pointer, 4)) ^ lookUp4(load<u32>(pointer, 8)) ^ lookUp0(load<u32>(pointer, 12));
  return rest ^ lookUp12(load<u32>(pointer) ^ crc);
}

/**
 * Running value after the bytes of a record behind its header. Those that make no whole sixteen come first. Zeros at
 * the front do not change a running value of 0, so sixteen bytes are read that end with them, with zeros in place of
 * the header's end; the 0xffffffff that a CRC begins with is then xored into the data, and what of it reaches
 * beyond them into the running value.
 */
// @ts-ignore: decorator
@inline
function bodyCrc(pointer: u32, length: u32): u32 {
  const partial = length & 15;
  let crc: u32 = 0xffffffff;
  if (partial != 0) {
    const before = pointer + partial - 16;
    const mask = MASK_WINDOW + partial;
    // Ones where the data is, but for its first four bytes: theirs are flipped.
    const low = load<u64>(mask);
    const high = load<u64>(mask, 8);
    const first = (load<u64>(before) & low) ^ low ^ load<u64>(mask - 4);
    const second = (load<u64>(before, 8) & high) ^ high ^ load<u64>(mask - 4, 8);
    crc = partial < 4 ? crc >> (partial << 3) : 0;
    crc ^= lookUp12(<u32>first) ^ lookUp8(<u32>(first >> 32)) ^ lookUp4(<u32>second) ^ lookUp0(<u32>(second >> 32));
  }
  const end = pointer + length;
  for (let position = pointer + partial; position < end; position += 16) crc = sixteenBytes(crc, position);
  return crc;
}

/** The data first, then the header up to the CRC itself (xlogreader.c, ValidXLogRecord). */
// @ts-ignore: decorator
@inline
function recordCrc(pointer: u32, totalLength: u32): u32 {
  const crc = sixteenBytes(bodyCrc(pointer + 24, totalLength - 24), pointer);
  return ~lookUp0(load<u32>(pointer, 16) ^ crc);
}

/**
 * Checks `count` WAL records whose starts stand as u32 at `offsets`. The caller has made sure that each total
 * length is at least 24 and that each record lies within the memory.
 * Returns the index of the first whose stored CRC (u32 at +20) is not that of its bytes, or `count`.
 */
export function verifyRecords(offsets: u32, count: u32): u32 {
  for (let index: u32 = 0; index < count; index++) {
    const pointer = load<u32>(offsets + (index << 2));
    if (recordCrc(pointer, load<u32>(pointer)) != load<u32>(pointer, 20)) return index;
  }
  return count;
}

/** The CRC of [pointer, pointer + length), going on from that of the bytes before (0 where there are none). */
export function continueCrc(previous: u32, pointer: u32, length: u32): u32 {
  let crc = ~previous;
  const end = pointer + length;
  let position = pointer;
  for (; position + 16 <= end; position += 16) crc = sixteenBytes(crc, position);
  for (; position < end; position++) crc = (crc >> 8) ^ load<u32>(((crc ^ load<u8>(position)) & 0xff) << 2);
  return ~crc;
}
