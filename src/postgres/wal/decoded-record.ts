import { CorruptionError } from '../../base/errors.ts';
import { LSN_HIGH_LIMIT } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';
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
  BLOCK_SAME_RELATION,
  BLOCK_WILL_INIT,
  FORK_INIT,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
  RECORD_PREVIOUS,
  RECORD_RESOURCE_MANAGER,
  RECORD_XID,
} from './record-header.ts';

const TWO_POW_32 = 0x1_0000_0000;
const BLOCKS = BLOCK_ID_MAX + 1;

/**
 * One WAL record, decoded into flat fields and arrays that are overwritten by the next `decode`, so that
 * reading WAL allocates nothing for a record. Nothing is copied: offsets point into `bytes`.
 *
 * Everything indexed by a block id is only meaningful where `hasBlock(id)`.
 */
export class DecodedRecord {
  readonly version: PostgresVersion;
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Where the record begins in `bytes`. */
  offset = 0;
  /** Header and all. */
  totalLength = 0;
  /** LSN of the record's first byte. */
  startLsn = 0;
  /** First aligned LSN past the record: what redo stamps into pages. */
  endLsn = 0;
  xid = 0;
  /** The whole info byte. */
  info = 0;
  resourceManager = 0;
  /** Replication origin, 0 where none is set. */
  originId = 0;
  /** Top-level transaction of a subtransaction, 0 where the record does not say. */
  topLevelXid = 0;
  mainDataOffset = 0;
  mainDataLength = 0;
  /** Highest block id in use plus one. */
  blockCount = 0;

  /** 1 where the block id is in use. */
  readonly blockInUse: Uint8Array = new Uint8Array(BLOCKS);
  /** fork_flags as in the record. */
  readonly blockFlags: Uint8Array = new Uint8Array(BLOCKS);
  readonly blockFork: Uint8Array = new Uint8Array(BLOCKS);
  readonly blockTablespace: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockDatabase: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockRelation: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockNumber: Uint32Array = new Uint32Array(BLOCKS);
  /** The data of the block reference; length 0 where it has none. */
  readonly blockDataOffset: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockDataLength: Uint32Array = new Uint32Array(BLOCKS);
  /** 1 where the block has a full-page image. */
  readonly blockHasImage: Uint8Array = new Uint8Array(BLOCKS);
  /** 1 where replay must take the image (else it only serves to check replay). */
  readonly blockApplyImage: Uint8Array = new Uint8Array(BLOCKS);
  readonly blockImageInfo: Uint8Array = new Uint8Array(BLOCKS);
  readonly blockImageOffset: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockImageLength: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockHoleOffset: Uint32Array = new Uint32Array(BLOCKS);
  readonly blockHoleLength: Uint32Array = new Uint32Array(BLOCKS);

  constructor(version: PostgresVersion) {
    this.version = version;
  }

  /** The high 32 bits of `endLsn`. */
  get endLsnHigh(): number {
    return Math.floor(this.endLsn / TWO_POW_32);
  }

  /** The low 32 bits of `endLsn`. */
  get endLsnLow(): number {
    return this.endLsn >>> 0;
  }

  /** LSN of the record before, as the header says. */
  get previousLsn(): number {
    const position = this.offset + RECORD_PREVIOUS;
    return this.view.getUint32(position + 4, true) * TWO_POW_32 + this.view.getUint32(position, true);
  }

  hasBlock(blockId: number): boolean {
    return blockId < this.blockCount && this.blockInUse[blockId] === 1;
  }

  /** XLogRecBlockImageApply: replay is to take the image as it stands. */
  appliesImage(blockId: number): boolean {
    return this.hasBlock(blockId) && this.blockApplyImage[blockId] === 1;
  }

  /** The page is made anew by this record: no earlier version is needed. */
  willInitialize(blockId: number): boolean {
    return this.hasBlock(blockId) && ((this.blockFlags[blockId] as number) & BLOCK_WILL_INIT) !== 0;
  }

  /** `spc/db/rel fork N blk N` of a block reference, for messages. */
  describeBlock(blockId: number): string {
    const relation = `${this.blockTablespace[blockId]}/${this.blockDatabase[blockId]}/${this.blockRelation[blockId]}`;
    return `${relation} fork ${this.blockFork[blockId]} block ${this.blockNumber[blockId]}`;
  }

