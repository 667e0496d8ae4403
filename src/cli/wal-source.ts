import { CorruptionError, VarveError } from '../base/errors.ts';
import { formatLsn } from '../base/lsn.ts';
import type { Files, ReadableFile } from '../io/files.ts';
import { SHORT_HEADER_BYTES, WAL_PAGE_BYTES } from '../postgres/wal/page-header.ts';
import { WalReader } from '../postgres/wal/wal-reader.ts';
import { findLaterPage, isRecycledPage } from './wal-end.ts';
import { findWalSegments, locateLsn, type WalSegment, type WalSegments } from './wal-segments.ts';

/** Read at once. Also bounds how much text a command makes before it waits for its reader. */
const CHUNK_BYTES = 256 * 1024;

export interface WalVisitor {
  /** Called for each record, which `reader` shows. False: enough has been seen. */
  onRecord(reader: WalReader): boolean;
  /** Called now and then, and at the end, also where that is an error. */
  afterChunk(doneBytes: number, totalBytes: number): Promise<void>;
}

/** Why a scan came to its end without finding damage. */
export interface WalScanEnd {
  /**
   * - `zeros`: nothing has been written from here on
   * - `recycled`: from here on there is what an earlier use of the file has left, as where `zeros` would be
   * - `files`: there are no further files
   * - `visitor`: it has seen enough
   */
  readonly kind: 'zeros' | 'recycled' | 'files' | 'visitor';
  /** Where WAL would go on. */
  readonly lsn: number;
  readonly reason: string;
  readonly file: string | undefined;
  readonly offset: number | undefined;
}

/** WAL in files, read from one end to the other in pieces of bounded size. */
export class WalSource {
  readonly #files: Files;
  readonly segments: WalSegments;

  private constructor(files: Files, segments: WalSegments) {
    this.#files = files;
    this.segments = segments;
  }

  /** Errors: see findWalSegments. */
  static async open(files: Files, paths: readonly string[]): Promise<WalSource> {
    return new WalSource(files, await findWalSegments(files, paths));
  }

  /**
   * Shows the records that start at or after `startLsn` (without it, in the first file) to the visitor.
   *
   * @throws CorruptionError, with file, offset and LSN, for damage and for WAL that is missing in the middle. All
   * records before it have then been shown.
   */
  async scan(visitor: WalVisitor, startLsn?: number): Promise<WalScanEnd> {
    const { version, segmentBytes, systemIdentifier, segments } = this.segments;
    const start = startLsn ?? (segments[0] as WalSegment).startLsn;
    const first = segments.findIndex(
      (segment) => start >= segment.startLsn && start < segment.startLsn + segmentBytes,
    );
    if (first < 0) {
      throw new VarveError('not-found', 'LSN_NOT_THERE', 'none of the files holds this place', {
        lsn: start,
      });
    }
    const reader = new WalReader({
      version,
      segmentBytes,
      systemIdentifier,
      startLsn: start,
      mode: 'search',
    });
    const chunk = new Uint8Array(CHUNK_BYTES);
    const scanStart = reader.position;
    const last = segments.at(-1) as WalSegment;
    const totalBytes = last.startLsn + last.sizeBytes - scanStart;
    for (const segment of segments.slice(first)) {
      if (segment.startLsn > reader.position) throw this.#missing(segment, reader.position);
      await using file = await this.#files.open(segment.path);
      for (;;) {
        const offset = reader.position - segment.startLsn;
        const length = await file.read(chunk, 0, Math.min(CHUNK_BYTES, segmentBytes - offset), offset);
        if (length === 0) break;
        reader.feed(chunk, 0, length);
        let end: WalScanEnd | undefined;
        try {
          end = await this.#drain(reader, visitor, file, segment);
        } finally {
          await visitor.afterChunk(Math.min(reader.position - scanStart, totalBytes), totalBytes);
        }
        if (end !== undefined) return end;
      }
    }
    return this.#endOfFiles(reader);
  }

  /** Shows what the reader has. Returns where WAL ends if that is here. */
  async #drain(
    reader: WalReader,
    visitor: WalVisitor,
    file: ReadableFile,
    segment: WalSegment,
  ): Promise<WalScanEnd | undefined> {
    try {
      while (reader.next()) {
        if (!visitor.onRecord(reader)) return this.#end('visitor', reader.endLsn, 'enough has been seen');
      }
    } catch (error) {
      if (!(error instanceof CorruptionError) || error.place.file !== undefined) throw error;
      return this.#judgeDamage(error, reader, file, segment);
    }
    if (reader.end === undefined) return undefined;
    // Zeros may begin pages after the record that they cut off.
    return this.#endUnlessHole('zeros', reader.end.lsn, reader.end.reason, reader.position);
  }

  /** What looks like damage may be the rest of a file's earlier life, which WAL does not reach yet. */
  async #judgeDamage(
    error: CorruptionError,
    reader: WalReader,
    file: ReadableFile,
    segment: WalSegment,
  ): Promise<WalScanEnd> {
    const lsn = error.place.lsn ?? reader.position;
    if (lsn % WAL_PAGE_BYTES === 0 && lsn >= segment.startLsn) {
      const header = new Uint8Array(SHORT_HEADER_BYTES);
      await file.read(header, 0, SHORT_HEADER_BYTES, lsn - segment.startLsn);
      if (isRecycledPage(header, lsn, this.segments)) {
        const reason = 'the next page is left from an earlier use of the file';
        return this.#endUnlessHole('recycled', reader.lastEndLsn, reason, lsn);
      }
    }
    throw new CorruptionError(
      error.code,
      error.reason,
      { ...error.place, ...locateLsn(this.segments, lsn), lsn },
      error,
    );
  }

  /** WAL that has its end in the middle of WAL is damaged. */
  async #endUnlessHole(
    kind: 'zeros' | 'recycled',
    lsn: number,
    reason: string,
    readTo: number,
  ): Promise<WalScanEnd> {
    const later = await findLaterPage(this.#files, this.segments, readTo);
    if (later !== undefined) {
      const place = { ...locateLsn(this.segments, lsn), lsn };
      throw new CorruptionError('WAL_HOLE', `${reason}, but WAL goes on at ${formatLsn(later)}`, place);
    }
    return this.#end(kind, lsn, reason);
  }

  #end(kind: WalScanEnd['kind'], lsn: number, reason: string): WalScanEnd {
    const place = locateLsn(this.segments, lsn);
    return { kind, lsn, reason, file: place?.file, offset: place?.offset };
  }

  #endOfFiles(reader: WalReader): WalScanEnd {
    const isWhole = reader.lastEndLsn >= reader.position;
    const reason = isWhole
      ? 'the files end with a whole record'
      : 'the files end before the next record does';
    return this.#end('files', Math.min(reader.lastEndLsn, reader.position), reason);
  }

  #missing(next: WalSegment, position: number): CorruptionError {
    return new CorruptionError(
      'WAL_MISSING',
      `WAL is missing from here to ${formatLsn(next.startLsn)}, where ${next.path} begins`,
      { lsn: position, ...locateLsn(this.segments, position) },
    );
  }
}
