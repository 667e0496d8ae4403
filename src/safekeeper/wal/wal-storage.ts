import { AssertionError, BadRequestError, VarveError } from '../../base/errors.ts';
import { formatLsn, INVALID_LSN, type Lsn, toLsn } from '../../base/lsn.ts';
import type { Files } from '../../io/files.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { WalReader } from '../../postgres/wal/wal-reader.ts';
import { WalWorkspace } from '../../postgres/wal/workspace.ts';
import { AppendDecoder } from './append-decoder.ts';
import { cutWal, segmentBefore } from './cut-wal.ts';
import { feedUpTo, makeReader, readerAt, type ScanPlace } from './find-end.ts';
import { type FoundWal, findWal } from './find-wal.ts';
import { canBeginAt, makeFirstSegment } from './first-segment.ts';
import { LocalSegments } from './local-segments.ts';
import { SegmentFile } from './segment-file.ts';
import { WalDirectory } from './wal-directory.ts';

export interface WalStorageOptions {
  readonly files: Files;
  /** Where the segments are. It must exist. */
  readonly directory: string;
  readonly version: PostgresVersion;
  readonly segmentBytes: number;
  /** WAL of another system is refused. 0 where it is not known. */
  readonly systemIdentifier: bigint;
  /** The persistent one: the end of a record, durable here. 0 where nothing is committed. */
  readonly commitLsn: Lsn;
  readonly timelineStartLsn: Lsn;
  readonly localStartLsn: Lsn;
  /** Shared by all timelines of a thread. */
  readonly workspace?: WalWorkspace;
}

/**
 * The WAL of one timeline on disk. It is decoded before it is written, so that only what is whole and right counts.
 *
 * At most one of `write`, `truncate`, `initialize`, `sleep` and `close` may be under way at a time, and no `flush` may
 * begin meanwhile. They may be called while a flush is under way, which then vouches for what was written before it.
 * `read` and `removeSegmentsBelow` may run beside all others.
 *
 * After a failed write or sync nobody knows what is on the disk: each call then rejects with WAL_STORAGE_FAILED
 * (`unavailable`), until the storage is closed and another one opened.
 */
export class WalStorage {
  /** End of the bytes that have been written; 0 while there is no WAL. */
  writeLsn: Lsn = INVALID_LSN;
  /**
   * End of the last whole record, aligned. A segment switch counts, with the rest of its segment, once all of that
   * has been written: until then it is the end of the record before the switch, since no record can follow between.
   */
  recordLsn: Lsn = INVALID_LSN;
  /** What `recordLsn` was when the last sync that succeeded began. */
  flushLsn: Lsn = INVALID_LSN;

  readonly #options: WalStorageOptions;
  readonly #directory: WalDirectory;
  readonly #segments: LocalSegments;
  readonly #decoder = new AppendDecoder();
  readonly #workspace: WalWorkspace;
  #systemIdentifier: bigint;
  #localStartLsn: Lsn;
  /** The segment that holds `writeLsn`, if it is open. */
  #file: SegmentFile | undefined;
  #isNameDurable = false;
  /** There may be anything behind `writeLsn`, so nothing may be written there. */
  #isTailUnknown = true;
  /** `writeLsn` as of the last sync. */
  #syncedLsn: Lsn = INVALID_LSN;
  #flushing: Promise<void> | undefined;
  #isWorking = false;
  #failure: unknown;
  #isClosed = false;

  private constructor(options: WalStorageOptions, directory: WalDirectory) {
    this.#options = options;
    this.#directory = directory;
    this.#segments = new LocalSegments(directory);
    this.#workspace = options.workspace ?? new WalWorkspace();
    this.#systemIdentifier = options.systemIdentifier;
    this.#localStartLsn = options.localStartLsn;
  }

