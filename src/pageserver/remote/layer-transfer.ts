import { dirname } from 'node:path';
import { CorruptionError, VarveError } from '../../base/errors.ts';
import { allocateAligned } from '../../io/aligned-buffer.ts';
import type { Files } from '../../io/files.ts';
import type { ObjectBody, ObjectStore } from '../../io/objects.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import { layerKey, type TimelineName } from './object-keys.ts';
import type { IndexLayer } from './timeline-index.ts';

const PIECE_BYTES: number = 256 * 1024;
/** Buffers of pieces that nobody uses: so many are kept, and used for one upload after another. */
const FREE_PIECES_MAX = 4;
const freePieces: Uint8Array[] = [];

/** A local layer file as the body of an object, read anew at each try. */
export function layerBody(files: Files, path: string, sizeBytes: number): Exclude<ObjectBody, Uint8Array> {
  return { sizeBytes, pieces: () => pieces(files, path, sizeBytes) };
}

async function* pieces(files: Files, path: string, sizeBytes: number): AsyncGenerator<Uint8Array> {
  await using file = await files.open(path);
  if (file.sizeBytes !== sizeBytes) {
    throw new CorruptionError(
      'LAYER_SIZE',
      `the file has ${file.sizeBytes} bytes, the layer has ${sizeBytes}`,
      {
        file: path,
      },
    );
  }
  const buffer = freePieces.pop() ?? allocateAligned(PIECE_BYTES);
  try {
    for (let position = 0; position < sizeBytes; position += PIECE_BYTES) {
      const wanted = Math.min(PIECE_BYTES, sizeBytes - position);
      const length = await file.read(buffer, 0, wanted, position);
      if (length < wanted) {
        throw new CorruptionError('LAYER_SIZE', 'the file was cut', {
          file: path,
          offset: position + length,
        });
      }
      yield buffer.subarray(0, wanted);
    }
  } finally {
    if (freePieces.length < FREE_PIECES_MAX) freePieces.push(buffer);
  }
}

/**
 * Fetches a layer into a local file: under a temporary name, which is synced and renamed, so that a file under the
 * layer's name is whole, whenever a crash comes. Two downloads to one path must not overlap.
 *
 * @throws CorruptionError LAYER_SIZE with the key, where the object has not the size that the index says;
 *   VarveError ‘corruption’ / LAYER_OBJECT_MISSING; what the store or the disk fail with
 */
export async function downloadLayer(
  { files, objects }: { readonly files: Files; readonly objects: ObjectStore },
  timeline: TimelineName,
  layer: IndexLayer,
  toPath: string,
  signal: AbortSignal,
): Promise<void> {
  const temporaryPath = toPath + TEMPORARY_SUFFIX;
  try {
    await writeObject(files, objects, layerKey(timeline, layer), layer.sizeBytes, temporaryPath, signal);
    await files.rename(temporaryPath, toPath);
  } catch (error) {
    await removeLeftOver(files, temporaryPath);
    throw error;
  }
  await files.syncDirectory(dirname(toPath));
}

async function writeObject(
  files: Files,
  objects: ObjectStore,
  key: string,
  sizeBytes: number,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  await using file = await files.openForUpdate(path);
  await file.resize(0);
  let position = 0;
  try {
    // One byte more than there should be, to see an object that is too large without fetching all of it.
    for await (const piece of objects.getStream(key, { signal, end: sizeBytes + 1 })) {
      if (position + piece.length <= sizeBytes) await file.write(piece, 0, piece.length, position);
      position += piece.length;
    }
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'OBJECT_NOT_FOUND') throw error;
    throw new CorruptionError(
      'LAYER_OBJECT_MISSING',
      'the index names a layer that is not there',
      { file: key },
      error,
    );
  }
  if (position !== sizeBytes) {
    const found = position > sizeBytes ? `more than ${sizeBytes}` : `${position}`;
    throw new CorruptionError('LAYER_SIZE', `the object has ${found} bytes, the index says ${sizeBytes}`, {
      file: key,
    });
  }
  await file.sync();
}

/** After a failure, whose error says more than that of this removal would. The next download writes over it. */
async function removeLeftOver(files: Files, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
  }
}
