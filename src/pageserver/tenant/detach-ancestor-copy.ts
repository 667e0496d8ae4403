import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { UpdatableFile } from '../../io/files.ts';
import { bodyPieces } from '../../io/object-body.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import { checkLayerIs, decodeLayerHeader, withOwner } from '../layers/format/layer-header.ts';
import { HEADER_BYTES } from '../layers/format/layout.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { formatLayerFileName } from '../layers/layer-name.ts';
import { layerBody } from '../remote/layer-transfer.ts';
import { layerKey } from '../remote/object-keys.ts';
import { toIndexLayer } from '../remote/timeline-index.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { TimelineLayer } from '../timeline/timeline-layer.ts';

/**
 * Makes a layer of one timeline one of another timeline of the tenant: the same file but for its header. Read from the
 * disk where it is, from the bucket otherwise.
 * @param layer is held meanwhile
 * @param temporaryName nobody else in the directory uses it
 * @throws CorruptionError; VarveError ‘not-found’ / OBJECT_NOT_FOUND; what the disk or the bucket fail of
 */
export async function copyLayer(
  from: Timeline,
  layer: TimelineLayer,
  to: Timeline,
  temporaryName: string,
  signal: AbortSignal,
): Promise<LayerDescription> {
  const { files } = to.doors;
  const description: LayerDescription = { ...layer.description, generation: to.generation };
  const temporaryPath = `${to.directory}/${temporaryName}${TEMPORARY_SUFFIX}`;
  const copy = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
    await using file = await files.openForUpdate(temporaryPath);
    await file.resize(0);
    await writeCopy(file, pieces, from, layer, to);
    await file.sync();
  };
  try {
    if (
      !(await copyLocal(layer, () => copy(bodyPieces(layerBody(files, layer.path, layer.sizeBytes), signal))))
    ) {
      const key = layerKey(from, toIndexLayer(layer));
      await copy(from.doors.remote.objects.getStream(key, { signal, end: layer.sizeBytes + 1 }));
    }
    await files.rename(temporaryPath, `${to.directory}/${formatLayerFileName(description)}`);
  } catch (error) {
    await removeLeftOver(to, temporaryPath);
    throw error;
  }
  await files.syncDirectory(to.directory);
  return description;
}

/** false: its file is not here. */
async function copyLocal(layer: TimelineLayer, copy: () => Promise<void>): Promise<boolean> {
  if (!layer.isLocal) return false;
  try {
    await copy();
    return true;
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return false;
    throw error;
  }
}

async function writeCopy(
  file: UpdatableFile,
  pieces: AsyncIterable<Uint8Array>,
  from: Timeline,
  layer: TimelineLayer,
  to: Timeline,
): Promise<void> {
  let head: Uint8Array = new Uint8Array(0);
  let position = 0;
  for await (const piece of pieces) {
    if (position + piece.length <= layer.sizeBytes) await file.write(piece, 0, piece.length, position);
    if (head.length < HEADER_BYTES)
      head = Buffer.concat([head, piece.subarray(0, HEADER_BYTES - head.length)]);
    position += piece.length;
  }
  if (position !== layer.sizeBytes) {
    throw new CorruptionError(
      'LAYER_SIZE',
      `the layer has ${position} bytes, the index says ${layer.sizeBytes}`,
      {
        file: layer.path,
      },
    );
  }
  const { tenantId, timelineId } = from;
  const header = decodeLayerHeader(head, position, layer.path);
  checkLayerIs(header, { tenantId, timelineId, description: layer.description }, layer.path);
  await file.write(withOwner(head, to.timelineId, to.generation), 0, HEADER_BYTES, 0);
}

/** After a failure, whose error says more. What cannot be removed is removed when the tenant is next loaded. */
async function removeLeftOver({ doors }: Timeline, path: string): Promise<void> {
  try {
    await doors.files.remove(path);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
  }
}
