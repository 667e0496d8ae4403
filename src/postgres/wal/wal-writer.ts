import { AssertionError } from '../../base/errors.ts';
import { type Lsn, toLsn } from '../../base/lsn.ts';
import type { PostgresVersion } from '../versions/version.ts';
import {
  firstRecordPosition,
  isSegmentSize,
  LONG_HEADER_BYTES,
  WAL_PAGE_BYTES,
  WAL_PAGE_FIRST_IS_CONTRECORD,
  WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD,
  writeWalPageHeader,
} from './page-header.ts';
import { encodeRecord, type RecordToWrite } from './record-writer.ts';

export interface WalWriterOptions {
  readonly version: PostgresVersion;
  readonly systemIdentifier: bigint;
  readonly timelineId: number;
  readonly segmentBytes: number;
  /** End of the last record before (aligned up); the first record goes to the first possible place at or after it. */
  readonly startLsn: number;
  /** Start of the last record before, 0 if there is none. */
  readonly previousLsn: number;
}

export interface WrittenRecord {
  readonly startLsn: Lsn;
  /** First aligned LSN past the record. */
  readonly endLsn: Lsn;
}

/**
 * Lays records out as WAL pages, from the start of the page that holds `startLsn`, in memory. What is on that page
 * before `startLsn` is zero; the page's header is as if nothing went on from the page before. PostgreSQL reads the
 * result from the first record on.
 */
export class WalWriter {
  readonly #options: WalWriterOptions;
  /** LSN of the first byte kept. */
  readonly #base: number;
  #bytes: Uint8Array = new Uint8Array(4 * WAL_PAGE_BYTES);
  #view: DataView = new DataView(this.#bytes.buffer);
  #position: number;
  #previous: number;

  constructor(options: WalWriterOptions) {
    if (!isSegmentSize(options.segmentBytes)) throw new AssertionError('no such segment size');
    this.#options = options;
    this.#base = options.startLsn - (options.startLsn % WAL_PAGE_BYTES);
    this.#position = options.startLsn + ((8 - (options.startLsn % 8)) % 8);
    this.#previous = options.previousLsn;
    if (this.#position % WAL_PAGE_BYTES === 0) return;
    this.#writeHeader(this.#base, 0, 0);
    this.#position = firstRecordPosition(this.#position, options.segmentBytes);
  }

  /** LSN of the first byte that `take` gives. */
  get baseLsn(): Lsn {
    return toLsn(this.#base);
  }

  /** End of the last record. */
  get position(): Lsn {
    return toLsn(this.#position);
  }

  /** Start of the last record. */
  get previousLsn(): Lsn {
    return toLsn(this.#previous);
  }

  /** Where the next record will start. */
  get nextLsn(): Lsn {
    return toLsn(firstRecordPosition(this.#position, this.#options.segmentBytes));
  }

  append(record: RecordToWrite): WrittenRecord {
    return this.appendBytes(encodeRecord(record, this.#previous));
  }

  /** Writes an encoded record, whose back link and CRC must already be right. */
  appendBytes(bytes: Uint8Array): WrittenRecord {
    const startLsn = this.nextLsn;
    this.#put(bytes, bytes.length);
    this.#previous = startLsn;
    this.#position += (8 - (this.#position % 8)) % 8;
    this.#reserve(this.#position);
    return { startLsn, endLsn: this.position };
  }

  /** Fills the rest of the segment with pages that only have headers, as after a segment switch. */
  fillSegment(): void {
    const { segmentBytes } = this.#options;
    const rest = this.#position % segmentBytes;
    if (rest === 0) return;
    const end = this.#position - rest + segmentBytes;
    let page = this.#position + ((WAL_PAGE_BYTES - (this.#position % WAL_PAGE_BYTES)) % WAL_PAGE_BYTES);
    for (; page < end; page += WAL_PAGE_BYTES) this.#writeHeader(page, 0, 0);
    this.#position = end;
    this.#reserve(end);
  }

  /**
   * Writes only the first `length` bytes of a record, then goes to the next page and marks it as one that gives
   * this record up, as a server does that finds it cut off after a crash. The record must reach beyond the page on
   * which the cut lies: else a reader would take the zeros behind the cut for its end.
   */
  appendAborted(bytes: Uint8Array, length: number): Lsn {
    const startLsn = this.nextLsn;
    this.#put(bytes, length);
    const free = (WAL_PAGE_BYTES - (this.#position % WAL_PAGE_BYTES)) % WAL_PAGE_BYTES;
    if (bytes.length - length <= free) throw new AssertionError('the record ends on the page of the cut');
    this.#position += free;
    this.#writeHeader(this.#position, WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD, 0);
    this.#position = this.nextLsn;
    return startLsn;
  }

  /** All bytes from `baseLsn` to `position`. */
  take(): Uint8Array {
    this.#reserve(this.#position);
    return this.#bytes.slice(0, this.#position - this.#base);
  }

  /** Writes the first `end` bytes of a record, with page headers between where they are due. */
  #put(bytes: Uint8Array, end: number): void {
    let done = 0;
    while (done < end) {
      if (this.#position % WAL_PAGE_BYTES === 0) {
        const flags = done === 0 ? 0 : WAL_PAGE_FIRST_IS_CONTRECORD;
        this.#writeHeader(this.#position, flags, done === 0 ? 0 : bytes.length - done);
        this.#position = firstRecordPosition(this.#position, this.#options.segmentBytes);
      }
      const room = WAL_PAGE_BYTES - (this.#position % WAL_PAGE_BYTES);
      const length = Math.min(room, end - done);
      this.#reserve(this.#position + length);
      this.#bytes.set(bytes.subarray(done, done + length), this.#position - this.#base);
      this.#position += length;
      done += length;
    }
  }

  #writeHeader(pageLsn: number, flags: number, remainingLength: number): void {
    this.#reserve(pageLsn + LONG_HEADER_BYTES);
    writeWalPageHeader(this.#view, pageLsn - this.#base, {
      ...this.#options,
      pageLsn,
      flags,
      remainingLength,
    });
  }

  #reserve(endLsn: number): void {
    const wanted = endLsn - this.#base;
    if (wanted <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(wanted, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
