import { UnknownRecordError } from '../base/errors.ts';
import { type Lsn, toLsn } from '../base/lsn.ts';
import { isKnownRecord } from '../postgres/rmgr/known-records.ts';
import { RM_XLOG } from '../postgres/rmgr/resource-manager.ts';
import {
  LONG_HEADER_BYTES,
  WAL_HEADER_INFO,
  WAL_HEADER_REMAINING_LENGTH,
  WAL_PAGE_BYTES,
  WAL_PAGE_FIRST_IS_CONTRECORD,
  WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD,
  walPageHeaderBytes,
} from '../postgres/wal/page-header.ts';
import {
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
  RECORD_RESOURCE_MANAGER,
  RECORD_TOTAL_LENGTH,
} from '../postgres/wal/record-header.ts';
import { WalPageChecker, type WalPageExpectations } from '../postgres/wal/wal-page-checker.ts';

const XLOG_SWITCH = 0x40;

/**
 * Walks over WAL as it comes, in chunks of any size, and looks at the header of each page and record, so that nothing
 * is sent that storage could not replay. It copies nothing but headers that a chunk or page cuts, and reads neither
 * CRCs nor what records carry.
 */
export class RecordGuard {
  readonly #checker: WalPageChecker;
  readonly #segmentBytes: number;
  /** LSN of the next byte. */
  #position: number;
  #failure: Error | undefined;

  /** Page header bytes got so far, where a chunk ended within one. */
  readonly #pageHeader: DataView = new DataView(new ArrayBuffer(LONG_HEADER_BYTES));
  #pageHeaderLength = 0;
  /** Record header bytes got so far, where a chunk or a page ended within one. */
  readonly #recordHeader: DataView = new DataView(new ArrayBuffer(RECORD_HEADER_BYTES));
  #recordHeaderLength = 0;
  /** Where the record began whose header is being read. */
  #recordStart = 0;
  /** Bytes of the record in progress that are still to come, behind its header. */
  #bodyRemaining = 0;
  /** Bytes up to here belong to no record: a segment's rest after a switch. */
  #skipTo = 0;
  #records = 0;
  #recordEnd: number;

  /** @param startLsn where a record ended: padding, a page header or the next record follows */
  constructor(startLsn: Lsn, expectations: WalPageExpectations) {
    this.#checker = new WalPageChecker(expectations);
    this.#segmentBytes = expectations.segmentBytes;
    this.#position = startLsn;
    this.#recordEnd = startLsn;
  }