  /**
   * Finds the end of WAL, by decoding it from the commit LSN on, and makes what it finds durable. No file stays open.
   * Before the first write comes `truncate`, or `initialize` where there is no WAL.
   *
   * There is none where `localStartLsn` is 0, or where no segment is here and nothing is committed behind
   * `localStartLsn`: then a crash has come before `initialize` was done, or it has never been called.
   *
   * @throws CorruptionError, with the file, where WAL does not go up to the commit LSN
   */
  static async open(options: WalStorageOptions): Promise<WalStorage> {
    const directory = new WalDirectory(options.files, options.directory, options.segmentBytes);
    const storage = new WalStorage(options, directory);
    const { localStartLsn, commitLsn } = options;
    if (localStartLsn === 0) {
      if (commitLsn !== 0)
        throw new AssertionError('WAL is committed but begins nowhere', { lsn: commitLsn });
      return storage;
    }
    try {
      const found = await findWal(storage.#place(), commitLsn);
      if (found !== undefined) storage.#adopt(found);
    } finally {
      await storage.#segments.reader.forget();
    }
    return storage;
  }

  /** Bytes have been written that no sync has made durable. */
  get isDirty(): boolean {
    return this.writeLsn !== this.#syncedLsn;
  }

  /** The segment that is written is open. */
  get isFileOpen(): boolean {
    return this.#file !== undefined;
  }

  /** A write or sync has failed: nothing can be done any more but `close`. */
  get isFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Number of the first segment that is here; undefined while there is no WAL. */
  get oldestLocalSegment(): number | undefined {
    return this.#segments.oldest;
  }

  /** Size of the segments that are here, in bytes. */
  get localBytes(): number {
    const { oldest } = this.#segments;
    if (oldest === undefined) return 0;
    const { segmentBytes } = this.#directory;
    return (segmentBefore(this.writeLsn, segmentBytes) + 1 - oldest) * segmentBytes;
  }

  /**
   * Writes WAL that continues at `beginLsn`, which must be `writeLsn`, from `bytes`, which may change when this is done.
   * Mostly it is done at once, and returns undefined; at a segment's border the segment is synced and gets its
   * final name, which takes a promise. At most one segment's size at a time.
   *
   * @throws CorruptionError where the WAL is damaged or does not go on with the last record. It is decoded before
   * anything is written, so nothing of it counts then; further writes are refused until `truncate`.
   */
  write(beginLsn: Lsn, bytes: Uint8Array, start: number, length: number): Promise<void> | undefined {
    this.#checkUsable();
    this.#assertIdle();
    if (this.#isTailUnknown) throw new AssertionError('WAL was written before its tail was cut');
    this.#decoder.checkNotRefused();
    if (beginLsn !== this.writeLsn) {
      throw new AssertionError(`WAL was written at ${formatLsn(beginLsn)}, not at the end`, {
        lsn: this.writeLsn,
      });
    }
    if (length > this.#directory.segmentBytes) throw new AssertionError(`${length} bytes are too many`);
    if (length === 0) return undefined;
    const file = this.#file;
    if (file === undefined || !this.#decoder.isReady || !file.hasRoomNow(beginLsn, length)) {
      return this.#exclusively(() => this.#writeSlowly(bytes, start, length));
    }
    const endLsn = (beginLsn + length) as Lsn;
    const recordLsn = this.#decoder.decode(bytes, start, length, endLsn, this.recordLsn);
    try {
      file.writeNow(bytes, start, length, beginLsn);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
    this.writeLsn = endLsn;
    this.recordLsn = recordLsn;
    return undefined;
  }

  /** On return `flushLsn` is at least what `recordLsn` was when this was called. */
  async flush(): Promise<void> {
    this.#checkUsable();
    const wantedLsn = this.writeLsn;
    while (this.#flushing !== undefined) await this.#flushing;
    this.#checkUsable();
    if (this.#syncedLsn >= wantedLsn) return;
    this.#assertIdle();
    this.#flushing = this.#failing(() => this.#sync());
    try {
      await this.#flushing;
    } finally {
      this.#flushing = undefined;
    }
  }

  /**
   * Makes the segment in which WAL begins, at `lsn`, where there is no WAL yet.
   * @param timelineStartLsn equal to `lsn` where this is the beginning of the whole timeline
   */
  async initialize(
    lsn: Lsn,
    systemIdentifier: bigint,
    timelineStartLsn: Lsn = this.#options.timelineStartLsn,
  ): Promise<void> {
    this.#checkUsable();
    this.#assertIdle();
    const { version, segmentBytes } = this.#options;
    if (this.writeLsn !== 0) throw new AssertionError('there is WAL already', { lsn: this.writeLsn });
    if (!canBeginAt(lsn, segmentBytes)) {
      throw new BadRequestError('BAD_LSN', 'WAL can not begin here', { lsn });
    }
    await this.#exclusively(async () => {
      const directory = this.#directory;
      await this.#failing(() => makeFirstSegment({ directory, lsn, version, systemIdentifier }));
      this.#systemIdentifier = systemIdentifier;
      this.#localStartLsn = lsn;
      this.#segments.begin(segmentNumber(lsn, segmentBytes), false, timelineStartLsn, lsn);
      await this.#beginAt(lsn, makeReader(this.#place(), lsn, 'exact'));
    });
  }

  /**
   * Makes `lsn` the end of WAL, durably, and destroys what is behind it. It costs nothing where WAL ends there, all
   * is synced and nothing else can be behind it.
   *
   * @throws BadRequestError where WAL does not go up to `lsn`, CorruptionError where no record ends there; nothing
   * has been done then
   */
  async truncate(lsn: Lsn): Promise<void> {
    this.#checkUsable();
    this.#assertIdle();
    const { commitLsn } = this.#options;
    if (lsn > this.recordLsn || lsn < this.#localStartLsn || lsn < commitLsn || this.writeLsn === 0) {
      throw new BadRequestError(
        'BAD_LSN',
        `WAL goes up to ${formatLsn(this.recordLsn)}, and can not be cut here`,
        {
          lsn,
        },
      );
    }
    await this.#exclusively(async () => {
      await this.#flushing;
      const isClean = !this.#isTailUnknown && !this.#decoder.hasRefused && !this.isDirty;
      if (isClean && lsn === this.writeLsn) return;
      const reader = await readerAt(this.#place(), lsn);
      this.#segments.cut();
      this.writeLsn = lsn;
      this.recordLsn = lsn;
      if (this.flushLsn > lsn) this.flushLsn = lsn;
      await this.#failing(async () => {
        await this.#closeFiles();
        await cutWal(this.#directory, lsn);
      });
      await this.#beginAt(lsn, reader);
    });
  }

  /**
   * Reads WAL from `lsn` on, at most up to the end of its segment and to `writeLsn`. Returns how many bytes there were;
   * 0 at or behind `writeLsn`.
   *
   * @throws VarveError WAL_NOT_LOCAL (`not-found`) where WAL is older than what is here; WAL_TRUNCATED (`unavailable`)
   * where it has been cut meanwhile; WAL_STORAGE_CLOSED (`unavailable`); CorruptionError where a file ends too early
   */
  async read(target: Uint8Array, start: number, length: number, lsn: Lsn): Promise<number> {
    this.#checkNotClosed();
    this.#checkUsable();
    return this.#segments.read(target, start, length, lsn, this.writeLsn);
  }

  /**
   * Removes the segments whose number is lower, and returns how many those were. That of `flushLsn` always stays. A crash
   * may bring some of them back.
   * @throws VarveError WAL_STORAGE_CLOSED (`unavailable`)
   */
  async removeSegmentsBelow(segment: number): Promise<number> {
    this.#checkNotClosed();
    this.#checkUsable();
    const last = segmentBefore(this.flushLsn, this.#directory.segmentBytes);
    return this.#segments.removeBelow(Math.min(segment, last));
  }

  /** Lets go of files and memory until the next call needs them. */
  async sleep(): Promise<void> {
    await this.flush();
    this.#assertIdle();
    await this.#exclusively(() => this.#failing(() => this.#closeFiles()));
  }

  /** Closes all files. What has not been flushed may be lost. May be called again. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Whoever called flush learns of its failure.
    await this.#flushing?.catch(() => undefined);
    await this.#closeFiles();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #place(): ScanPlace {
    return {
      directory: this.#directory,
      segments: this.#segments.reader,
      version: this.#options.version,
      systemIdentifier: this.#systemIdentifier,
      workspace: this.#workspace,
      localStartLsn: this.#localStartLsn,
      oldestSegment: this.#segments.oldest ?? 0,
    };
  }

  #adopt(found: FoundWal): void {
    const { timelineStartLsn, localStartLsn } = this.#options;
    this.#segments.begin(found.oldestSegment, found.hasStraySegments, timelineStartLsn, localStartLsn);
    this.writeLsn = found.endLsn;
    this.recordLsn = found.endLsn;
    this.flushLsn = found.endLsn;
    this.#syncedLsn = found.endLsn;
  }

  /** WAL ends at `lsn`, durably, and there is nothing behind. */
  async #beginAt(lsn: Lsn, reader: WalReader): Promise<void> {
    this.writeLsn = lsn;
    this.recordLsn = lsn;
    this.flushLsn = lsn;
    this.#syncedLsn = lsn;
    this.#decoder.begin(reader);
    this.#isTailUnknown = false;
    const { segmentBytes } = this.#directory;
    if (lsn % segmentBytes === 0) return;
    await this.#failing(() => this.#openFile(segmentNumber(lsn, segmentBytes)));
    // Making the first segment, or cutting the last one, has seen to it.
    this.#isNameDurable = true;
  }

  /** Writes what is long, reaches the end of its segment, or finds the storage asleep. */
  async #writeSlowly(bytes: Uint8Array, start: number, length: number): Promise<void> {
    await this.#flushing;
    if (!this.#decoder.isReady) await this.#wake();
    const beginLsn = this.writeLsn;
    const { segmentBytes } = this.#directory;
    const first = Math.min(length, segmentBytes - (beginLsn % segmentBytes));
    const borderLsn = toLsn(beginLsn + first);
    const endLsn = toLsn(beginLsn + length);
    const atBorder = this.#decoder.decode(bytes, start, first, borderLsn, this.recordLsn);
    const atEnd =
      first === length
        ? atBorder
        : this.#decoder.decode(bytes, start + first, length - first, endLsn, atBorder);
    await this.#failing(async () => {
      await this.#writePiece(bytes, start, first, atBorder);
      if (first < length) await this.#writePiece(bytes, start + first, length - first, atEnd);
    });
  }

