import { AssertionError, BadRequestError, CorruptionError } from '../../base/errors.ts';
import { formatLsn } from '../../base/lsn.ts';
import { RM_XLOG } from '../rmgr/resource-manager.ts';
import type { DecodedRecord } from './decoded-record.ts';
import {
  firstRecordPosition,
  isSegmentSize,
  LONG_HEADER_BYTES,
  SHORT_HEADER_BYTES,
  WAL_HEADER_INFO,
  WAL_HEADER_REMAINING_LENGTH,
  WAL_PAGE_BYTES,
  WAL_PAGE_FIRST_IS_CONTRECORD,
  WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD,
} from './page-header.ts';
import {
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  RECORD_INFO,
  RECORD_PREVIOUS,
  RECORD_RESOURCE_MANAGER,
} from './record-header.ts';
import { UnfinishedRecord } from './unfinished-record.ts';
import { WalPageChecker } from './wal-page-checker.ts';
import type { WalEnd, WalReaderOptions } from './wal-reader-options.ts';
import { BATCH_RECORDS_MAX, DATA_START, WalWorkspace } from './workspace.ts';

/** A batch ends with the first record that takes it past this many bytes. */
const BATCH_BYTES = 256 * 1024;
const TWO_POW_32 = 0x1_0000_0000;
const XLOG_SWITCH = 0x40;
const XLOG_OVERWRITE_CONTRECORD = 0xd0;
/** Where the fragment header of a record without blocks ends and its main data begins: id and one length byte. */
const SHORT_MAIN_DATA: number = RECORD_HEADER_BYTES + 2;
const WORKSPACE_TAKEN = 'another reader took the WAL workspace while this one had records in it';

/**
 * Turns WAL, fed in chunks of any size, into records: takes the page headers out, joins what they cut, follows
 * records across pages and segments, and checks every length, back link and CRC (xlogreader.c).
 *
 *     reader.feed(chunk);
 *     while (reader.next()) reader.decode(record);
 *
 * The next chunk must continue where the last one ended (`reader.position`); it is only taken once `next` has
 * returned false. Between two calls nothing of the workspace is needed: what is cut off is kept aside.
 *
 * `next` throws a CorruptionError, with the LSN, where the WAL is damaged, after all records before that place
 * have been shown; and again at each further call. Zeros where a record or page could begin are no damage but
 * the end of what has been written: see `end`.
 */
export class WalReader {
  /** May be exchanged while nothing of it is needed. */
  workspace: WalWorkspace;
  /** Offset of the current record in `workspace.bytes`. */
  recordOffset = 0;
  /** Total length of the current record in bytes. */
  recordLength = 0;
  /** LSN of the first byte of the current record. */
  startLsn = 0;
  /**
   * First aligned LSN past the current record; the start of the next segment for a segment switch. Before the first
   * record where reading began.
   */
  endLsn: number;
  /** Set when zeros were found where WAL could go on. Nothing after it is looked at. */
  end: WalEnd | undefined = undefined;

  readonly #segmentBytes: number;
  readonly #recordBytesMax: number;
  readonly #checker: WalPageChecker;

  /** The chunk that is being read, and how far. */
  #chunk: Uint8Array = new Uint8Array(0);
  #chunkPosition = 0;
  #chunkEnd = 0;
  /** LSN of chunk[chunkPosition]. */
  #position: number;

  /** Page header bytes got so far, where a chunk ended within one. */
  readonly #header: Uint8Array = new Uint8Array(LONG_HEADER_BYTES);
  readonly #headerView: DataView = new DataView(this.#header.buffer);
  #headerLength = 0;

  /** Records that start below this are not shown (search mode). */
  readonly #showFrom: number;
  /** Bytes up to this LSN belong to no record: a segment's rest after a switch. */
  #skipTo = 0;
  /** Bytes of a record that began before the first fed page, still to be passed over. */
  #skipRemaining = 0;
  /** No record boundary has been seen yet. */
  #searching: boolean;

  readonly #unfinished = new UnfinishedRecord();
  /** Where the record in progress started, be it there or in the arena. */
  #unfinishedStart = 0;

  /** Start of the last whole record, which the next one must name; negative while unknown. */
  #previousStart = -1;
  /** The record that was given up, and which the next record must name; negative where there is none. */
  #overwritten = -1;
  #expectOverwrite = false;
  #failure: Error | undefined;

