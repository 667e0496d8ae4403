import { crc32cBulk } from '../../../base/crc32c-bulk.ts';
import { AssertionError } from '../../../base/errors.ts';
import {
  badLayer,
  CODEC_RAW,
  CODEC_ZSTD,
  COMPRESSED_RAW_BYTES_MAX,
  FRAME_BYTES,
  FRAME_CODEC,
  FRAME_PAYLOAD_LENGTH,
  FRAME_RAW_LENGTH,
} from './layout.ts';
import { zstdPack, zstdUnpack } from './zstd.ts';

export type Compression = 'zstd' | 'none';

/** A compressed block must save at least its sixteenth, or reading it is not worth the trouble. */
const GAIN_SHIFT = 4;

/** A CRC begins with the block's place, so that a block that was written or read in another one is not believed. */
const crcSeed = (position: number): number => position >>> 0;

/** Returns the compressed form, where it is worth while. */
function compress(raw: Uint8Array): Uint8Array | undefined {
  if (raw.length > COMPRESSED_RAW_BYTES_MAX) return undefined;
  const packed = zstdPack(raw);
  return packed.length <= raw.length - (raw.length >>> GAIN_SHIFT) ? packed : undefined;
}

/**
 * Writes a block as it is stored into `target` at `start`, which must have room for it raw with its frame.
 *
 * @param position where in the file it is going to be
 * @returns its length with the frame
 */
export function sealBlock(
  raw: Uint8Array,
  position: number,
  compression: Compression,
  target: Uint8Array,
  start: number,
): number {
  if (start + FRAME_BYTES + raw.length > target.length) throw new AssertionError('no room for a block');
  const packed = compression === 'zstd' ? compress(raw) : undefined;
  const payload = packed ?? raw;
  const view = new DataView(target.buffer, target.byteOffset + start, FRAME_BYTES);
  view.setUint32(FRAME_PAYLOAD_LENGTH, payload.length);
  view.setUint32(FRAME_RAW_LENGTH, raw.length);
  view.setUint32(FRAME_CODEC, 0);
  view.setUint8(FRAME_CODEC, packed === undefined ? CODEC_RAW : CODEC_ZSTD);
  target.set(payload, start + FRAME_BYTES);
  const end = start + FRAME_BYTES + payload.length;
  view.setUint32(0, crc32cBulk(target, start + FRAME_PAYLOAD_LENGTH, end, crcSeed(position)));
  return end - start;
}

/**
 * The whole length of the block whose frame is at `offset` of the view. The lengths have not been checked by the CRC
 * yet, but are possible ones.
 *
 * @param position of the block in the file
 * @param limit the block must end there, in the file, or before
 * @throws CorruptionError
 */
export function decodeStoredLength(
  view: DataView,
  offset: number,
  position: number,
  limit: number,
  file: string,
): number {
  const payloadLength = view.getUint32(offset + FRAME_PAYLOAD_LENGTH);
  const rawLength = view.getUint32(offset + FRAME_RAW_LENGTH);
  const codec = view.getUint8(offset + FRAME_CODEC);
  const storedLength = FRAME_BYTES + payloadLength;
  if (storedLength > limit - position) {
    throw badLayer(file, position, `a block of ${storedLength} bytes does not end at ${limit} or before`);
  }
  if (view.getUint32(offset + FRAME_CODEC) !== codec * 0x100_0000) {
    throw badLayer(file, position, 'there is something where a block has zeros');
  }
  if (codec !== CODEC_RAW && codec !== CODEC_ZSTD) {
    throw badLayer(file, position, `a block is compressed in the unknown way ${codec}`);
  }
  if (codec === CODEC_RAW ? rawLength !== payloadLength : rawLength > COMPRESSED_RAW_BYTES_MAX) {
    throw badLayer(file, position, `a block of ${payloadLength} bytes claims to be ${rawLength}`);
  }
  return storedLength;
}

function decompress(payload: Uint8Array, rawLength: number, position: number, file: string): Uint8Array {
  try {
    return zstdUnpack(payload, rawLength);
  } catch (error) {
    throw badLayer(file, position, `a block cannot be decompressed: ${(error as Error).message}`);
  }
}

/**
 * Checks the CRC of the block at `start` and gives what is in it, in memory of its own.
 *
 * @param storedLength from decodeStoredLength; that much must be there
 * @throws CorruptionError
 */
export function decodeStoredBlock(
  bytes: Uint8Array,
  start: number,
  storedLength: number,
  position: number,
  file: string,
): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, FRAME_BYTES);
  const end = start + storedLength;
  const crc = crc32cBulk(bytes, start + FRAME_PAYLOAD_LENGTH, end, crcSeed(position));
  if (crc !== view.getUint32(0)) throw badLayer(file, position, "a block's checksum is wrong");
  if (view.getUint8(FRAME_CODEC) === CODEC_RAW)
    return new Uint8Array(bytes.subarray(start + FRAME_BYTES, end));
  const payload = bytes.subarray(start + FRAME_BYTES, end);
  return decompress(payload, view.getUint32(FRAME_RAW_LENGTH), position, file);
}
