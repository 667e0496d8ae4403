import type { ReadableFile } from '../../io/files.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { WalDirectory } from './wal-directory.ts';

interface OpenSegment {
  readonly segment: number;
  readonly opening: Promise<ReadableFile | undefined>;
  /** Set once it has been opened. */
  file: ReadableFile | undefined;
  /** Reads that are under way. */
  users: number;
}

/**
 * Reads WAL by LSN from the files of a directory, for any number of readers at a time, and keeps the file that was
 * read last open. Knows nothing of where WAL ends.
 */
export class SegmentReader {
  readonly #directory: WalDirectory;
  #current: OpenSegment | undefined;

  constructor(directory: WalDirectory) {
    this.#directory = directory;
  }

  /**
   * Reads up to the end of the segment that `lsn` is in, and returns how many bytes there were: fewer where the file
   * ends before, undefined where there is no such segment.
   */
  async read(target: Uint8Array, start: number, length: number, lsn: number): Promise<number | undefined> {
    const { segmentBytes } = this.#directory;
    const offset = lsn % segmentBytes;
    const before = this.#current;
    const open = this.#take(segmentNumber(lsn, segmentBytes));
    try {
      if (before !== undefined && before !== open) await this.#closeIfUnused(before);
      open.file = await open.opening;
      if (open.file === undefined) return undefined;
      return await open.file.read(target, start, Math.min(length, segmentBytes - offset), offset);
    } finally {
      open.users--;
      // What is not there is not remembered: it may appear.
      if (open.file === undefined && this.#current === open) this.#current = undefined;
      await this.#closeIfUnused(open);
    }
  }

  /** Lets go of the file: when another may get its name, or it is not needed for long. Reading goes on as before. */
  async forget(): Promise<void> {
    const open = this.#current;
    this.#current = undefined;
    if (open !== undefined) await this.#closeIfUnused(open);
  }

  #take(segment: number): OpenSegment {
    if (this.#current?.segment !== segment) {
      this.#current = { segment, opening: this.#directory.open(segment), file: undefined, users: 0 };
    }
    this.#current.users++;
    return this.#current;
  }

  /** Closes a file that is no longer the current one, after the last read of it. */
  async #closeIfUnused(open: OpenSegment): Promise<void> {
    if (open.users > 0 || this.#current === open) return;
    const { file } = open;
    open.file = undefined;
    await file?.close();
  }
}
