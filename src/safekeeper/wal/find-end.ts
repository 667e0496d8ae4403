/** Finding record ends in WAL files, by decoding. */
import { CorruptionError } from '../../base/errors.ts';
import { alignLsn, formatLsn, type Lsn, toLsn } from '../../base/lsn.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import {
  LONG_HEADER_BYTES,
  WAL_HEADER_INFO,
  WAL_HEADER_REMAINING_LENGTH,
  WAL_PAGE_BYTES,
  WAL_PAGE_FIRST_IS_CONTRECORD,
  walPageHeaderBytes,
} from '../../postgres/wal/page-header.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalReader } from '../../postgres/wal/wal-reader.ts';
import type { WalWorkspace } from '../../postgres/wal/workspace.ts';
import type { SegmentReader } from './segment-reader.ts';
import { WAL_TIMELINE_ID, type WalDirectory } from './wal-directory.ts';

/** Read at once. */
export const SCAN_CHUNK_BYTES: number = 64 * 1024;
/** How far before a record end the search for the record begins, at first, and by how much further each next time. */
const LOOK_BACK_BYTES: number = 2 * WAL_PAGE_BYTES;
const LOOK_BACK_FACTOR = 8;

/** Where to scan, and what WAL must be there. */
export interface ScanPlace {
  readonly directory: WalDirectory;
  readonly segments: SegmentReader;
  readonly version: PostgresVersion;
  /** 0 where it is not known. */
  readonly systemIdentifier: bigint;
  readonly workspace: WalWorkspace;
  readonly localStartLsn: Lsn;
  readonly oldestSegment: number;
}

/** The same error, naming the file that holds the place. */
function locate(error: CorruptionError, place: ScanPlace, position: number): CorruptionError {
  const { directory } = place;
  const lsn = error.place.lsn ?? position;
  const file = directory.completePath(segmentNumber(lsn, directory.segmentBytes));
  return new CorruptionError(
    error.code,
    error.reason,
    { ...error.place, file, offset: lsn % directory.segmentBytes, lsn },
    error,
  );
}

export function makeReader(place: ScanPlace, startLsn: number, mode: 'exact' | 'search'): WalReader {
  const { version, directory, workspace, systemIdentifier } = place;
  return new WalReader({
    version,
    segmentBytes: directory.segmentBytes,
    timelineId: WAL_TIMELINE_ID,
    startLsn,
    mode,
    workspace,
    ...(systemIdentifier === 0n ? {} : { systemIdentifier }),
  });
}

/** Where the record ends that was cut off before a page, by the page's header; the page's start if none was. */
export function endOfCutRecord(header: DataView, pageLsn: number, segmentBytes: number): number {
  if ((header.getUint16(WAL_HEADER_INFO, true) & WAL_PAGE_FIRST_IS_CONTRECORD) === 0) return pageLsn;
  let remaining = header.getUint32(WAL_HEADER_REMAINING_LENGTH, true);
  let page = pageLsn;
  for (;;) {
    const headerBytes = walPageHeaderBytes(page, segmentBytes);
    const room = WAL_PAGE_BYTES - headerBytes;
    if (remaining <= room) return alignLsn(page + headerBytes + remaining);
    remaining -= room;
    page += WAL_PAGE_BYTES;
  }
}

function missing(place: ScanPlace, lsn: number): CorruptionError {
  const { directory } = place;
  return new CorruptionError('WAL_MISSING', 'WAL that was flushed is not there', {
    file: directory.completePath(segmentNumber(lsn, directory.segmentBytes)),
    offset: lsn % directory.segmentBytes,
    lsn,
  });
}

/**
 * Feeds a reader from the files up to `endLsn`. Returns the end of the last record, at most `endLsn`; 0 where no
 * record ended.
 * @throws CorruptionError for damage, and where the files have less.
 */
