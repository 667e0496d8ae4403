import type { PostgresVersion } from '../../postgres/versions/version.ts';
import {
  LONG_HEADER_BYTES,
  WAL_HEADER_INFO,
  WAL_PAGE_BACKUP_REMOVABLE,
  WAL_PAGE_BYTES,
  writeWalPageHeader,
} from '../../postgres/wal/page-header.ts';
import { formatSegmentName, segmentNumber } from '../../postgres/wal/segment-name.ts';
import { WalWriter } from '../../postgres/wal/wal-writer.ts';
import type { ClusterFile, FilePiece } from './cluster-file.ts';

/** The only timeline of PostgreSQL's own that clusters of ours are on: storage's branches have a history of their own. */
export const WAL_TIMELINE_ID = 1;

/** Of which cluster WAL is. */
export interface WalIdentity {
  readonly version: PostgresVersion;
  readonly systemIdentifier: bigint;
  readonly walSegmentBytes: number;
}

/** @param startLsn aligned. @param previousLsn start of the record before */
export function writerAt(identity: WalIdentity, startLsn: number, previousLsn: number): WalWriter {
  const { version, systemIdentifier, walSegmentBytes } = identity;
  return new WalWriter({
    version,
    systemIdentifier,
    timelineId: WAL_TIMELINE_ID,
    segmentBytes: walSegmentBytes,
    startLsn,
    previousLsn,
  });
}

/**
 * Segment files with what a writer has written. A server that opens a segment looks at its first page's header
 * (xlogreader.c, ReadPageInternal), so that is there too.
 *
 * Headers of pages that begin at or above `fromLsn` are marked as those of a server that makes no backup are
 * (AdvanceXLInsertBuffer): where such a server has written the same header before, the bytes are the same.
 */
export function toSegmentFiles(identity: WalIdentity, writer: WalWriter, fromLsn: number): ClusterFile[] {
  const { walSegmentBytes } = identity;
  const bytes = writer.take();
  const base = writer.baseLsn;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let page = 0; page < bytes.length; page += WAL_PAGE_BYTES) {
    if (base + page < fromLsn) continue;
    const info = view.getUint16(page + WAL_HEADER_INFO, true);
    view.setUint16(page + WAL_HEADER_INFO, info | WAL_PAGE_BACKUP_REMOVABLE, true);
  }
  const files: ClusterFile[] = [];
  const end = base + bytes.length;
  for (let segment = segmentNumber(base, walSegmentBytes); segment * walSegmentBytes < end; segment++) {
    const segmentStart = segment * walSegmentBytes;
    const start = Math.max(base, segmentStart);
    const pieces: FilePiece[] = [];
    if (start > segmentStart) pieces.push({ offset: 0, bytes: firstHeader(identity, segmentStart) });
    const stop = Math.min(end, segmentStart + walSegmentBytes);
    pieces.push({ offset: start - segmentStart, bytes: bytes.subarray(start - base, stop - base) });
    const name = formatSegmentName(WAL_TIMELINE_ID, segment, walSegmentBytes);
    files.push({ path: `pg_wal/${name}`, sizeBytes: walSegmentBytes, pieces });
  }
  return files;
}

function firstHeader(identity: WalIdentity, pageLsn: number): Uint8Array {
  const bytes = new Uint8Array(LONG_HEADER_BYTES);
  writeWalPageHeader(new DataView(bytes.buffer), 0, {
    version: identity.version,
    systemIdentifier: identity.systemIdentifier,
    timelineId: WAL_TIMELINE_ID,
    pageLsn,
    flags: 0,
    remainingLength: 0,
    segmentBytes: identity.walSegmentBytes,
  });
  return bytes;
}