  // The batch in the workspace: records whose CRC has been checked.
  #batchCount = 0;
  #batchIndex = 0;

  // The arena within the workspace while a batch is made.
  /** Where the next byte goes. */
  #arenaEnd = DATA_START;
  /** Where the next record begins; past arenaEnd while padding is still to come. */
  #walk = DATA_START;
  /** LSN of arena offset a on the current page = arenaLsnBase + a. */
  #arenaLsnBase = 0;

  constructor(options: WalReaderOptions) {
    if (!isSegmentSize(options.segmentBytes)) {
      throw new BadRequestError(
        'BAD_SEGMENT_SIZE',
        `a WAL segment of ${options.segmentBytes} bytes does not exist: powers of two from 1 MiB to 1 GiB do`,
      );
    }
    this.workspace = options.workspace ?? new WalWorkspace();
    this.#checker = new WalPageChecker(options);
    this.#segmentBytes = options.segmentBytes;
    this.#recordBytesMax = Math.min(options.recordBytesMax ?? RECORD_BYTES_MAX, RECORD_BYTES_MAX);
    const { startLsn } = options;
    if (!Number.isSafeInteger(startLsn) || startLsn < 0) {
      throw new BadRequestError('BAD_LSN', `${startLsn} is not an LSN`);
    }
    this.#searching = options.mode === 'search';
    if (!this.#searching && startLsn % 8 !== 0) {
      throw new BadRequestError(
        'BAD_LSN',
        `no record starts at ${formatLsn(startLsn)}: records are aligned to 8 bytes`,
      );
    }
    const isPageStart = startLsn % WAL_PAGE_BYTES === 0;
    if (!this.#searching && !isPageStart && startLsn < firstRecordPosition(startLsn, options.segmentBytes)) {
      throw new BadRequestError(
        'BAD_LSN',
        `no record starts at ${formatLsn(startLsn)}: the header of a page is there`,
      );
    }
    this.#showFrom = startLsn;
    this.#position = this.#searching ? startLsn - (startLsn % WAL_PAGE_BYTES) : startLsn;
    this.endLsn = startLsn;
  }

  /**
   * Whether the current record ends a batch. The records of a batch lie in one row in `workspace.bytes`, in their order,
   * aligned to 8 bytes, from DATA_START up to `batchEndOffset`, and stay there until `next` goes on to another batch.
   */
  get isLastOfBatch(): boolean {
    return this.#batchIndex === this.#batchCount;
  }

