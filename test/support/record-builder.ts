/** Builds WAL records by hand, for unit tests and fuzzing of decoders and redo. */
import { crc32c } from '../../src/base/crc32c.ts';
import { alignLsn, writeLsn } from '../../src/base/lsn.ts';
import { POSTGRES_17, type PostgresVersion } from '../../src/postgres/versions/version.ts';
import { DecodedRecord } from '../../src/postgres/wal/decoded-record.ts';
import {
  BLOCK_BYTES,
  BLOCK_HAS_DATA,
  BLOCK_HAS_IMAGE,
  BLOCK_ID_DATA_LONG,
  BLOCK_ID_DATA_SHORT,
  BLOCK_ID_ORIGIN,
  BLOCK_ID_TOP_LEVEL_XID,
  BLOCK_SAME_RELATION,
  BLOCK_WILL_INIT,
  FORK_MAIN,
  RECORD_CRC,
  RECORD_HEADER_BYTES,
} from '../../src/postgres/wal/record-header.ts';

/** Appends little-endian fields one after another. */
export class ByteWriter {
  readonly #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  u8(value: number): this {
    this.#bytes.push(value & 0xff);
    return this;
  }

  u16(value: number): this {
    return this.u8(value).u8(value >>> 8);
  }

  u32(value: number): this {
    return this.u16(value).u16(value >>> 16);
  }

  u64(value: bigint): this {
    return this.u32(Number(value & 0xffff_ffffn)).u32(Number((value >> 32n) & 0xffff_ffffn));
  }

  lsn(value: number): this {
    return this.u64(BigInt(value));
  }

  u16s(...values: readonly number[]): this {
    for (const value of values) this.u16(value);
    return this;
  }

  u32s(...values: readonly number[]): this {
    for (const value of values) this.u32(value);
    return this;
  }

  /** OID of tablespace, database and relation file. */
  relation(relation: RecordRelation): this {
    return this.u32s(relation.tablespace, relation.database, relation.relation);
  }

  /** ItemPointerData: a block number as two half-words, high one first, and an offset number. */
  itemPointer(block: number, offsetNumber: number): this {
    return this.u16s(block >>> 16, block & 0xffff, offsetNumber);
  }

  bytes(values: Iterable<number>): this {
    for (const value of values) this.u8(value);
    return this;
  }

  zeros(count: number): this {
    for (let index = 0; index < count; index++) this.u8(0);
    return this;
  }

  /** Zeros up to the next multiple of `alignment`, counted from the writer's beginning. */
  align(alignment: number): this {
    return this.zeros((alignment - (this.length % alignment)) % alignment);
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}