  /**
   * Decodes the record of `totalLength` bytes at `offset`, which lies there in one piece (no page headers
   * between) and whose CRC has been checked. The rules are those of xlogreader.c, DecodeXLogRecord, and one
   * more: a hole must lie within the page.
   *
   * @throws CorruptionError with the LSN, when lengths or flags contradict each other.
   */
  decode(
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    totalLength: number,
    startLsn: number,
    endLsn: number,
  ): void {
    // A reader's buffers are the same for most records.
    if (this.view !== view || this.bytes !== bytes) {
      this.bytes = bytes;
      this.view = view;
    }
    this.offset = offset;
    this.totalLength = totalLength;
    this.startLsn = startLsn;
    this.endLsn = endLsn;
    if (totalLength < RECORD_HEADER_BYTES || offset + totalLength > bytes.length) {
      this.#fail('the record does not lie within its buffer');
    }
    this.xid = view.getUint32(offset + RECORD_XID, true);
    if (view.getUint32(offset + RECORD_PREVIOUS + 4, true) >= LSN_HIGH_LIMIT) {
      this.#fail('the previous record is at or above 2^53');
    }
    this.info = view.getUint8(offset + RECORD_INFO);
    this.resourceManager = view.getUint8(offset + RECORD_RESOURCE_MANAGER);
    this.originId = 0;
    this.topLevelXid = 0;
    this.mainDataLength = 0;
    this.blockCount = 0;
    this.#decodeFragments(view, offset + RECORD_HEADER_BYTES, offset + totalLength);
  }

