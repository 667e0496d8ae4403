import { tarPaddingBytes } from '../../base/tar/tar-format.ts';
import { tarHeader } from '../../base/tar/tar-writer.ts';
import type { ClusterFile } from '../start-set/cluster-file.ts';

/** Zeros are sent from here. */
const ZEROS: Uint8Array = new Uint8Array(128 * 1024);

/** A directory with its header alone. */
export function directoryEntry(path: string, modifiedSeconds: number): Uint8Array {
  return tarHeader({ name: path, type: 'directory', sizeBytes: 0, modifiedSeconds });
}

/** A file with its header and its padding. */
export function* fileEntry(file: ClusterFile, modifiedSeconds: number): Generator<Uint8Array> {
  const { path, sizeBytes, pieces } = file;
  yield tarHeader({ name: path, sizeBytes, modifiedSeconds });
  let at = 0;
  for (const { offset, bytes } of pieces) {
    yield* zeros(offset - at);
    yield bytes;
    at = offset + bytes.length;
  }
  yield* zeros(sizeBytes - at + tarPaddingBytes(sizeBytes));
}

function* zeros(lengthBytes: number): Generator<Uint8Array> {
  for (let left = lengthBytes; left > 0; left -= ZEROS.length) {
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
  }
}