export async function feedUpTo(place: ScanPlace, reader: WalReader, endLsn: number): Promise<number> {
  const buffer = new Uint8Array(Math.max(1, Math.min(SCAN_CHUNK_BYTES, endLsn - reader.position)));
  let lastEnd = 0;
  while (reader.position < endLsn && reader.end === undefined) {
    const { position } = reader;
    const length = await place.segments.read(buffer, 0, Math.min(buffer.length, endLsn - position), position);
    if (length === undefined || length === 0) throw missing(place, position);
    try {
      reader.feed(buffer, 0, length);
      while (reader.next()) {
        if (reader.endLsn <= endLsn) lastEnd = reader.endLsn;
      }
    } catch (error) {
      throw error instanceof CorruptionError ? locate(error, place, position) : error;
    }
  }
  return lastEnd;
}

/**
 * A reader that has read up to `lsn`, where a record ends, and knows that record, so that it can tell whether what
 * comes next goes on with it. Looks back as far as it must to find the record's beginning, or to where the local WAL
 * begins.
 * @throws CorruptionError where no record ends there, or the WAL before it is damaged.
 */
export async function readerAt(place: ScanPlace, lsn: Lsn): Promise<WalReader> {
  const { directory, localStartLsn, oldestSegment } = place;
  if (lsn === localStartLsn) return makeReader(place, lsn, 'exact');
  const oldestLsn = oldestSegment * directory.segmentBytes;
  for (let back = LOOK_BACK_BYTES; ; back *= LOOK_BACK_FACTOR) {
    const from = lsn - (lsn % WAL_PAGE_BYTES) - back;
    const isFromStart = from <= localStartLsn && localStartLsn >= oldestLsn;
    const isOldest = isFromStart || from <= oldestLsn;
    let reader: WalReader;
    let cutEnd = 0;
    if (isFromStart) {
      reader = makeReader(place, localStartLsn, 'exact');
    } else {
      const searchFrom = Math.max(from, oldestLsn);
      reader = makeReader(place, searchFrom, 'search');
      if (isOldest) {
        const header = new Uint8Array(LONG_HEADER_BYTES);
        await place.segments.read(header, 0, LONG_HEADER_BYTES, searchFrom);
        cutEnd = endOfCutRecord(new DataView(header.buffer), searchFrom, directory.segmentBytes);
      }
    }
    const lastEnd = await feedUpTo(place, reader, lsn);
    if (lsn === oldestLsn && cutEnd === lsn) return makeReader(place, lsn, 'exact');
    if (reader.end === undefined && (lastEnd === lsn || cutEnd === lsn)) return reader;
    if (isOldest) {
      throw new CorruptionError('NO_RECORD_END', `no record ends at ${formatLsn(lsn)}`, {
        file: directory.completePath(segmentNumber(lsn, directory.segmentBytes)),
        offset: lsn % directory.segmentBytes,
        lsn,
      });
    }
  }
}

/**
 * Reads on from where `reader` is, which is a record end, for as long as there are whole records, and returns the
 * end of the last one. Whatever stops them is taken for the end of WAL: a torn tail can look like anything.
 */
export async function findEndOfWal(place: ScanPlace, reader: WalReader): Promise<Lsn> {
  const buffer = new Uint8Array(SCAN_CHUNK_BYTES);
  let lastEnd = reader.position;
  let pendingEnd = lastEnd;
  for (;;) {
    const length = await place.segments.read(buffer, 0, SCAN_CHUNK_BYTES, reader.position);
    if (length === undefined || length === 0) return toLsn(lastEnd);
    let isDamaged = false;
    try {
      reader.feed(buffer, 0, length);
      while (reader.next()) {
        if (reader.endLsn <= reader.position) lastEnd = reader.endLsn;
        pendingEnd = reader.endLsn;
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      isDamaged = true;
    }
    // The rest of a segment after a switch counts once it has been read.
    if (pendingEnd <= reader.position) lastEnd = Math.max(lastEnd, pendingEnd);
    if (isDamaged || reader.end !== undefined) return toLsn(lastEnd);
  }
}