export function joinBytes(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export interface RecordRelation {
  readonly tablespace: number;
  readonly database: number;
  readonly relation: number;
}

export interface RecordBlock {
  /** By default the position in the list. Ids must rise. */
  readonly id?: number;
  /** By default `TEST_RELATION`. */
  readonly relation?: RecordRelation;
  /** Leave the relation out of the block header: it is that of the latest block that names one. */
  readonly sameRelation?: boolean;
  readonly fork?: number;
  /** By default 0. */
  readonly blockNumber?: number;
  readonly data?: Uint8Array;
  readonly willInitialize?: boolean;
  /** A whole page; the hole is cut out of it. Stored uncompressed. */
  readonly image?: Uint8Array;
  readonly hole?: { readonly offset: number; readonly length: number };
  /** Whether replay is to take the image (the default) or only to compare with it. */
  readonly applyImage?: boolean;
}

export interface RecordParts {
  readonly resourceManager: number;
  readonly info: number;
  /** By default 1000. */
  readonly xid?: number;
  readonly originId?: number;
  readonly topLevelXid?: number;
  readonly mainData?: Uint8Array;
  readonly blocks?: readonly RecordBlock[];
  /** By default 0x1000000; the end is computed from it as if no WAL page ended within the record. */
  readonly startLsn?: number;
  readonly version?: PostgresVersion;
}

export const TEST_RELATION: RecordRelation = { tablespace: 1663, database: 5, relation: 16384 };
const START_LSN = 0x100_0000;

function imageBytes(block: RecordBlock): Uint8Array {
  const { image, hole } = block;
  if (image === undefined) return new Uint8Array(0);
  if (image.length !== BLOCK_BYTES) throw new RangeError('an image is a whole page');
  if (hole === undefined) return image;
  return Uint8Array.from([...image.slice(0, hole.offset), ...image.slice(hole.offset + hole.length)]);
}

function writeBlockHeader(
  writer: ByteWriter,
  block: RecordBlock,
  index: number,
  version: PostgresVersion,
): void {
  const { data, image, hole } = block;
  let flags = block.fork ?? FORK_MAIN;
  if (data !== undefined && data.length > 0) flags |= BLOCK_HAS_DATA;
  if (image !== undefined) flags |= BLOCK_HAS_IMAGE;
  if (block.willInitialize) flags |= BLOCK_WILL_INIT;
  if (block.sameRelation) flags |= BLOCK_SAME_RELATION;
  writer
    .u8(block.id ?? index)
    .u8(flags)
    .u16(data?.length ?? 0);
  if (image !== undefined) {
    let info = hole === undefined ? 0 : version.imageHasHole;
    if (block.applyImage !== false) info |= version.imageApply;
    writer
      .u16(imageBytes(block).length)
      .u16(hole?.offset ?? 0)
      .u8(info);
  }
  if (!block.sameRelation) writer.relation(block.relation ?? TEST_RELATION);
  writer.u32(block.blockNumber ?? 0);
}

/** The bytes of the record, header and CRC included (xloginsert.c, XLogRecordAssemble). */
export function buildRecordBytes(parts: RecordParts): Uint8Array {
  const version = parts.version ?? POSTGRES_17;
  const blocks = parts.blocks ?? [];
  const mainData = parts.mainData ?? new Uint8Array(0);
  const writer = new ByteWriter().zeros(RECORD_HEADER_BYTES);
  for (const [index, block] of blocks.entries()) writeBlockHeader(writer, block, index, version);
  if (parts.originId !== undefined) writer.u8(BLOCK_ID_ORIGIN).u16(parts.originId);
  if (parts.topLevelXid !== undefined) writer.u8(BLOCK_ID_TOP_LEVEL_XID).u32(parts.topLevelXid);
  if (mainData.length > 255) writer.u8(BLOCK_ID_DATA_LONG).u32(mainData.length);
  else if (mainData.length > 0) writer.u8(BLOCK_ID_DATA_SHORT).u8(mainData.length);
  for (const block of blocks) writer.bytes(imageBytes(block)).bytes(block.data ?? []);
  const bytes = writer.bytes(mainData).finish();
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint32(4, parts.xid ?? 1000, true);
  writeLsn(view, 8, 0);
  view.setUint8(16, parts.info);
  view.setUint8(17, parts.resourceManager);
  const crc = crc32c(bytes, 0, RECORD_CRC, crc32c(bytes, RECORD_HEADER_BYTES));
  view.setUint32(RECORD_CRC, crc, true);
  return bytes;
}

/** Decodes a record's bytes. They lie between foreign bytes, so that a read beyond the record is noticed. */
export function decodeRecordBytes(
  recordBytes: Uint8Array,
  startLsn: number = START_LSN,
  version: PostgresVersion = POSTGRES_17,
): DecodedRecord {
  const offset = 40;
  const bytes = new Uint8Array(offset + recordBytes.length + 24).fill(0xa5);
  bytes.set(recordBytes, offset);
  const record = new DecodedRecord(version);
  const endLsn = alignLsn(startLsn + recordBytes.length);
  record.decode(bytes, new DataView(bytes.buffer), offset, recordBytes.length, startLsn, endLsn);
  return record;
}

/** Builds a record and decodes it. */
export function buildRecord(parts: RecordParts): DecodedRecord {
  return decodeRecordBytes(buildRecordBytes(parts), parts.startLsn, parts.version);
}
