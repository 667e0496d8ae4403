import type { UpdatableFile } from '../../io/files.ts';
import type { WalDirectory } from './wal-directory.ts';

/** Appends up to this size get zeros written ahead of them. */
const SMALL_APPEND_BYTES: number = 16 * 1024;
/** By how much. A longer lead gains no more, and makes one sync in a thousand slow. */
const ZERO_AHEAD_BYTES: number = 64 * 1024;
/** What is longer is written without holding up the event loop. */
const WRITE_NOW_BYTES_MAX: number = 128 * 1024;
const ZEROS = new Uint8Array(ZERO_AHEAD_BYTES);

/**
 * The segment that is being written: a file of full size whose end is a hole. Where WAL comes in small pieces, zeros
 * are written ahead of it from time to time, so that the syncs between need not wait until the file system has
 * allocated a block and noted that down.
 */
export class SegmentFile {
  readonly segment: number;
  readonly startLsn: number;
  readonly endLsn: number;
  readonly #file: UpdatableFile;
  /** Offset below which blocks are allocated, as far as is known. */
  #allocatedTo = 0;

  private constructor(segment: number, segmentBytes: number, file: UpdatableFile) {
    this.segment = segment;
    this.startLsn = segment * segmentBytes;
    this.endLsn = this.startLsn + segmentBytes;
    this.#file = file;
  }

  /** Opens a segment under its partial name. Where there is none it is made, of zeros; its name is not durable yet. */
  static async open(directory: WalDirectory, segment: number): Promise<SegmentFile> {
    const { segmentBytes } = directory;
    const file = await directory.files.openForUpdate(directory.partialPath(segment));
    try {
      if (file.sizeBytes !== segmentBytes) await file.resize(segmentBytes);
      return new SegmentFile(segment, segmentBytes, file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Whether `writeNow` may take this. */
  hasRoomNow(lsn: number, length: number): boolean {
    return length <= WRITE_NOW_BYTES_MAX && lsn >= this.startLsn && lsn + length < this.endLsn;
  }

  writeNow(bytes: Uint8Array, start: number, length: number, lsn: number): void {
    const offset = lsn - this.startLsn;
    this.#file.writeNow(bytes, start, length, offset);
    const end = offset + length;
    if (end > this.#allocatedTo) this.#allocate(end, length);
  }

  async write(bytes: Uint8Array, start: number, length: number, lsn: number): Promise<void> {
    await this.#file.write(bytes, start, length, lsn - this.startLsn);
    this.#allocatedTo = Math.max(this.#allocatedTo, lsn - this.startLsn + length);
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #allocate(end: number, length: number): void {
    this.#allocatedTo = end;
    if (length > SMALL_APPEND_BYTES) return;
    const ahead = Math.min(ZERO_AHEAD_BYTES, this.endLsn - this.startLsn - end);
    if (ahead > 0) this.#file.writeNow(ZEROS, 0, ahead, end);
    this.#allocatedTo = end + ahead;
  }
}
