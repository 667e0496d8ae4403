import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Files, ReadableFile } from '../../io/files.ts';
import { formatSegmentName, isSegmentName, parseSegmentName } from '../../postgres/wal/segment-name.ts';

/** The WAL that safekeepers keep is always of PostgreSQL's first timeline: a branch is a Varve timeline of its own. */
export const WAL_TIMELINE_ID = 1;
/** Behind the name of the segment that is being written. */
const PARTIAL_SUFFIX = '.partial';

/** A segment that has a file in the directory, under one of the two names or, after a crash, under both. */
export interface LocalSegment {
  readonly segment: number;
  readonly isComplete: boolean;
  readonly isPartial: boolean;
}

/** The names in a timeline's WAL directory, as docs/formats/safekeeper-wal-directory.md says. */
export class WalDirectory {
  readonly files: Files;
  readonly path: string;
  readonly segmentBytes: number;

  constructor(files: Files, path: string, segmentBytes: number) {
    this.files = files;
    this.path = path;
    this.segmentBytes = segmentBytes;
  }

  /** Where a segment is once it is complete. */
  completePath(segment: number): string {
    return `${this.path}/${formatSegmentName(WAL_TIMELINE_ID, segment, this.segmentBytes)}`;
  }

  /** Where a segment is while it is written. */
  partialPath(segment: number): string {
    return this.completePath(segment) + PARTIAL_SUFFIX;
  }

  /**
   * The segments that are here, ascending. Other names are passed over: the directory also holds the control file.
   * @throws CorruptionError for a segment of another PostgreSQL timeline or of another size.
   */
  async list(): Promise<LocalSegment[]> {
    const found = new Map<number, LocalSegment>();
    for (const name of await this.files.list(this.path)) {
      const isPartial = name.endsWith(PARTIAL_SUFFIX);
      const bare = isPartial ? name.slice(0, -PARTIAL_SUFFIX.length) : name;
      if (!isSegmentName(bare)) continue;
      const segment = this.#parse(bare);
      const other = found.get(segment);
      found.set(segment, {
        segment,
        isComplete: !isPartial || other?.isComplete === true,
        isPartial: isPartial || other?.isPartial === true,
      });
    }
    return [...found.values()].sort((left, right) => left.segment - right.segment);
  }

  /**
   * Opens a segment under the name that it has. Where it has both, they are two names of one file (a rename that a
   * crash has caught half-way), and the one of the segment that is being written is taken.
   */
  async open(segment: number): Promise<ReadableFile | undefined> {
    const partial = this.partialPath(segment);
    const complete = this.completePath(segment);
    // Three tries, since it may be renamed meanwhile, in either direction.
    return (
      (await this.#openIfThere(partial)) ??
      (await this.#openIfThere(complete)) ??
      (await this.#openIfThere(partial))
    );
  }

  /** Removes a segment's file or files. The caller syncs the directory. */
  async remove({ segment, isComplete, isPartial }: LocalSegment): Promise<void> {
    if (isComplete) await this.files.remove(this.completePath(segment));
    if (isPartial) await this.files.remove(this.partialPath(segment));
  }

  async sync(): Promise<void> {
    await this.files.syncDirectory(this.path);
  }

  async #openIfThere(path: string): Promise<ReadableFile | undefined> {
    try {
      return await this.files.open(path);
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'not-found') return undefined;
      throw error;
    }
  }

  #parse(name: string): number {
    const file = `${this.path}/${name}`;
    const isPossible = Number.parseInt(name.slice(16), 16) < 0x1_0000_0000 / this.segmentBytes;
    if (!isPossible) {
      throw new CorruptionError(
        'BAD_SEGMENT_NAME',
        `no segment of ${this.segmentBytes} bytes has this name`,
        { file },
      );
    }
    const { timelineId, segment } = parseSegmentName(name, this.segmentBytes);
    if (timelineId !== WAL_TIMELINE_ID) {
      throw new CorruptionError('BAD_SEGMENT_NAME', `this is WAL of timeline ${timelineId}`, { file });
    }
    return segment;
  }
}