  /**
   * Reads fragment headers until the bytes left are just the data that they announce, then places that data. Block
   * headers are read here and not in a function of their own, which would cost a quarter more.
   */
  #decodeFragments(view: DataView, start: number, end: number): void {
    let position = start;
    let dataLength = 0;
    let blockCount = 0;
    /** The latest block that named its relation, or -1. */
    let relationBlock = -1;
    while (end - position > dataLength) {
      const id = view.getUint8(position);
      if (id > BLOCK_ID_MAX) {
        position = this.#decodeOtherHeader(view, id, position + 1, end);
        if (id >= BLOCK_ID_DATA_LONG) break;
        continue;
      }
      if (id < blockCount) this.#fail(`block reference ${id} is out of order`);
      if (position + 4 > end) this.#fail('a block header is cut off');
      const flags = view.getUint8(position + 1);
      const length = view.getUint16(position + 2, true);
      position += 4;
      for (; blockCount < id; blockCount++) this.blockInUse[blockCount] = 0;
      blockCount = id + 1;
      const fork = flags & BLOCK_FORK_MASK;
      if (fork > FORK_INIT) this.#fail(`block reference ${id} has the unknown fork ${fork}`);
      if (((flags & BLOCK_HAS_DATA) !== 0) !== length > 0) {
        this.#fail(`block reference ${id} contradicts itself on having data`);
      }
      this.blockInUse[id] = 1;
      this.blockFlags[id] = flags;
      this.blockFork[id] = fork;
      this.blockDataLength[id] = length;
      dataLength += length;
      if ((flags & BLOCK_HAS_IMAGE) === 0) {
        this.blockHasImage[id] = 0;
        this.blockApplyImage[id] = 0;
        this.blockImageLength[id] = 0;
      } else {
        position = this.#decodeImageHeader(view, id, position, end);
        dataLength += this.blockImageLength[id] as number;
      }
      if ((flags & BLOCK_SAME_RELATION) === 0) {
        position = this.#decodeRelation(view, id, position, end);
        relationBlock = id;
      } else {
        this.#repeatRelation(id, relationBlock);
      }
      if (position + 4 > end) this.#fail('a block header is cut off');
      this.blockNumber[id] = view.getUint32(position, true);
      position += 4;
    }
    if (end - position !== dataLength + this.mainDataLength) {
      this.#fail('the announced lengths do not add up to the total length');
    }
    this.blockCount = blockCount;
    this.#placeData(position);
  }

  #placeData(dataStart: number): void {
    let position = dataStart;
    for (let id = 0; id < this.blockCount; id++) {
      if (this.blockInUse[id] === 0) continue;
      this.blockImageOffset[id] = position;
      position += this.blockImageLength[id] as number;
      this.blockDataOffset[id] = position;
      position += this.blockDataLength[id] as number;
    }
    this.mainDataOffset = position;
  }

  /** The relation that a block names. Returns the position behind. */
  #decodeRelation(view: DataView, id: number, position: number, end: number): number {
    if (position + 12 > end) this.#fail('a block header is cut off');
    this.blockTablespace[id] = view.getUint32(position, true);
    this.blockDatabase[id] = view.getUint32(position + 4, true);
    this.blockRelation[id] = view.getUint32(position + 8, true);
    return position + 12;
  }

  /** The block is of the same relation as the latest one that named its own, -1 where none did. */
  #repeatRelation(id: number, relationBlock: number): void {
    if (relationBlock < 0) this.#fail(`block reference ${id} names no relation and none came before`);
    this.blockTablespace[id] = this.blockTablespace[relationBlock] as number;
    this.blockDatabase[id] = this.blockDatabase[relationBlock] as number;
    this.blockRelation[id] = this.blockRelation[relationBlock] as number;
  }

  /** The headers that are no block's. Returns the position behind. */
  #decodeOtherHeader(view: DataView, id: number, position: number, end: number): number {
    switch (id) {
      case BLOCK_ID_DATA_SHORT:
        if (position + 1 > end) this.#fail('the main data header is cut off');
        this.mainDataLength = view.getUint8(position);
        return position + 1;
      case BLOCK_ID_DATA_LONG:
        if (position + 4 > end) this.#fail('the main data header is cut off');
        this.mainDataLength = view.getUint32(position, true);
        return position + 4;
      case BLOCK_ID_ORIGIN:
        if (position + 2 > end) this.#fail('the origin is cut off');
        this.originId = view.getUint16(position, true);
        return position + 2;
      case BLOCK_ID_TOP_LEVEL_XID:
        if (position + 4 > end) this.#fail('the top-level transaction is cut off');
        this.topLevelXid = view.getUint32(position, true);
        return position + 4;
      default:
        return this.#fail(`${id} is no block reference`);
    }
  }

  #decodeImageHeader(view: DataView, id: number, start: number, end: number): number {
    const { version } = this;
    let position = start;
    if (position + 5 > end) this.#fail('an image header is cut off');
    const length = view.getUint16(position, true);
    const holeOffset = view.getUint16(position + 2, true);
    const imageInfo = view.getUint8(position + 4);
    position += 5;
    const compressionBits = version.imagePglz | version.imageLz4 | version.imageZstd;
    if ((imageInfo & ~(version.imageHasHole | version.imageApply | compressionBits)) !== 0) {
      this.#fail(`the image of block reference ${id} has unknown flags ${imageInfo}`);
    }
    const hasHole = (imageInfo & version.imageHasHole) !== 0;
    const compressed = (imageInfo & compressionBits) !== 0;
    let holeLength = BLOCK_BYTES - length;
    if (compressed) {
      holeLength = 0;
      if (hasHole) {
        if (position + 2 > end) this.#fail('an image header is cut off');
        holeLength = view.getUint16(position, true);
        position += 2;
      }
    }
    const whole = length === BLOCK_BYTES;
    if (
      length > BLOCK_BYTES ||
      (hasHole && (holeOffset === 0 || holeLength === 0 || whole || holeOffset + holeLength > BLOCK_BYTES)) ||
      (!hasHole && (holeOffset !== 0 || holeLength !== 0)) ||
      (compressed && whole)
    ) {
      this.#fail(`the image of block reference ${id} contradicts itself on its length and hole`);
    }
    this.blockHasImage[id] = 1;
    this.blockApplyImage[id] = (imageInfo & version.imageApply) !== 0 ? 1 : 0;
    this.blockImageInfo[id] = imageInfo;
    this.blockImageLength[id] = length;
    this.blockHoleOffset[id] = holeOffset;
    this.blockHoleLength[id] = holeLength;
    return position;
  }

  #fail(reason: string): never {
    throw new CorruptionError('BAD_WAL_RECORD', `malformed WAL record: ${reason}`, { lsn: this.startLsn });
  }
}
