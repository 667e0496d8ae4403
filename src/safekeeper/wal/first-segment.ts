import { alignLsn, type Lsn } from '../../base/lsn.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import type { PostgresVersion } from '../../postgres/versions/version.ts';
import {
  LONG_HEADER_BYTES,
  WAL_PAGE_BYTES,
  WAL_PAGE_FIRST_IS_CONTRECORD,
  walPageHeaderBytes,
  writeWalPageHeader,
} from '../../postgres/wal/page-header.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WAL_TIMELINE_ID, type WalDirectory } from './wal-directory.ts';

export interface FirstSegmentOptions {
  readonly directory: WalDirectory;
  /** Where WAL will begin: the end of a record. */
  readonly lsn: Lsn;
  readonly version: PostgresVersion;
  readonly systemIdentifier: bigint;
}

/** A page header before the first WAL, which lets a reader pass over what is missing up to `lsn`. */
function makeHeader(options: FirstSegmentOptions, pageLsn: number): Uint8Array {
  const { lsn, version, systemIdentifier, directory } = options;
  const { segmentBytes } = directory;
  const headerBytes = walPageHeaderBytes(pageLsn, segmentBytes);
  const bytes = new Uint8Array(headerBytes);
  const remainingLength = lsn - pageLsn < WAL_PAGE_BYTES ? lsn - pageLsn - headerBytes : 0;
  writeWalPageHeader(new DataView(bytes.buffer), 0, {
    version,
    timelineId: WAL_TIMELINE_ID,
    pageLsn,
    flags: remainingLength > 0 ? WAL_PAGE_FIRST_IS_CONTRECORD : 0,
    remainingLength,
    segmentBytes,
    systemIdentifier,
  });
  return bytes;
}

/**
 * Makes the segment in which a safekeeper's WAL begins, in place of all segments that are there. Tools that read WAL
 * need the header of its first page, and one on the page where WAL begins; all other bytes before `lsn` are zero. The
 * header of a page or segment that begins at `lsn` is WAL, which is to come.
 *
 * After a crash the segment is there whole or not at all.
 */
export async function makeFirstSegment(options: FirstSegmentOptions): Promise<void> {
  const { directory, lsn } = options;
  const { files, segmentBytes } = directory;
  for (const segment of (await directory.list()).reverse()) await directory.remove(segment);
  const segment = segmentNumber(lsn, segmentBytes);
  const segmentLsn = segment * segmentBytes;
  const pageLsn = lsn - (lsn % WAL_PAGE_BYTES);
  const temporaryPath = `${directory.path}/first-segment${TEMPORARY_SUFFIX}`;
  await using file = await files.openForUpdate(temporaryPath);
  await file.resize(0);
  await file.resize(segmentBytes);
  if (lsn > segmentLsn) await file.write(makeHeader(options, segmentLsn), 0, LONG_HEADER_BYTES, 0);
  if (lsn > pageLsn && pageLsn > segmentLsn) {
    const header = makeHeader(options, pageLsn);
    await file.write(header, 0, header.length, pageLsn - segmentLsn);
  }
  await file.sync();
  await file.close();
  await files.rename(temporaryPath, directory.partialPath(segment));
  await directory.sync();
}

/** Whether WAL may begin at `lsn`: a record end is aligned, and never within a page header. */
export function canBeginAt(lsn: number, segmentBytes: number): boolean {
  const pageLsn = lsn - (lsn % WAL_PAGE_BYTES);
  const isInHeader = lsn > pageLsn && lsn - pageLsn < walPageHeaderBytes(pageLsn, segmentBytes);
  return lsn > 0 && alignLsn(lsn) === lsn && !isInHeader;
}
