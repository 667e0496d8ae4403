/** Destroying WAL, so that nothing of it can ever be taken for a part of what comes instead. */
import type { Lsn } from '../../base/lsn.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { LocalSegment, WalDirectory } from './wal-directory.ts';

/** The segment with the last byte before `lsn`. */
export function segmentBefore(lsn: number, segmentBytes: number): number {
  return segmentNumber(lsn, segmentBytes) - (lsn % segmentBytes === 0 ? 1 : 0);
}

/**
 * Leaves nothing but zeros behind `lsn`, durably, and gives all segments the names that they should have.
 *
 * Each step only takes away from the end, so a crash at any moment leaves WAL that goes at least up to `lsn`. Later
 * segments go before the cut, the last first: else a scan could go on from the cut into what is stale.
 */
export async function cutWal(directory: WalDirectory, lsn: Lsn): Promise<void> {
  const { segmentBytes } = directory;
  const last = segmentBefore(lsn, segmentBytes);
  const segments = await directory.list();
  const later = segments.filter(({ segment }) => segment > last).reverse();
  for (const segment of later) await directory.remove(segment);
  if (later.length > 0) await directory.sync();
  let isRenamed = false;
  for (const segment of segments) {
    if (segment.segment > last) continue;
    const isWritten = segment.segment === last && lsn % segmentBytes !== 0;
    if (isWritten) await cutSegment(directory, segment, lsn % segmentBytes);
    isRenamed = (await nameSegment(directory, segment, isWritten)) || isRenamed;
  }
  if (isRenamed) await directory.sync();
}

async function cutSegment(directory: WalDirectory, segment: LocalSegment, offset: number): Promise<void> {
  const { segment: number, isPartial } = segment;
  const path = isPartial ? directory.partialPath(number) : directory.completePath(number);
  await using file = await directory.files.openForUpdate(path);
  await file.resize(offset);
  await file.resize(directory.segmentBytes);
  await file.sync();
}

/** Gives a segment the one name that it should have. Returns whether something had to be done. */
async function nameSegment(
  directory: WalDirectory,
  { segment, isComplete, isPartial }: LocalSegment,
  isWritten: boolean,
): Promise<boolean> {
  const { files } = directory;
  const partial = directory.partialPath(segment);
  const complete = directory.completePath(segment);
  const hasBoth = isComplete && isPartial;
  // Of two names of one file the rename to the other would leave both.
  if (hasBoth) await files.remove(complete);
  if (isWritten && !isPartial) await files.rename(complete, partial);
  if (!isWritten && isPartial) await files.rename(partial, complete);
  return hasBoth || isWritten !== isPartial;
}
