import type { UpdatableFile } from '../../io/files.ts';
import { SCAN_CHUNK_BYTES } from './find-end.ts';
import type { LocalSegment, WalDirectory } from './wal-directory.ts';

/**
 * Makes WAL durable that a scan has found. It may only be in the operating system's cache: from a process that ended
 * before its sync, or, worse, after a sync that failed, when a further sync would say nothing of what was lost. So it
 * is written once more, the same bytes to the same place, and then synced.
 *
 * @param segments those of the directory
 */
export async function rewriteTail(
  directory: WalDirectory,
  segments: readonly LocalSegment[],
  startLsn: number,
  endLsn: number,
): Promise<void> {
  const { segmentBytes } = directory;
  for (const { segment, isPartial } of segments) {
    const segmentLsn = segment * segmentBytes;
    const from = Math.max(startLsn, segmentLsn) - segmentLsn;
    const to = Math.min(endLsn, segmentLsn + segmentBytes) - segmentLsn;
    if (from >= to) continue;
    const path = isPartial ? directory.partialPath(segment) : directory.completePath(segment);
    await using file = await directory.files.openForUpdate(path);
    await rewrite(file, from, to);
    await file.sync();
  }
  await directory.sync();
}

async function rewrite(file: UpdatableFile, from: number, to: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(SCAN_CHUNK_BYTES, to - from));
  for (let offset = from; offset < to; ) {
    const length = await file.read(buffer, 0, Math.min(buffer.length, to - offset), offset);
    if (length === 0) return;
    await file.write(buffer, 0, length, offset);
    offset += length;
  }
}