  async #writePiece(bytes: Uint8Array, start: number, length: number, recordLsn: Lsn): Promise<void> {
    const { segmentBytes } = this.#directory;
    const file = this.#file ?? (await this.#openFile(segmentNumber(this.writeLsn, segmentBytes)));
    await file.write(bytes, start, length, this.writeLsn);
    this.writeLsn = toLsn(this.writeLsn + length);
    this.recordLsn = recordLsn;
    if (this.writeLsn === file.endLsn) await this.#completeSegment(file);
  }

  /** Makes a full segment durable and gives it its final name, along with the next one, which costs no more. */
  async #completeSegment(file: SegmentFile): Promise<void> {
    const { files } = this.#options;
    const { segment } = file;
    await file.sync();
    this.#file = undefined;
    await file.close();
    await this.#openFile(segment + 1);
    await files.rename(this.#directory.partialPath(segment), this.#directory.completePath(segment));
    await this.#directory.sync();
    this.#isNameDurable = true;
    this.#syncedLsn = this.writeLsn;
    this.flushLsn = this.recordLsn;
  }

  async #openFile(segment: number): Promise<SegmentFile> {
    const file = await SegmentFile.open(this.#directory, segment);
    this.#file = file;
    this.#isNameDurable = false;
    return file;
  }

  /** Makes a reader that knows the last record and what there is behind it. */
  async #wake(): Promise<void> {
    const place = this.#place();
    const reader = await readerAt(place, this.recordLsn);
    await feedUpTo(place, reader, this.writeLsn);
    this.#decoder.begin(reader);
  }

  async #sync(): Promise<void> {
    const { writeLsn, recordLsn } = this;
    await this.#file?.sync();
    if (!this.#isNameDurable) {
      await this.#directory.sync();
      this.#isNameDurable = true;
    }
    this.#syncedLsn = writeLsn;
    this.flushLsn = recordLsn;
  }

  async #closeFiles(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#decoder.sleep();
    await file?.close();
    await this.#segments.reader.forget();
  }

  /** For those who may run beside all others: WAL is closed under them where it is opened anew. */
  #checkNotClosed(): void {
    if (!this.#isClosed) return;
    throw new VarveError('unavailable', 'WAL_STORAGE_CLOSED', 'this WAL is closed, or being opened anew', {
      file: this.#directory.path,
    });
  }

  #checkUsable(): void {
    if (this.#isClosed) throw new AssertionError('this WAL has been closed', { file: this.#directory.path });
    if (this.#failure === undefined) return;
    throw new VarveError(
      'unavailable',
      'WAL_STORAGE_FAILED',
      'an earlier write or sync has failed: this WAL must be opened anew',
      { file: this.#directory.path },
      this.#failure,
    );
  }

  #assertIdle(): void {
    if (this.#isWorking) throw new AssertionError('two calls to WAL overlap', { file: this.#directory.path });
  }

  async #exclusively(action: () => Promise<void>): Promise<void> {
    this.#isWorking = true;
    try {
      await action();
    } finally {
      this.#isWorking = false;
    }
  }

  /** After a failure in here nothing is known any more of what is on the disk. */
  async #failing(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
