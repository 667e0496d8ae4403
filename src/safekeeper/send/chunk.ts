import type { Lsn } from '../../base/lsn.ts';
import { WAL_PAGE_BYTES } from '../../postgres/wal/page-header.ts';

/**
 * Where the next piece to send ends: never beyond a segment, and at the border of a page unless it reaches the end of
 * what is available (protocol §1.5; walsender.c, XLogSendPhysical).
 */
export function chunkEnd(beginLsn: Lsn, availableLsn: Lsn, segmentBytes: number, bytesMax: number): Lsn {
  const segmentEnd = beginLsn - (beginLsn % segmentBytes) + segmentBytes;
  const end = Math.min(availableLsn, segmentEnd, beginLsn + bytesMax);
  if (end === availableLsn || end % WAL_PAGE_BYTES === 0) return end as Lsn;
  return (end - (end % WAL_PAGE_BYTES)) as Lsn;
}
