import { basename, join } from 'node:path';
import { BadRequestError, CorruptionError, VarveError } from '../base/errors.ts';
import { readLsn } from '../base/lsn.ts';
import type { Files } from '../io/files.ts';
import { findPostgresVersionByWalMagic, type PostgresVersion } from '../postgres/versions/version.ts';
import {
  isSegmentSize,
  LONG_HEADER_BYTES,
  WAL_HEADER_INFO,
  WAL_HEADER_MAGIC,
  WAL_HEADER_PAGE_ADDRESS,
  WAL_HEADER_SEGMENT_SIZE,
  WAL_HEADER_SYSTEM_IDENTIFIER,
  WAL_PAGE_LONG_HEADER,
} from '../postgres/wal/page-header.ts';
import { isSegmentName, parseSegmentName } from '../postgres/wal/segment-name.ts';

/** One file of WAL. */
export interface WalSegment {
  readonly path: string;
  /** LSN of its first byte. */
  readonly startLsn: number;
  /** Bytes that are there: fewer than a segment has where the file was cut off. */
  readonly sizeBytes: number;
  /** From its name; 0 for a file that is not named like a segment. */
  readonly timelineId: number;
}

/** The files of WAL that a command was given, in the order of their LSNs, and what their first header says. */
export interface WalSegments {
  readonly version: PostgresVersion;
  readonly segmentBytes: number;
  readonly systemIdentifier: bigint;
  readonly segments: readonly WalSegment[];
  /** Segments that a later timeline has left behind. */
  readonly abandonedPaths: readonly string[];
}

interface LongHeader {
  readonly version: PostgresVersion;
  readonly segmentBytes: number;
  readonly systemIdentifier: bigint;
  readonly pageLsn: number;
}

interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: LongHeader | CorruptionError;
}

/**
 * Finds the segments that are meant by paths of files, of `pg_wal` or of whole data directories. In a directory only
 * files named like segments count. A file with such a name is where its name says; any other where its header says.
 *
 * @throws VarveError not-found where there is none, CorruptionError where no file begins with a header that tells
 * version and segment size.
 */
export async function findWalSegments(files: Files, paths: readonly string[]): Promise<WalSegments> {
  const found: FoundFile[] = [];
  for (const path of paths) {
    for (const file of await expandPath(files, path)) found.push(await readFirstHeader(files, file));
  }
  const known = found.find(({ header }) => !(header instanceof CorruptionError))?.header;
  const first = found[0]?.header;
  if (known === undefined || known instanceof CorruptionError) {
    throw first instanceof CorruptionError ? first : new BadRequestError('NO_PATH', 'no path was given');
  }
  const { version, segmentBytes, systemIdentifier } = known;
  const placed = found.map((file) => placeFile(file, segmentBytes));
  placed.sort((a, b) => a.startLsn - b.startLsn || b.timelineId - a.timelineId);
  return { version, segmentBytes, systemIdentifier, ...followTimelines(placed) };
}

async function expandPath(files: Files, path: string): Promise<string[]> {
  const { kind } = await files.stat(path);
  if (kind !== 'directory') return [path];
  const names = await files.list(path);
  // A data directory: its WAL is what was meant.
  if (names.includes('pg_wal') && names.includes('PG_VERSION'))
    return expandPath(files, join(path, 'pg_wal'));
  const segments = names.filter(isSegmentName);
  if (segments.length === 0) {
    throw new VarveError('not-found', 'NO_WAL_SEGMENTS', 'the directory holds no WAL segments', {
      file: path,
    });
  }
  return segments.map((name) => join(path, name));
}

async function readFirstHeader(files: Files, path: string): Promise<FoundFile> {
  await using file = await files.open(path);
  const bytes = new Uint8Array(LONG_HEADER_BYTES);
  const length = await file.read(bytes, 0, LONG_HEADER_BYTES, 0);
  return { path, sizeBytes: file.sizeBytes, header: decodeLongHeader(bytes.subarray(0, length), path) };
}

