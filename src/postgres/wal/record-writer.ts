import { crc32c } from '../../base/crc32c.ts';
import { AssertionError } from '../../base/errors.ts';
import { writeLsn } from '../../base/lsn.ts';
import {
  BLOCK_BYTES,
  BLOCK_FORK_MASK,
  BLOCK_HAS_DATA,
  BLOCK_HAS_IMAGE,
  BLOCK_ID_DATA_LONG,
  BLOCK_ID_DATA_SHORT,
  BLOCK_ID_MAX,
  BLOCK_ID_ORIGIN,
  BLOCK_ID_TOP_LEVEL_XID,
  BLOCK_WILL_INIT,
  FORK_MAIN,
  RECORD_BYTES_MAX,
  RECORD_CRC,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
  RECORD_PREVIOUS,
  RECORD_RESOURCE_MANAGER,
  RECORD_XID,
} from './record-header.ts';

/** data_length of a block header has 16 bits. */
const BLOCK_DATA_BYTES_MAX = 0xffff;

/** A full-page image as it stands in a record, compressed or not. */
export interface ImageToWrite {
  readonly bytes: Uint8Array;
  readonly holeOffset: number;
  /** Written only where the image is compressed; else it follows from the length of `bytes`. */
  readonly holeLength: number;
  /** bimg_info, whose bits depend on the version. */
  readonly imageInfo: number;
  readonly compressed: boolean;
}

export interface BlockToWrite {
  readonly blockId: number;
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
  readonly fork?: number;
  readonly blockNumber: number;
  readonly willInitialize?: boolean;
  readonly data?: Uint8Array;
  readonly image?: ImageToWrite;
}

export interface RecordToWrite {
  readonly resourceManager: number;
  readonly info: number;
  readonly xid?: number;
  readonly originId?: number;
  readonly topLevelXid?: number;
  /** In ascending order of block id. */
  readonly blocks?: readonly BlockToWrite[];
  readonly mainData?: Uint8Array;
}

function blockHeaderLength(block: BlockToWrite): number {
  const image = block.image === undefined ? 0 : 5 + imageHoleLengthBytes(block.image);
  return 1 + 1 + 2 + image + 3 * 4 + 4;
}

/** The hole's length is only written for a compressed image that has one. */
function imageHoleLengthBytes(image: ImageToWrite): number {
  return image.compressed && image.holeLength > 0 ? 2 : 0;
}

function mainDataHeaderLength(length: number): number {
  if (length === 0) return 0;
  return length > 255 ? 5 : 2;
}

class Cursor {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  position = RECORD_HEADER_BYTES;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.view = new DataView(this.bytes.buffer);
  }

  u8(value: number): void {
    this.view.setUint8(this.position, value);
    this.position += 1;
  }

  u16(value: number): void {
    this.view.setUint16(this.position, value, true);
    this.position += 2;
  }

  u32(value: number): void {
    this.view.setUint32(this.position, value, true);
    this.position += 4;
  }

  put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.position);
    this.position += bytes.length;
  }
}

function writeBlockHeader(cursor: Cursor, block: BlockToWrite): void {
  const data = block.data?.length ?? 0;
  if (data > BLOCK_DATA_BYTES_MAX || (block.image?.bytes.length ?? 0) > BLOCK_BYTES)
    throw new AssertionError(`the data or the image of block ${block.blockId} is too long`);
  cursor.u8(block.blockId);
  cursor.u8(
    ((block.fork ?? FORK_MAIN) & BLOCK_FORK_MASK) |
      (block.image === undefined ? 0 : BLOCK_HAS_IMAGE) |
      (data === 0 ? 0 : BLOCK_HAS_DATA) |
      (block.willInitialize === true ? BLOCK_WILL_INIT : 0),
  );
  cursor.u16(data);
  if (block.image !== undefined) {
    cursor.u16(block.image.bytes.length);
    cursor.u16(block.image.holeOffset);
    cursor.u8(block.image.imageInfo);
    if (imageHoleLengthBytes(block.image) > 0) cursor.u16(block.image.holeLength);
  }
  cursor.u32(block.tablespace);
  cursor.u32(block.database);
  cursor.u32(block.relation);
  cursor.u32(block.blockNumber);
}

/**
 * The bytes of one record, with its CRC, as XLogRecordAssemble (xloginsert.c) makes them, but that each block
 * names its relation. `previousLsn` is the start of the record before it.
 */
export function encodeRecord(record: RecordToWrite, previousLsn: number): Uint8Array {
  const blocks = record.blocks ?? [];
  const mainData = record.mainData ?? new Uint8Array(0);
  let length = RECORD_HEADER_BYTES + mainDataHeaderLength(mainData.length) + mainData.length;
  if (record.originId !== undefined) length += 1 + 2;
  if (record.topLevelXid !== undefined) length += 1 + 4;
  let lastId = -1;
  for (const block of blocks) {
    if (block.blockId <= lastId || block.blockId > BLOCK_ID_MAX)
      throw new AssertionError('block ids must ascend');
    lastId = block.blockId;
    length += blockHeaderLength(block) + (block.data?.length ?? 0) + (block.image?.bytes.length ?? 0);
  }
  if (length > RECORD_BYTES_MAX) throw new AssertionError(`a record of ${length} bytes is too long`);
  const cursor = new Cursor(length);
  for (const block of blocks) writeBlockHeader(cursor, block);
  if (record.originId !== undefined) {
    cursor.u8(BLOCK_ID_ORIGIN);
    cursor.u16(record.originId);
  }
  if (record.topLevelXid !== undefined) {
    cursor.u8(BLOCK_ID_TOP_LEVEL_XID);
    cursor.u32(record.topLevelXid);
  }
  if (mainData.length > 255) {
    cursor.u8(BLOCK_ID_DATA_LONG);
    cursor.u32(mainData.length);
  } else if (mainData.length > 0) {
    cursor.u8(BLOCK_ID_DATA_SHORT);
    cursor.u8(mainData.length);
  }
  for (const block of blocks) {
    if (block.image !== undefined) cursor.put(block.image.bytes);
    if (block.data !== undefined) cursor.put(block.data);
  }
  cursor.put(mainData);
  const { bytes, view } = cursor;
  view.setUint32(0, length, true);
  view.setUint32(RECORD_XID, record.xid ?? 0, true);
  writeLsn(view, RECORD_PREVIOUS, previousLsn);
  view.setUint8(RECORD_INFO, record.info);
  view.setUint8(RECORD_RESOURCE_MANAGER, record.resourceManager);
  setRecordCrc(bytes);
  return bytes;
}

/** Computes the CRC of a whole record (all after the header, then the header before the CRC) and stores it. */
export function setRecordCrc(record: Uint8Array): void {
  const body = crc32c(record, RECORD_HEADER_BYTES);
  const crc = crc32c(record, 0, RECORD_CRC, body);
  new DataView(record.buffer, record.byteOffset).setUint32(RECORD_CRC, crc, true);
}
