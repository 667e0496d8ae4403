import { BadRequestError, VarveError } from '../../base/errors.ts';
import { type TarEntry, TarReader } from '../../base/tar/tar-reader.ts';
import { throwIfCancelled, untilCancelled } from '../../io/cancelled.ts';
import type { Files } from '../../io/files.ts';

/** No cluster has as many files as this. */
const FILES_MAX = 4_000_000;
/** What is left of the disk to everybody else. */
const SPARE_BYTES: number = 512 * 1024 * 1024;
/** Archives are filled up with zeros behind their end, to a multiple of ten blocks or so. */
const BEHIND_END_BYTES_MAX: number = 1024 * 1024;

/** Where a file of an archive goes. */
export interface ArchivePlace {
  /** Relative to where the archive goes. */
  readonly path: string;
  readonly sizeBytesMax: number;
}

export interface ArchiveTarget {
  readonly files: Files;
  /** It exists. */
  readonly directory: string;
  /** undefined: the entry is passed over. @throws VarveError for one that nothing can be done with */
  readonly placeOf: (entry: TarEntry) => ArchivePlace | undefined;
}

/**
 * Writes those files of a tar archive below a directory that have a place there, as they come. The archive may be anything.
 * @returns their paths
 * @throws CorruptionError BAD_ARCHIVE; BadRequestError ARCHIVE_TOO_LARGE, DUPLICATE_FILE; what `placeOf` throws; VarveError
 *   ‘unavailable’ / NO_SPACE; what the stream or the disk fail of; ‘cancelled’
 */
export async function receiveArchive(
  archive: AsyncIterable<Uint8Array>,
  target: ArchiveTarget,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const chunks = archive[Symbol.asyncIterator]();
  const reader = new TarReader({
    [Symbol.asyncIterator]: () => ({ next: () => untilCancelled(signal, chunks.next()) }),
  });
  const paths = new Set<string>();
  const directories = new Set<string>();
  try {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      const place = target.placeOf(entry);
      if (entry.type !== 'file') continue;
      if (place === undefined) await reader.skip();
      else await receiveFile(reader, entry, place, { ...target, paths, directories });
    }
    await readBehindEnd(chunks, signal);
  } finally {
    // A stream of which something is still awaited ends when that has come: nobody waits for it.
    chunks.return?.().catch(() => undefined);
  }
  return paths;
}

interface ReceivedFiles extends ArchiveTarget {
  readonly paths: Set<string>;
  readonly directories: Set<string>;
}

async function receiveFile(
  reader: TarReader,
  { name, sizeBytes }: TarEntry,
  { path, sizeBytesMax }: ArchivePlace,
  { files, directory, paths, directories }: ReceivedFiles,
): Promise<void> {
  if (sizeBytes > sizeBytesMax) refuse('ARCHIVE_TOO_LARGE', `${sizeBytes} bytes are too many for "${name}"`);
  if (paths.has(path)) refuse('DUPLICATE_FILE', `"${name}" is there twice`);
  if (paths.size === FILES_MAX) refuse('ARCHIVE_TOO_LARGE', 'the archive has too many files');
  paths.add(path);
  const parent = `${directory}/${path}`.replace(/\/[^/]*$/, '');
  if (!directories.has(parent)) {
    await files.makeDirectory(parent);
    directories.add(parent);
  }
  const { availableBytes } = await files.space(directory);
  if (sizeBytes > availableBytes - SPARE_BYTES) {
    throw new VarveError('unavailable', 'NO_SPACE', 'there is too little space for what is imported');
  }
  await using file = await files.openForUpdate(`${directory}/${path}`);
  let position = 0;
  for (let piece = await reader.read(); piece !== undefined; piece = await reader.read()) {
    await file.write(piece, 0, piece.length, position);
    position += piece.length;
  }
}

/** Whoever sends it waits until all of it is taken. */
async function readBehindEnd(chunks: AsyncIterator<Uint8Array>, signal: AbortSignal): Promise<void> {
  for (let length = 0; length <= BEHIND_END_BYTES_MAX; ) {
    throwIfCancelled(signal);
    const next = await untilCancelled(signal, chunks.next());
    if (next.done === true) return;
    length += next.value.length;
  }
}

function refuse(code: string, reason: string): never {
  throw new BadRequestError(code, reason);
}