  /** LSN of the byte that the next chunk must begin with. */
  get position(): Lsn {
    return toLsn(this.#position);
  }

  /** All records that have a byte below are known ones. It is `position` but within the header of a page or record. */
  get safeLsn(): Lsn {
    if (this.#recordHeaderLength > 0) return toLsn(this.#recordStart);
    return toLsn(this.#position - this.#pageHeaderLength);
  }

  /** End of the last record that has come as a whole, with what aligns it, or after a switch fills its segment. */
  get recordEndLsn(): Lsn {
    return toLsn(this.#recordEnd);
  }

  /** Records whose header has been read. */
  get records(): number {
    return this.#records;
  }

  /**
   * Looks at the next bytes. When this throws, `safeLsn` is right, and every further call throws the same.
   * @throws UnknownRecordError for a record that redo does not know: `safeLsn` is at or before its start
   * @throws CorruptionError where pages or lengths are not what they must be
   */
  take(chunk: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    try {
      while (at < chunk.length) at = this.#step(view, at);
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  /** Takes the next piece: one that lies on one page, or a part of what is skipped. Returns where the next begins. */
  #step(view: DataView, at: number): number {
    const left = view.byteLength - at;
    if (this.#position < this.#skipTo) return this.#pad(at, Math.min(left, this.#skipTo - this.#position));
    const inPage = this.#position % WAL_PAGE_BYTES;
    if (inPage === 0 || this.#pageHeaderLength > 0) return this.#takePageHeader(view, at);
    const available = Math.min(WAL_PAGE_BYTES - inPage, left);
    if (this.#bodyRemaining > 0) {
      const length = Math.min(available, this.#bodyRemaining);
      this.#bodyRemaining -= length;
      const next = this.#advance(at, length);
      if (this.#bodyRemaining === 0) this.#endRecord();
      return next;
    }
    if (this.#recordHeaderLength > 0) return this.#takePartOfHeader(view, at, available);
    const rest = this.#position % 8;
    if (rest !== 0) return this.#pad(at, Math.min(available, 8 - rest));
    if (available < RECORD_HEADER_BYTES) return this.#takePartOfHeader(view, at, available);
    return this.#takeRecords(view, at, available);
  }

  #pad(at: number, length: number): number {
    const next = this.#advance(at, length);
    this.#endRecord();
    return next;
  }

  #advance(at: number, length: number): number {
    this.#position += length;
    return at + length;
  }

  /** Hot: passes over all records that lie as a whole in `available` bytes of one page, and begins the one after. */
  #takeRecords(view: DataView, start: number, available: number): number {
    const end = start + available;
    let at = start;
    while (end - at >= RECORD_HEADER_BYTES) {
      const total = view.getUint32(at + RECORD_TOTAL_LENGTH, true);
      const info = view.getUint8(at + RECORD_INFO);
      const resourceManager = view.getUint8(at + RECORD_RESOURCE_MANAGER);
      const isWhole = total >= RECORD_HEADER_BYTES && total <= end - at - 7;
      if (!isWhole || resourceManager === RM_XLOG || !isKnownRecord(resourceManager, info)) {
        this.#position += at - start;
        if (at > start) this.#recordEnd = this.#position;
        const next = this.#advance(at, RECORD_HEADER_BYTES);
        this.#beginRecord(this.#position - RECORD_HEADER_BYTES, total, resourceManager, info);
        return next;
      }
      this.#records++;
      at += (total + 7) & ~7;
    }
    this.#position += at - start;
    if (at > start) this.#recordEnd = this.#position;
    return at;
  }

  /** Copies bytes of a record's header that a page or a chunk cuts, and begins the record with the last of them. */
  #takePartOfHeader(view: DataView, at: number, available: number): number {
    const header = this.#recordHeader;
    if (this.#recordHeaderLength === 0) this.#recordStart = this.#position;
    const length = Math.min(available, RECORD_HEADER_BYTES - this.#recordHeaderLength);
    for (let index = 0; index < length; index++) {
      header.setUint8(this.#recordHeaderLength + index, view.getUint8(at + index));
    }
    this.#recordHeaderLength += length;
    const next = this.#advance(at, length);
    if (this.#recordHeaderLength < RECORD_HEADER_BYTES) return next;
    this.#beginRecord(
      this.#recordStart,
      header.getUint32(RECORD_TOTAL_LENGTH, true),
      header.getUint8(RECORD_RESOURCE_MANAGER),
      header.getUint8(RECORD_INFO),
    );
    this.#recordHeaderLength = 0;
    return next;
  }

  /** The header has been read, and all before `#position` with it. */
  #beginRecord(start: number, total: number, resourceManager: number, info: number): void {
    // Should it be refused, none of its bytes are safe.
    this.#recordStart = start;
    this.#recordHeaderLength = RECORD_HEADER_BYTES;
    if (total < RECORD_HEADER_BYTES || total > RECORD_BYTES_MAX) {
      throw this.#checker.corrupt(`a record cannot have ${total} bytes`, start);
    }
    if (!isKnownRecord(resourceManager, info)) throw new UnknownRecordError(resourceManager, info, start);
    this.#recordHeaderLength = 0;
    this.#records++;
    this.#bodyRemaining = total - RECORD_HEADER_BYTES;
    if (resourceManager === RM_XLOG && (info & 0xf0) === XLOG_SWITCH) this.#skipSegment(start, total);
    if (this.#bodyRemaining === 0) this.#endRecord();
  }

  /** A record's last byte has come. What aligns its end, or fills its segment, belongs to it. */
  #endRecord(): void {
    if (this.#position % 8 === 0 && this.#position >= this.#skipTo) this.#recordEnd = this.#position;
  }

  /** xlog.c, CopyXLogRecordToWAL: after a switch, the rest of the segment is filled with zeros. */
  #skipSegment(start: number, total: number): void {
    if (total !== RECORD_HEADER_BYTES) {
      throw this.#checker.corrupt(`a segment switch of ${total} bytes`, start);
    }
    const rest = this.#position % this.#segmentBytes;
    if (rest !== 0) this.#skipTo = this.#position + this.#segmentBytes - rest;
  }

  #takePageHeader(view: DataView, at: number): number {
    const pageLsn = this.#position - this.#pageHeaderLength;
    const wanted = walPageHeaderBytes(pageLsn, this.#segmentBytes);
    const length = Math.min(wanted - this.#pageHeaderLength, view.byteLength - at);
    for (let index = 0; index < length; index++) {
      this.#pageHeader.setUint8(this.#pageHeaderLength + index, view.getUint8(at + index));
    }
    this.#pageHeaderLength += length;
    const next = this.#advance(at, length);
    if (this.#pageHeaderLength < wanted) return next;
    this.#checkPageHeader(pageLsn, wanted);
    this.#pageHeaderLength = 0;
    return next;
  }

  #checkPageHeader(pageLsn: number, length: number): void {
    const header = this.#pageHeader;
    this.#checker.check(header, pageLsn, length);
    const info = header.getUint16(WAL_HEADER_INFO, true);
    const announced = header.getUint32(WAL_HEADER_REMAINING_LENGTH, true);
    const goesOn = (info & WAL_PAGE_FIRST_IS_CONTRECORD) !== 0;
    if (!goesOn && announced !== 0) {
      throw this.#checker.corrupt(`the page announces ${announced} bytes of no record`, pageLsn);
    }
    if ((info & WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD) !== 0) {
      if (goesOn) throw this.#checker.corrupt('the page both gives a record up and goes on with it', pageLsn);
      // A crash cut the record off, and the server has given it up.
      this.#bodyRemaining = 0;
      this.#recordHeaderLength = 0;
      return;
    }
    const missing = this.#missingBytes();
    if (announced !== missing) {
      throw this.#checker.corrupt(
        `the page announces ${announced} bytes of a record, ${missing} are missing`,
        pageLsn,
      );
    }
  }

  /** Bytes that the record in progress still needs; 0 between records. */
  #missingBytes(): number {
    if (this.#recordHeaderLength === 0) return this.#bodyRemaining;
    return this.#recordHeader.getUint32(RECORD_TOTAL_LENGTH, true) - this.#recordHeaderLength;
  }
}