  /** Where in `workspace.bytes` the last record of the current batch ends, rounded up to 8 bytes. */
  get batchEndOffset(): number {
    if (this.#batchCount === 0) return DATA_START;
    const last = this.workspace.offsets[this.#batchCount - 1] as number;
    return last + ((this.workspace.view.getUint32(last, true) + 7) & ~7);
  }

  /** LSN of the byte that the next chunk must begin with. In search mode the first is the start of a page. */
  get position(): number {
    return this.#position;
  }

  /** End of the last whole record that has been shown, or where reading began. */
  get lastEndLsn(): number {
    return this.endLsn;
  }

  /** Offers bytes from `position` on. They must stay unchanged until `next` has returned false. */
  feed(chunk: Uint8Array, start = 0, end: number = chunk.length): void {
    if (this.#batchIndex < this.#batchCount || this.#chunkPosition < this.#chunkEnd) {
      throw new AssertionError('a WAL reader was fed before it had given all its records');
    }
    if (start < 0 || start > end || end > chunk.length) {
      throw new AssertionError(`a chunk of ${chunk.length} bytes has none from ${start} to ${end}`);
    }
    this.#chunk = chunk;
    this.#chunkPosition = start;
    this.#chunkEnd = end;
  }

  /** Goes to the next record. False: all that was fed has been read (or `end` is set). */
  next(): boolean {
    for (;;) {
      if (this.#batchIndex < this.#batchCount) {
        if (this.workspace.owner !== this) throw new AssertionError(WORKSPACE_TAKEN);
        const index = this.#batchIndex++;
        const offset = this.workspace.offsets[index] as number;
        this.recordOffset = offset;
        this.recordLength = this.workspace.view.getUint32(offset, true);
        this.startLsn = this.workspace.startLsns[index] as number;
        this.endLsn = this.workspace.endLsns[index] as number;
        if (this.startLsn >= this.#showFrom) return true;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#chunkPosition >= this.#chunkEnd || this.end !== undefined) {
        this.#chunkPosition = this.#chunkEnd;
        return false;
      }
      this.#fillBatch();
    }
  }

  /** Decodes the current record into `record`, which shows it until the next call of `next`. */
  decode(record: DecodedRecord): void {
    if (this.workspace.owner !== this) throw new AssertionError(WORKSPACE_TAKEN);
    record.decode(
      this.workspace.bytes,
      this.workspace.view,
      this.recordOffset,
      this.recordLength,
      this.startLsn,
      this.endLsn,
    );
  }

  /** Reads from the chunk until a batch is full or the chunk is used up, then checks the CRCs of the batch. */
  #fillBatch(): void {
    const { workspace } = this;
    workspace.trim();
    workspace.owner = this;
    this.#batchCount = 0;
    this.#batchIndex = 0;
    // Where the last record's padding is still to come, it goes before the first aligned place.
    const padding = this.#walk - this.#arenaEnd;
    this.#walk = padding > 0 ? DATA_START + 8 : DATA_START;
    this.#arenaEnd = padding > 0 ? this.#walk - padding : DATA_START;
    this.#rebase();
    try {
      while (
        this.#chunkPosition < this.#chunkEnd &&
        this.end === undefined &&
        this.#arenaEnd < DATA_START + BATCH_BYTES &&
        this.#batchCount < BATCH_RECORDS_MAX - WAL_PAGE_BYTES / RECORD_HEADER_BYTES
      ) {
        this.#step();
      }
      this.#setAside();
    } catch (error) {
      this.#failure = error as Error;
      if (!(error instanceof CorruptionError)) {
        // Such as no memory for a huge record. What is in the batch has not been checked and must never be shown.
        this.#batchCount = 0;
        throw error;
      }
    }
    const good = workspace.verify(this.#batchCount);
    if (good < this.#batchCount) {
      this.#failure = this.#checker.corrupt(
        'the CRC of the record is wrong',
        workspace.startLsns[good] as number,
      );
      this.end = undefined;
      this.#batchCount = good;
    }
  }

  /** Takes the next piece: a page header (or part of one), or bytes up to the end of the page. */
  #step(): void {
    const inPage = this.#position % WAL_PAGE_BYTES;
    if (inPage === 0 || this.#headerLength > 0) {
      this.#takeHeader();
      return;
    }
    let length = Math.min(WAL_PAGE_BYTES - inPage, this.#chunkEnd - this.#chunkPosition);
    if (this.#position < this.#skipTo) {
      this.#advance(Math.min(length, this.#skipTo - this.#position));
    } else if (this.#skipRemaining > 0) {
      length = Math.min(length, this.#skipRemaining);
      this.#skipRemaining -= length;
      this.#advance(length);
      if (this.#skipRemaining === 0) {
        const rest = this.#position % 8;
        this.#walk = this.#arenaEnd + (rest === 0 ? 0 : 8);
        this.#arenaEnd += rest;
        this.#rebase();
      }
    } else if (this.#unfinished.length > 0) {
      this.#continueUnfinished(length);
    } else {
      this.#takeBody(length);
    }
  }

  #advance(length: number): void {
    this.#chunkPosition += length;
    this.#position += length;
  }

  /** Keeps LSN and arena offset of the current page in step. */
  #rebase(): void {
    this.#arenaLsnBase = this.#position - this.#arenaEnd;
  }

  #takeHeader(): void {
    const pageLsn = this.#position - this.#headerLength;
    const wanted = pageLsn % this.#segmentBytes === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES;
    const length = Math.min(wanted - this.#headerLength, this.#chunkEnd - this.#chunkPosition);
    for (let index = 0; index < length; index++) {
      this.#header[this.#headerLength + index] = this.#chunk[this.#chunkPosition + index] as number;
    }
    this.#headerLength += length;
    this.#advance(length);
    if (this.#headerLength < wanted) return;
    this.#headerLength = 0;
    this.#readHeader(pageLsn, wanted);
    this.#rebase();
  }

  /** Checks a page header and what it says of the record that goes on behind it. */
  #readHeader(pageLsn: number, length: number): void {
    const isZero = this.#isZeroHeader(length);
    if (pageLsn < this.#skipTo) {
      // Pages after a segment switch may have headers or be zeros: nothing on them counts.
      if (this.#searching && !isZero)
        throw this.#checker.corrupt('the page stands behind pages that have not been written', pageLsn);
      return;
    }
    if (isZero) {
      this.#meetZeros(pageLsn);
      return;
    }
    const view = this.#headerView;
    this.#checker.check(view, pageLsn, length);
    const info = view.getUint16(WAL_HEADER_INFO, true);
    const remaining = view.getUint32(WAL_HEADER_REMAINING_LENGTH, true);
    const goesOn = (info & WAL_PAGE_FIRST_IS_CONTRECORD) !== 0;
    if ((info & WAL_PAGE_FIRST_IS_OVERWRITE_CONTRECORD) !== 0) {
      this.#giveUpRecord(pageLsn, info, remaining);
    } else if (goesOn && this.#searching) {
      this.#passOverRecord(pageLsn, remaining, WAL_PAGE_BYTES - length);
      return;
    } else if (goesOn) this.#checkGoesOn(pageLsn, remaining);
    else this.#checkBegins(pageLsn, remaining);
    this.#searching = false;
  }

  /** A page that has not been written. */
  #meetZeros(pageLsn: number): void {
    if (this.#searching && this.#skipRemaining === 0 && pageLsn % this.#segmentBytes !== 0) {
      // A search that begins in the zeros which a switch has left (xlog.c, CopyXLogRecordToWAL) goes on behind them.
      this.#skipTo = pageLsn - (pageLsn % this.#segmentBytes) + this.#segmentBytes;
      return;
    }
    this.#stop(this.#inRecord() ? this.#unfinishedStart : pageLsn, 'the page has not been written yet');
  }

  /** The page goes on with a record that began before what is read. */
  #passOverRecord(pageLsn: number, remaining: number, room: number): void {
    if (remaining === 0) throw this.#checker.corrupt('the page goes on with a record of 0 bytes', pageLsn);
    if (this.#skipTo > 0)
      throw this.#checker.corrupt('the page goes on with a record that zeros cut off', pageLsn);
    if (this.#skipRemaining > 0 && this.#skipRemaining !== remaining) {
      throw this.#checker.corrupt(
        `${remaining} bytes of the record are announced, ${this.#skipRemaining} are missing`,
        pageLsn,
      );
    }
    this.#skipRemaining = remaining;
    if (remaining <= room) this.#searching = false;
  }

