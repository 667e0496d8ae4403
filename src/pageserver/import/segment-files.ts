import { BadRequestError } from '../../base/errors.ts';
import { formatLsn, type Lsn } from '../../base/lsn.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Files } from '../../io/files.ts';
import { RM_XLOG } from '../../postgres/rmgr/resource-manager.ts';
import { type XlogBody, xlogResourceManager } from '../../postgres/rmgr/xlog.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import { LONG_HEADER_BYTES } from '../../postgres/wal/page-header.ts';
import { RECORD_RESOURCE_MANAGER } from '../../postgres/wal/record-header.ts';
import { formatSegmentName, segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalPageChecker } from '../../postgres/wal/wal-page-checker.ts';
import { WalReader } from '../../postgres/wal/wal-reader.ts';
import { feedFromFiles } from '../ingest/receiver/wal-file-source.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { TimelineIntake } from '../timeline/timeline-intake.ts';

const PIECE_BYTES = 1024 * 1024;
/** PostgreSQL's: storage goes on with the one timeline of its ancestor, and begins with the first. */
export const POSTGRES_TIMELINE = 1;

/** WAL in segment files, as they came from somewhere. */
export interface SegmentFiles {
  readonly files: Files;
  readonly directory: string;
  readonly version: PostgresVersion;
  readonly segmentBytes: number;
  readonly systemIdentifier: bigint;
  /** Where a record begins. */
  readonly startLsn: Lsn;
  /** Where one ends. */
  readonly endLsn: Lsn;
}

/** Numbers of the first and the last segment that have something of it. */
export function segmentsBetween(
  startLsn: Lsn,
  endLsn: Lsn,
  segmentBytes: number,
): [first: number, last: number] {
  return [segmentNumber(startLsn, segmentBytes), segmentNumber(Math.max(startLsn, endLsn - 1), segmentBytes)];
}

/**
 * Reads all of the WAL, before anything of it is taken in: whether it is whole, of this system, and ends where it is said to.
 * @param onXlog is given what records of the WAL about itself say, in their order
 * @throws CorruptionError BAD_WAL; BadRequestError WAL_MISSING, WAL_ENDS_EARLY, END_IN_RECORD; ‘cancelled’
 */
export async function verifySegments(
  wal: SegmentFiles,
  onXlog: (body: XlogBody) => void,
  signal: AbortSignal,
): Promise<void> {
  const { segmentBytes, startLsn, endLsn } = wal;
  const [first, last] = segmentsBetween(startLsn, endLsn, segmentBytes);
  const reader = new WalReader({
    ...wal,
    mode: 'exact',
    timelineId: POSTGRES_TIMELINE,
    file: 'the imported WAL',
  });
  const record = new DecodedRecord(wal.version);
  const readRecords = (): void => {
    while (reader.endLsn < endLsn && reader.next()) {
      const { workspace, recordOffset } = reader;
      if (workspace.bytes[recordOffset + RECORD_RESOURCE_MANAGER] !== RM_XLOG) continue;
      reader.decode(record);
      onXlog(xlogResourceManager.decodeBody(record));
    }
  };
  for (let segment = first; segment <= last; segment++)
    await readSegment(wal, segment, reader, readRecords, signal);
  const { end } = reader;
  if (reader.endLsn < endLsn) {
    const reason = end === undefined ? 'the last record is cut off' : end.reason;
    refuse('WAL_ENDS_EARLY', `the WAL ends at ${formatLsn(reader.endLsn)}: ${reason}`);
  }
  if (reader.endLsn > endLsn) refuse('END_IN_RECORD', `no record ends at ${formatLsn(endLsn)}`);
}

async function readSegment(
  wal: SegmentFiles,
  segment: number,
  reader: WalReader,
  readRecords: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { files, directory, segmentBytes } = wal;
  const name = formatSegmentName(POSTGRES_TIMELINE, segment, segmentBytes);
  if (!(await files.list(directory)).includes(name)) refuse('WAL_MISSING', `the segment ${name} is missing`);
  const segmentLsn = segment * segmentBytes;
  await using file = await files.open(`${directory}/${name}`);
  const piece = new Uint8Array(PIECE_BYTES);
  const headerBytes = await file.read(piece, 0, LONG_HEADER_BYTES, 0);
  if (headerBytes < LONG_HEADER_BYTES) refuse('WAL_MISSING', `the segment ${name} is empty`);
  // Reading may begin behind it.
  new WalPageChecker({ ...wal, timelineId: POSTGRES_TIMELINE, file: name }).check(
    new DataView(piece.buffer, 0, LONG_HEADER_BYTES),
    segmentLsn,
    LONG_HEADER_BYTES,
  );
  while (reader.endLsn < wal.endLsn && reader.end === undefined) {
    throwIfCancelled(signal);
    const offset = reader.position - segmentLsn;
    const length = await file.read(piece, 0, Math.min(PIECE_BYTES, segmentBytes - offset), offset);
    if (length === 0) return;
    reader.feed(piece, 0, length);
    readRecords();
  }
}

/**
 * Takes the WAL in, which has been verified.
 * @throws VarveError ‘conflict’ / WAL_COMES_FROM_ELSEWHERE; as TimelineIntake.take; ‘cancelled’
 */
export async function takeSegments(
  wal: SegmentFiles,
  timeline: Timeline,
  signal: AbortSignal,
): Promise<void> {
  const intake = await TimelineIntake.start(timeline);
  await feedFromFiles({ ...wal, intake, signal });
}

function refuse(code: string, reason: string): never {
  throw new BadRequestError(code, reason);
}
