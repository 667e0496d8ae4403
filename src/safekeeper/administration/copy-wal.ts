import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { ReadableFile, UpdatableFile } from '../../io/files.ts';
import { segmentBefore } from '../wal/cut-wal.ts';
import type { WalDirectory } from '../wal/wal-directory.ts';

const CHUNK_BYTES = 256 * 1024;

/**
 * Copies the segments of one directory, from the first one that is given up to `untilLsn`, into another one, which has
 * no WAL yet. Each is synced, and has the name that it should have; behind `untilLsn` there are zeros. The caller syncs
 * the directory.
 *
 * @param checkGoesOn called from time to time; throws to stop
 * @throws VarveError ‘unavailable’ / WAL_TRIMMED where a segment is removed meanwhile
 */
export async function copyWal(
  from: WalDirectory,
  to: WalDirectory,
  firstSegment: number,
  untilLsn: Lsn,
  checkGoesOn: () => void,
): Promise<void> {
  const { segmentBytes } = from;
  const lastSegment = segmentBefore(untilLsn, segmentBytes);
  for (let segment = firstSegment; segment <= lastSegment; segment++) {
    const lengthBytes = Math.min(segmentBytes, untilLsn - segment * segmentBytes);
    const path = lengthBytes === segmentBytes ? to.completePath(segment) : to.partialPath(segment);
    await using source = await openSegment(from, segment);
    await using target = await to.files.openForUpdate(path);
    await copyBytes(source, target, lengthBytes, checkGoesOn);
    if (lengthBytes < segmentBytes) await target.resize(segmentBytes);
    await target.sync();
  }
}

async function openSegment(directory: WalDirectory, segment: number): Promise<ReadableFile> {
  const file = await directory.open(segment);
  if (file === undefined) throw trimmed(directory, segment);
  return file;
}

async function copyBytes(
  source: ReadableFile,
  target: UpdatableFile,
  lengthBytes: number,
  checkGoesOn: () => void,
): Promise<void> {
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, lengthBytes));
  for (let offset = 0; offset < lengthBytes; ) {
    checkGoesOn();
    const count = await source.read(chunk, 0, Math.min(chunk.length, lengthBytes - offset), offset);
    if (count === 0) {
      throw new VarveError('corruption', 'WAL_MISSING', 'the segment is too short', {
        file: source.path,
        offset,
      });
    }
    await target.write(chunk, 0, count, offset);
    offset += count;
  }
}

function trimmed(directory: WalDirectory, segment: number): VarveError {
  return new VarveError('unavailable', 'WAL_TRIMMED', 'a segment was removed while it was to be copied', {
    file: directory.completePath(segment),
  });
}
