import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { Files } from '../../io/files.ts';
import type { Key } from '../keyspace/key.ts';

/** Where the values go, in ascending order of their keys. The bytes are valid until it resolves. */
export interface ImportTarget {
  put(key: Key, value: Uint8Array): Promise<void> | void;
}

/** Files that are read whole are small ones, the longest a segment of an SLRU. */
const WHOLE_FILE_BYTES_MAX: number = 64 * 1024 * 1024;

export const isMissing = (error: unknown): boolean =>
  error instanceof VarveError && error.kind === 'not-found';

export async function readWholeFile(files: Files, path: string): Promise<Uint8Array> {
  await using file = await files.open(path);
  if (file.sizeBytes > WHOLE_FILE_BYTES_MAX) {
    throw new CorruptionError('FILE_TOO_LONG', `a file of its kind never has ${file.sizeBytes} bytes`, {
      file: path,
    });
  }
  const bytes = new Uint8Array(file.sizeBytes);
  const length = await file.read(bytes, 0, bytes.length, 0);
  if (length < bytes.length) throw new CorruptionError('FILE_TOO_SHORT', 'the file was cut', { file: path });
  return bytes;
}

/** Names in a directory; none where there is no such directory. */
export async function listOrNothing(files: Files, directory: string): Promise<string[]> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
