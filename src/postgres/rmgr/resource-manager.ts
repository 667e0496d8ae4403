import { CorruptionError } from '../../base/errors.ts';
import { type Lsn, readLsn } from '../../base/lsn.ts';
import type { DecodedRecord } from '../wal/decoded-record.ts';

/** Numbers of the built-in resource managers (rmgrlist.h). */
export const RM_XLOG = 0;
export const RM_XACT = 1;
export const RM_SMGR = 2;
export const RM_CLOG = 3;
export const RM_DBASE = 4;
export const RM_TBLSPC = 5;
export const RM_MULTIXACT = 6;
export const RM_RELMAP = 7;
export const RM_STANDBY = 8;
export const RM_HEAP2 = 9;
export const RM_HEAP = 10;
export const RM_BTREE = 11;
export const RM_HASH = 12;
export const RM_GIN = 13;
export const RM_GIST = 14;
export const RM_SEQUENCE = 15;
export const RM_SPGIST = 16;
export const RM_BRIN = 17;
export const RM_COMMIT_TIMESTAMP = 18;
export const RM_REPLICATION_ORIGIN = 19;
export const RM_GENERIC = 20;
export const RM_LOGICAL_MESSAGE = 21;

/** What every decoded body has: the name of its record kind, as pg_waldump prints it. */
export interface RecordBody {
  readonly kind: string;
}

/**
 * What Varve knows of one resource manager's records. Pure; used by the WAL tools and wherever speed is not the
 * point. Redo reads the same layouts by offset.
 */
export interface ResourceManager<Body extends RecordBody = RecordBody> {
  readonly id: number;
  /** As pg_waldump prints it, such as `Heap2`. */
  readonly name: string;
  /**
   * Name of the record kind that the info byte stands for (low four bits are ignored), such as `INSERT+INIT`, or
   * undefined where this version of PostgreSQL has no such record.
   */
  kindName(info: number): string | undefined;
  /** All names that kindName can give, for coverage tables. */
  readonly kinds: readonly string[];
  /**
   * The record's main data (and of its block data what gives it meaning) as a typed value.
   * @throws UnknownRecordError for an unknown kind, CorruptionError where the data is too short or contradicts itself.
   */
  decodeBody(record: DecodedRecord): Body;
}

/**
 * Refuses a record whose data contradict themselves. `resourceManager` is its name, or its number where the name is not
 * at hand.
 */
export function refuseBody(resourceManager: string | number, record: DecodedRecord, reason: string): never {
  throw new CorruptionError('BAD_WAL_RECORD', reason, {
    lsn: record.startLsn,
    resourceManager,
    info: record.info,
  });
}

/**
 * Reads the fields of a record's main data or block data one after another; every read is bounded by that data.
 * For cold code: it is an object.
 */
export class BodyReader {
  readonly #record: DecodedRecord;
  readonly #end: number;
  readonly #start: number;
  #position: number;

  private constructor(record: DecodedRecord, start: number, length: number) {
    this.#record = record;
    this.#start = start;
    this.#position = start;
    this.#end = start + length;
  }

  static mainData(record: DecodedRecord): BodyReader {
    return new BodyReader(record, record.mainDataOffset, record.mainDataLength);
  }

  /** The data of a block reference; empty where it has none or there is no such block. */
  static blockData(record: DecodedRecord, blockId: number): BodyReader {
    if (!record.hasBlock(blockId)) return new BodyReader(record, 0, 0);
    return new BodyReader(
      record,
      record.blockDataOffset[blockId] as number,
      record.blockDataLength[blockId] as number,
    );
  }

  /** The data of a block reference, or undefined where it has none because a full-page image stands for it. */
  static findBlockData(record: DecodedRecord, blockId: number): BodyReader | undefined {
    const reader = BodyReader.blockData(record, blockId);
    return reader.remaining === 0 && record.appliesImage(blockId) ? undefined : reader;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Bytes read so far. */
  get consumed(): number {
    return this.#position - this.#start;
  }

  #take(length: number): number {
    const position = this.#position;
    if (length < 0 || length > this.#end - position) {
      this.#refuse(`the record's data ends within a field of ${length} bytes`);
    }
    this.#position = position + length;
    return position;
  }

  /** Refuses bytes that the layout read so far does not explain. */
  expectEnd(): void {
    if (this.remaining !== 0) this.#refuse(`the record has ${this.remaining} bytes that nothing explains`);
  }

  #refuse(reason: string): never {
    return refuseBody(this.#record.resourceManager, this.#record, reason);
  }

  /** Passes over padding. */
  skip(length: number): void {
    this.#take(length);
  }

  u8(): number {
    return this.#record.view.getUint8(this.#take(1));
  }

  bool(): boolean {
    return this.u8() !== 0;
  }

  u16(): number {
    return this.#record.view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#record.view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#record.view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#record.view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#record.view.getBigInt64(this.#take(8), true);
  }

  lsn(): Lsn {
    return readLsn(this.#record.view, this.#take(8));
  }

  /** A copy. */
  bytes(length: number): Uint8Array {
    const position = this.#take(length);
    return this.#record.bytes.slice(position, position + length);
  }

  /**
   * A copy of something that tells in its first `headerBytes` how long it is, header and all. `sizeOf` reads that from
   * where it begins; less than `sizeMin` is refused.
   */
  sizedBytes(
    headerBytes: number,
    sizeOf: (view: DataView, offset: number) => number,
    sizeMin: number = headerBytes,
  ): Uint8Array {
    const start = this.#take(headerBytes);
    const size = sizeOf(this.#record.view, start);
    if (size < sizeMin) this.#refuse(`a tuple claims ${size} bytes`);
    this.#take(size - headerBytes);
    return this.#record.bytes.slice(start, start + size);
  }

  /**
   * A signed 32-bit count and then as many items of `itemBytes` each; the count is checked against the bytes left
   * before anything is made.
   */
  countedItems<Item>(itemBytes: number, readItem: () => Item): Item[] {
    return this.items(this.i32(), itemBytes, readItem);
  }

  /** `count` items of `itemBytes` each; the count is checked against the bytes left before anything is made. */
  items<Item>(count: number, itemBytes: number, readItem: () => Item): Item[] {
    const position = this.#take(count * itemBytes);
    this.#position = position;
    return Array.from({ length: count }, readItem);
  }

  /** `count` unsigned 32-bit numbers; the count is checked against the bytes left before anything is made. */
  u32Array(count: number): number[] {
    const position = this.#take(count * 4);
    return Array.from({ length: count }, (_, index) =>
      this.#record.view.getUint32(position + index * 4, true),
    );
  }

  u16Array(count: number): number[] {
    const position = this.#take(count * 2);
    return Array.from({ length: count }, (_, index) =>
      this.#record.view.getUint16(position + index * 2, true),
    );
  }

  /** A string that a zero byte ends, which is consumed too. */
  cString(): string {
    const { bytes } = this.#record;
    let end = this.#position;
    while (end < this.#end && bytes[end] !== 0) end++;
    const start = this.#take(end - this.#position + 1);
    return new TextDecoder().decode(bytes.subarray(start, end));
  }
}