  #checkGoesOn(pageLsn: number, remaining: number): void {
    const missing = this.#missingBytes();
    if (missing === 0)
      throw this.#checker.corrupt('the page goes on with a record, but none was cut off', pageLsn);
    if (missing !== remaining) {
      throw this.#checker.corrupt(
        `${remaining} bytes of a record are announced, ${missing} are missing`,
        pageLsn,
      );
    }
  }

  #checkBegins(pageLsn: number, remaining: number): void {
    if (remaining !== 0)
      throw this.#checker.corrupt(
        `the page goes on with no record but announces ${remaining} bytes`,
        pageLsn,
      );
    if (this.#inRecord() || this.#skipRemaining > 0)
      throw this.#checker.corrupt('the page does not go on with the record before it', pageLsn);
  }

  #isZeroHeader(length: number): boolean {
    for (let index = 0; index < length; index++) {
      if (this.#header[index] !== 0) return false;
    }
    return true;
  }

  /** A record that a crash cut off was given up: the page begins with the record that says so. */
  #giveUpRecord(pageLsn: number, info: number, remaining: number): void {
    if ((info & WAL_PAGE_FIRST_IS_CONTRECORD) !== 0 || remaining !== 0) {
      throw this.#checker.corrupt('the page both gives up the record before it and goes on with it', pageLsn);
    }
    if (this.#inRecord()) this.#overwritten = this.#unfinishedStart;
    else if (this.#previousStart >= 0)
      throw this.#checker.corrupt('the page gives up a record, but none was cut off', pageLsn);
    this.#expectOverwrite = true;
    this.#skipRemaining = 0;
    this.#unfinished.clear();
    // Drop what the arena has of it.
    this.#walk = this.#arenaEnd;
  }

  /** True within a record of which some bytes have been read. */
  #inRecord(): boolean {
    return this.#unfinished.length > 0 || this.#walk < this.#arenaEnd;
  }

  /** Bytes that the record in progress still needs; 0 between records. */
  #missingBytes(): number {
    if (this.#unfinished.length > 0) return this.#unfinished.totalLength - this.#unfinished.length;
    const have = this.#arenaEnd - this.#walk;
    return have > 0 ? this.workspace.view.getUint32(this.#walk, true) - have : 0;
  }

  /** At the end of a batch: keeps the bytes of an unfinished record, since the workspace is shared. */
  #setAside(): void {
    if (this.#walk >= this.#arenaEnd || this.#unfinished.length > 0) return;
    this.#unfinished.append(this.workspace.bytes, this.#walk, this.#arenaEnd);
    this.#walk = this.#arenaEnd;
  }

  /** Appends to the record that was set aside, and moves it into the arena once it is whole. */
  #continueUnfinished(available: number): void {
    const unfinished = this.#unfinished;
    const start = this.#unfinishedStart;
    const wanted = unfinished.length < 4 ? 4 : this.#checkTotalLength(unfinished.totalLength, start);
    const length = Math.min(available, wanted - unfinished.length);
    unfinished.append(this.#chunk, this.#chunkPosition, this.#chunkPosition + length);
    this.#advance(length);
    if (unfinished.length < 4) return;
    const total = unfinished.totalLength;
    if (total === 0) {
      this.#stop(start, 'no record has been written here yet');
      return;
    }
    if (unfinished.length < this.#checkTotalLength(total, start)) return;
    this.workspace.reserve(this.#arenaEnd + total);
    this.workspace.bytes.set(unfinished.bytes.subarray(0, total), this.#arenaEnd);
    this.#walk = this.#arenaEnd;
    this.#arenaEnd += total;
    unfinished.clear();
    this.#rebase();
    this.#takeRecord(start, total);
  }

  /** Copies body bytes of one page into the arena and finds the records that they complete. */
  #takeBody(length: number): void {
    const { workspace } = this;
    workspace.reserve(this.#arenaEnd + length);
    workspace.bytes.set(
      this.#chunk.subarray(this.#chunkPosition, this.#chunkPosition + length),
      this.#arenaEnd,
    );
    const fresh = this.#arenaEnd;
    this.#arenaEnd += length;
    this.#advance(length);
    this.#findRecords(fresh);
  }

  /** Puts the records into the batch that end in what the arena has, the bytes from `fresh` on being new. */
  #findRecords(fresh: number): void {
    const { view } = this.workspace;
    for (;;) {
      this.#takePlainRecords(fresh);
      if (this.#arenaEnd - this.#walk < 4) break;
      // A record that began on this page's bytes starts at an LSN of this page; an older one is remembered.
      const start = this.#walk >= fresh ? this.#arenaLsnBase + this.#walk : this.#unfinishedStart;
      this.#unfinishedStart = start;
      const total = view.getUint32(this.#walk, true);
      if (total === 0) {
        this.#stop(start, 'no record has been written here yet');
        return;
      }
      this.#checkTotalLength(total, start);
      if (this.#arenaEnd - this.#walk < total) return;
      this.#takeRecord(start, total);
      if (this.#position < this.#skipTo) return;
    }
    if (this.#walk < this.#arenaEnd && this.#walk >= fresh)
      this.#unfinishedStart = this.#arenaLsnBase + this.#walk;
  }

  /**
   * The short way for nearly all records: takes whole ones, up to the first that `#takeRecord` has to look at,
   * because something could be wrong with it or because it is one of the WAL's own.
   */
  #takePlainRecords(fresh: number): void {
    if (this.#expectOverwrite) return;
    const { view, offsets } = this.workspace;
    const { startLsns, endLsns } = this.workspace;
    const arenaEnd = this.#arenaEnd;
    const lsnBase = this.#arenaLsnBase;
    const totalMax = this.#recordBytesMax;
    let walk = this.#walk;
    let count = this.#batchCount;
    let previousStart = this.#previousStart;
    let start = walk >= fresh ? lsnBase + walk : this.#unfinishedStart;
    while (arenaEnd - walk >= RECORD_HEADER_BYTES) {
      const total = view.getUint32(walk, true);
      if (total < RECORD_HEADER_BYTES || total > totalMax || total > arenaEnd - walk) break;
      const previousHigh = view.getUint32(walk + RECORD_PREVIOUS + 4, true);
      if (previousHigh * TWO_POW_32 + view.getUint32(walk + RECORD_PREVIOUS, true) !== previousStart) break;
      if (view.getUint8(walk + RECORD_RESOURCE_MANAGER) === RM_XLOG) break;
      offsets[count] = walk;
      startLsns[count] = start;
      previousStart = start;
      walk += (total + 7) & ~7;
      start = lsnBase + walk;
      endLsns[count] = start;
      count++;
    }
    this.#walk = walk;
    this.#batchCount = count;
    this.#previousStart = previousStart;
  }

  #checkTotalLength(total: number, start: number): number {
    if (total < RECORD_HEADER_BYTES)
      throw this.#checker.corrupt(`a record of ${total} bytes is too short`, start);
    if (total > this.#recordBytesMax) {
      throw this.#checker.corrupt(
        `a record of ${total} bytes is longer than the limit of ${this.#recordBytesMax}`,
        start,
      );
    }
    return total;
  }

  /** The record at `walk` is whole: checks its back link and puts it into the batch. */
  #takeRecord(start: number, total: number): void {
    const { view, offsets, startLsns, endLsns } = this.workspace;
    const offset = this.#walk;
    const previousHigh = view.getUint32(offset + RECORD_PREVIOUS + 4, true);
    const previous = previousHigh * TWO_POW_32 + view.getUint32(offset + RECORD_PREVIOUS, true);
    if (this.#previousStart >= 0 ? previous !== this.#previousStart : previous >= start && start > 0) {
      throw this.#checker.corrupt(`the record names ${formatLsn(previous)} as the one before it`, start);
    }
    const aligned = (total + 7) & ~7;
    let end = this.#arenaLsnBase + offset + aligned;
    this.#walk = offset + aligned;
    const isXlog = view.getUint8(offset + RECORD_RESOURCE_MANAGER) === RM_XLOG;
    const kind = view.getUint8(offset + RECORD_INFO) & 0xf0;
    const isOverwrite = isXlog && kind === XLOG_OVERWRITE_CONTRECORD;
    if (this.#expectOverwrite) this.#checkOverwrite(offset, total, start, isOverwrite);
    else if (isOverwrite && this.#previousStart >= 0)
      throw this.#checker.corrupt('the record gives up another, but none was cut off', start);
    if (isXlog && kind === XLOG_SWITCH) {
      const rest = end % this.#segmentBytes;
      if (rest !== 0) end += this.#segmentBytes - rest;
      this.#skipTo = end;
      this.#walk = this.#arenaEnd;
      // Bytes of the segment's rest that have already been copied are dropped with the batch.
    }
    const index = this.#batchCount++;
    offsets[index] = offset;
    startLsns[index] = start;
    endLsns[index] = end;
    this.#previousStart = start;
  }

  /** xlogrecovery.c, VerifyOverwriteContrecord: the record that was given up must be the one that is named. */
  #checkOverwrite(offset: number, total: number, start: number, isOverwrite: boolean): void {
    this.#expectOverwrite = false;
    if (!isOverwrite || total < SHORT_MAIN_DATA + 8) {
      throw this.#checker.corrupt('a page gives up the record before it, but no record says which', start);
    }
    const { view } = this.workspace;
    const low = view.getUint32(offset + SHORT_MAIN_DATA, true);
    const named = view.getUint32(offset + SHORT_MAIN_DATA + 4, true) * TWO_POW_32 + low;
    if (this.#overwritten >= 0 && named !== this.#overwritten) {
      throw this.#checker.corrupt(
        `the record at ${formatLsn(this.#overwritten)} was given up, but ${formatLsn(named)} is named`,
        start,
      );
    }
    this.#overwritten = -1;
  }

  #stop(lsn: number, reason: string): void {
    this.end = { lsn, reason };
    this.#unfinished.clear();
    this.#walk = this.#arenaEnd;
  }
}