/** What a segment's first page says, or why it says nothing. */
function decodeLongHeader(bytes: Uint8Array, path: string): LongHeader | CorruptionError {
  const refuse = (reason: string): CorruptionError =>
    new CorruptionError('BAD_WAL_HEADER', reason, { file: path, offset: 0 });
  if (bytes.length < LONG_HEADER_BYTES) return refuse(`${bytes.length} bytes are no WAL segment`);
  if (bytes.every((byte) => byte === 0))
    return refuse('no WAL has been written to this file: it begins with zeros');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint16(WAL_HEADER_MAGIC, true);
  const version = findPostgresVersionByWalMagic(magic);
  if (version === undefined) {
    return refuse(`0x${magic.toString(16)} is not the magic number of WAL of a supported PostgreSQL`);
  }
  if ((view.getUint16(WAL_HEADER_INFO, true) & WAL_PAGE_LONG_HEADER) === 0) {
    return refuse('the first page does not have the long header of a segment');
  }
  const segmentBytes = view.getUint32(WAL_HEADER_SEGMENT_SIZE, true);
  if (!isSegmentSize(segmentBytes)) return refuse(`${segmentBytes} bytes are no size of a WAL segment`);
  try {
    const pageLsn = readLsn(view, WAL_HEADER_PAGE_ADDRESS);
    if (pageLsn % segmentBytes !== 0)
      return refuse('the address of the first page is not where a segment begins');
    const systemIdentifier = view.getBigUint64(WAL_HEADER_SYSTEM_IDENTIFIER, true);
    return { version, segmentBytes, systemIdentifier, pageLsn };
  } catch (error) {
    if (error instanceof CorruptionError) return refuse(error.reason);
    throw error;
  }
}

function placeFile({ path, sizeBytes, header }: FoundFile, segmentBytes: number): WalSegment {
  if (sizeBytes > segmentBytes) {
    throw new CorruptionError(
      'BAD_SEGMENT_LENGTH',
      `the file has ${sizeBytes} bytes, more than the ${segmentBytes} of its segment`,
      { file: path, offset: segmentBytes },
    );
  }
  const name = basename(path);
  if (isSegmentName(name)) {
    const { timelineId, segment } = parseSegmentName(name, segmentBytes);
    return { path, sizeBytes, timelineId, startLsn: segment * segmentBytes };
  }
  if (header instanceof CorruptionError) throw header;
  return { path, sizeBytes, timelineId: 0, startLsn: header.pageLsn };
}

/**
 * Of each segment the file of the newest timeline, and after that none of an older one: that timeline has forked off
 * before, and what the older one went on to write is not its past.
 */
function followTimelines(sorted: readonly WalSegment[]): Pick<WalSegments, 'segments' | 'abandonedPaths'> {
  const segments: WalSegment[] = [];
  const abandonedPaths: string[] = [];
  for (const candidate of sorted) {
    const last = segments.at(-1);
    if (last?.startLsn === candidate.startLsn && last.timelineId === candidate.timelineId) {
      throw new BadRequestError('DUPLICATE_SEGMENT', `this is the same segment as ${last.path}`, {
        file: candidate.path,
      });
    }
    const isAbandoned =
      last !== undefined &&
      (last.startLsn === candidate.startLsn ||
        (candidate.timelineId > 0 && candidate.timelineId < last.timelineId));
    if (isAbandoned) abandonedPaths.push(candidate.path);
    else segments.push(candidate);
  }
  return { segments, abandonedPaths };
}

/** The file and the offset in it of an LSN; undefined where no file has it. */
export function locateLsn(
  { segments, segmentBytes }: WalSegments,
  lsn: number,
): { readonly file: string; readonly offset: number } | undefined {
  const segment = segments.find(({ startLsn }) => lsn >= startLsn && lsn < startLsn + segmentBytes);
  return segment === undefined ? undefined : { file: segment.path, offset: lsn - segment.startLsn };
}
