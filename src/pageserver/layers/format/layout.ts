/** Where things are in a layer file: docs/formats/layer.md. All numbers are big-endian, as keys are. */
import { CorruptionError } from '../../../base/errors.ts';
import { LSN_HIGH_LIMIT } from '../../../base/lsn.ts';
import { KEY_BYTES } from '../../keyspace/key.ts';

/** What is written. */
export const LAYER_FORMAT_VERSION = 2;
/** The oldest that is read. In its layers nothing is VALUE_VISIBILITY_CLEARS: pages of the map have the records instead. */
export const LAYER_FORMAT_VERSION_OLDEST = 1;

/** The header stands at the beginning, the first data block behind it. */
export const HEADER_BYTES = 4096;

/** In front of each block, outside of what is compressed: CRC, payload length, raw length, codec. */
export const FRAME_BYTES: number = 4 + 4 + 4 + 1 + 3;
export const FRAME_PAYLOAD_LENGTH = 4;
export const FRAME_RAW_LENGTH = 8;
export const FRAME_CODEC = 12;
export const CODEC_RAW = 0;
export const CODEC_ZSTD = 1;
/** A longer block is never compressed, so that no few bytes can claim to be many. */
export const COMPRESSED_RAW_BYTES_MAX: number = 4 * 1024 * 1024;

/** First byte of a raw block. */
export const BLOCK_DATA = 1;
/** Index rows that lead to data blocks. */
export const BLOCK_LEAF = 2;
/** Index rows that lead to leaves. */
export const BLOCK_ROOT = 3;
export type BlockType = typeof BLOCK_DATA | typeof BLOCK_LEAF | typeof BLOCK_ROOT;

/** Data block: type, bytes of an LSN, whether the first key is the last one of the block before, 0. */
export const DATA_LSN_BYTES = 1;
export const DATA_CONTINUES = 2;
export const DATA_ROW_COUNT = 4;
export const DATA_STEM_COUNT = 8;
export const DATA_VALUES_LENGTH = 12;
/** The lowest LSN. Rows hold what is to be added to it. */
export const DATA_LSN_BASE = 16;
/** Here the values begin; behind them come the columns index, LSN and end, then the stems. */
export const DATA_VALUES = 24;
/** All of a key but its index. */
export const STEM_BYTES: number = KEY_BYTES - 4;
/** A stem and the number of the first row that has it. */
export const STEM_ROW_BYTES: number = STEM_BYTES + 4;
/** A row's `end` has the value's flags in its highest four bits. */
export const END_MASK = 0x0fff_ffff;
export const END_FLAGS_SHIFT = 28;

/** Index block: type, three zeros, number of rows. */
export const INDEX_ROW_COUNT = 4;
export const INDEX_ROWS = 8;
/** First key and LSN of the block that the row leads to, then its place. */
export const INDEX_LSN: number = KEY_BYTES;
export const INDEX_POSITION: number = INDEX_LSN + 8;
export const INDEX_STORED_LENGTH: number = INDEX_POSITION + 8;
export const INDEX_RAW_LENGTH: number = INDEX_STORED_LENGTH + 4;
export const INDEX_ROW_BYTES: number = INDEX_RAW_LENGTH + 4;
export const LEAF_BYTES_MAX = 8192;
export const LEAF_ROWS_MAX: number = Math.floor((LEAF_BYTES_MAX - INDEX_ROWS) / INDEX_ROW_BYTES);

const TWO_POW_32 = 0x1_0000_0000;

/** A whole number below 2^53. */
export function writeU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, Math.floor(value / TWO_POW_32));
  view.setUint32(offset + 4, value % TWO_POW_32);
}

/** Exact only where `isExactU64`. */
export const readU64 = (view: DataView, offset: number): number =>
  view.getUint32(offset) * TWO_POW_32 + view.getUint32(offset + 4);

export const isExactU64 = (view: DataView, offset: number): boolean =>
  view.getUint32(offset) < LSN_HIGH_LIMIT;

/** Copies the 18 bytes of a key. */
export function copyKey(target: DataView, targetOffset: number, key: DataView, keyOffset: number): void {
  target.setUint32(targetOffset, key.getUint32(keyOffset));
  target.setUint32(targetOffset + 4, key.getUint32(keyOffset + 4));
  target.setUint32(targetOffset + 8, key.getUint32(keyOffset + 8));
  target.setUint32(targetOffset + 12, key.getUint32(keyOffset + 12));
  target.setUint16(targetOffset + 16, key.getUint16(keyOffset + 16));
}

/** Copies all of a key but its index to where a key begins. */
export function copyStem(target: DataView, stems: DataView, offset: number): void {
  target.setUint32(0, stems.getUint32(offset));
  target.setUint32(4, stems.getUint32(offset + 4));
  target.setUint32(8, stems.getUint32(offset + 8));
  target.setUint16(12, stems.getUint16(offset + 12));
}

/** The one error of a layer file whose bytes are not what they must be. */
export const badLayer = (file: string, offset: number, reason: string): CorruptionError =>
  new CorruptionError('BAD_LAYER', `damaged layer file: ${reason}`, { file, offset });
