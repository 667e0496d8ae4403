import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { SegmentReader } from './segment-reader.ts';
import type { WalDirectory } from './wal-directory.ts';

/** The segments of a timeline that are here: what of them may be read, and which of them go. */
export class LocalSegments {
  readonly reader: SegmentReader;
  /** The first one; undefined while there is no WAL. */
  oldest: number | undefined;
  /** There may be segments below the oldest one, left by a removal that was broken off. */
  #hasStrays = true;
  /** Reads may begin here. */
  #readableLsn = 0;
  /** Counts what makes bytes that were read worthless. */
  #cuts = 0;
  readonly #directory: WalDirectory;

  constructor(directory: WalDirectory) {
    this.#directory = directory;
    this.reader = new SegmentReader(directory);
  }

  /**
   * What stands before the local start in its segment is made up, and that may be shown only where nothing real was
   * ever there: at the start of the whole timeline.
   */
  begin(oldest: number, hasStrays: boolean, timelineStartLsn: Lsn, localStartLsn: Lsn): void {
    this.oldest = oldest;
    this.#hasStrays = hasStrays;
    const isWhole = localStartLsn === timelineStartLsn;
    this.#readableLsn = isWhole
      ? localStartLsn - (localStartLsn % this.#directory.segmentBytes)
      : localStartLsn;
  }

  /** WAL is about to be destroyed: reads that are under way must not show what they get. */
  cut(): void {
    this.#cuts++;
  }

  /** See WalStorage.read. `endLsn` is where WAL ends. */
  async read(target: Uint8Array, start: number, length: number, lsn: Lsn, endLsn: Lsn): Promise<number> {
    if (lsn >= endLsn) return 0;
    this.#checkLocal(lsn);
    const inSegment = lsn % this.#directory.segmentBytes;
    const wanted = Math.min(length, endLsn - lsn, this.#directory.segmentBytes - inSegment);
    const cuts = this.#cuts;
    const count = await this.reader.read(target, start, wanted, lsn);
    if (cuts !== this.#cuts) {
      throw new VarveError('unavailable', 'WAL_TRUNCATED', 'WAL was cut while it was read', { lsn });
    }
    if (count === wanted) return count;
    // It may have been removed meanwhile.
    this.#checkLocal(lsn);
    throw new CorruptionError('WAL_MISSING', 'the segment is missing or too short', {
      file: this.#directory.completePath(segmentNumber(lsn, this.#directory.segmentBytes)),
      offset: inSegment + (count ?? 0),
      lsn,
    });
  }

  /** Removes the segments whose number is lower, and returns how many those were. */
  async removeBelow(segment: number): Promise<number> {
    if (this.oldest === undefined || (segment <= this.oldest && !this.#hasStrays)) return 0;
    // Before anything is gone, so that reads find out why.
    if (segment > this.oldest) this.oldest = segment;
    const surplus = (await this.#directory.list()).filter((local) => local.segment < segment);
    for (const local of surplus) await this.#directory.remove(local);
    if (surplus.length > 0) await this.#directory.sync();
    if (segment >= this.oldest) this.#hasStrays = false;
    return surplus.length;
  }

  #checkLocal(lsn: Lsn): void {
    const oldestLsn = (this.oldest ?? 0) * this.#directory.segmentBytes;
    if (lsn >= oldestLsn && lsn >= this.#readableLsn) return;
    throw new VarveError('not-found', 'WAL_NOT_LOCAL', 'this WAL is not here, or no longer', { lsn });
  }
}
