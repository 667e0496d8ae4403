import { BadRequestError, CorruptionError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Clock } from '../../io/clock.ts';
import type { Files, ReadableFile } from '../../io/files.ts';
import type { ObjectStore } from '../../io/objects.ts';
import { silentLogger } from '../../observe/log.ts';
import { checkLayerIs, type LayerHeader } from '../layers/format/layer-header.ts';
import { readLayerHeader } from '../layers/format/read-layer.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { findLayerFile, formatLayerFileName, formatLayerName } from '../layers/layer-name.ts';
import { GENERATION_MAX } from '../remote/generation.ts';
import { type LoadedIndex, loadTimelineIndex } from '../remote/load-index.ts';
import { layerKey, type TimelineName } from '../remote/object-keys.ts';
import { toLayerDescription } from '../remote/timeline-index.ts';
import { ObjectFile } from './object-file.ts';

/** What looking at a timeline needs. Nothing is written through any of them. */
export interface InspectionDoors {
  readonly files: Files;
  readonly clock: Clock;
  /** The bucket, if the timeline is looked up in one. */
  readonly objects: ObjectStore | undefined;
  readonly signal: AbortSignal;
}

/** Where a timeline is: without `tenantId` and `timelineId` the directory is the timeline's own. */
export interface TimelinePlace {
  /** A pageserver's directory, or that of a timeline in it. */
  readonly directory: string | undefined;
  readonly tenantId: TenantId | undefined;
  readonly timelineId: TimelineId | undefined;
}

/** A layer and where to read it. */
export interface ContainedLayer {
  readonly description: LayerDescription;
  /** Path of the file, or key of the object. */
  readonly place: string;
  readonly isLocal: boolean;
  open(): Promise<ReadableFile>;
}

/** The layers of a timeline, oldest first. */
export interface TimelineContents {
  /** undefined: only the local files are known. Layers that are elsewhere are missing then. */
  readonly index: LoadedIndex | undefined;
  readonly layers: readonly ContainedLayer[];
}

const compareLayers = (left: ContainedLayer, right: ContainedLayer): number => {
  const a = left.description;
  const b = right.description;
  if (a.lsnStart !== b.lsnStart) return a.lsnStart - b.lsnStart;
  if (a.lsnEnd !== b.lsnEnd) return b.lsnEnd - a.lsnEnd;
  return formatLayerName(a) < formatLayerName(b) ? -1 : 1;
};

/**
 * Finds a timeline's layers without taking it over: by the newest index in the bucket, or, where no bucket is given, by
 * the names of the files.
 * @throws BadRequestError MISSING_ARGUMENT; VarveError ‘not-found’; CorruptionError; what the disk or the store fail of
 */
export async function findContents(doors: InspectionDoors, place: TimelinePlace): Promise<TimelineContents> {
  const directory = directoryOf(place);
  if (doors.objects !== undefined) {
    const { tenantId, timelineId } = place;
    if (tenantId === undefined || timelineId === undefined) {
      throw new BadRequestError(
        'MISSING_ARGUMENT',
        'a bucket has many timelines: say which tenant and timeline',
      );
    }
    return await byIndex(doors, doors.objects, { tenantId, timelineId }, directory);
  }
  if (directory === undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', 'say where the timeline is: a directory or a bucket');
  }
  return { index: undefined, layers: await byFiles(doors.files, directory) };
}

function directoryOf({ directory, tenantId, timelineId }: TimelinePlace): string | undefined {
  if (directory === undefined || (tenantId === undefined && timelineId === undefined)) return directory;
  if (tenantId === undefined || timelineId === undefined) {
    throw new BadRequestError('MISSING_ARGUMENT', 'tenant and timeline go together');
  }
  return `${directory}/tenants/${tenantId}/${timelineId}`;
}

async function byFiles(files: Files, directory: string): Promise<ContainedLayer[]> {
  const names = await files.list(directory);
  if (names.includes('tenants') && names.includes('deletion')) {
    throw new BadRequestError(
      'MISSING_ARGUMENT',
      "this is a pageserver's directory: say which tenant and timeline",
      {
        file: directory,
      },
    );
  }
  const layers = new Map<string, ContainedLayer>();
  for (const name of names) {
    const named = findLayerFile(name);
    if (named === undefined) continue;
    const path = `${directory}/${name}`;
    const { sizeBytes } = await files.stat(path);
    const layer = localLayer(files, path, { ...named, sizeBytes });
    // Names of one layer differ by the generation alone, so the newest comes last. Its values are the same.
    layers.set(formatLayerName(named), layer);
  }
  return [...layers.values()].sort(compareLayers);
}

async function byIndex(
  { files, clock, signal }: InspectionDoors,
  objects: ObjectStore,
  name: TimelineName,
  directory: string | undefined,
): Promise<TimelineContents> {
  const loading = { objects, clock, logger: silentLogger };
  // Whoever only reads may read what any attachment has written.
  const index = await loadTimelineIndex(loading, name, GENERATION_MAX, signal);
  const here = directory === undefined ? new Map<string, number>() : await sizesIn(files, directory);
  const layers = [...index.layers.values()].map((layer): ContainedLayer => {
    const description = toLayerDescription(layer);
    const fileName = formatLayerFileName(description);
    if (here.get(fileName) === description.sizeBytes) {
      return localLayer(files, `${directory}/${fileName}`, description);
    }
    const key = layerKey(name, layer);
    const open = async (): Promise<ReadableFile> =>
      new ObjectFile(objects, key, description.sizeBytes, signal);
    return { description, place: key, isLocal: false, open };
  });
  return { index, layers: layers.sort(compareLayers) };
}

const localLayer = (files: Files, path: string, description: LayerDescription): ContainedLayer => ({
  description,
  place: path,
  isLocal: true,
  open: () => files.open(path),
});

/** Sizes of layer files by name. A directory that is not there has none: everything is in the bucket then. */
async function sizesIn(files: Files, directory: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const name of await namesIn(files, directory)) {
    if (findLayerFile(name) === undefined) continue;
    sizes.set(name, (await files.stat(`${directory}/${name}`)).sizeBytes);
  }
  return sizes;
}

async function namesIn(files: Files, directory: string): Promise<string[]> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (error instanceof VarveError && error.code === 'FILE_NOT_FOUND') return [];
    throw error;
  }
}

/** Reads what a layer's file says of itself. @throws CorruptionError, also where it is not the layer of its name */
export async function headerOf(layer: ContainedLayer): Promise<LayerHeader> {
  await using file = await layer.open();
  if (file.sizeBytes !== layer.description.sizeBytes) {
    throw new CorruptionError('LAYER_SIZE', `the file has ${file.sizeBytes} bytes by now`, {
      file: layer.place,
    });
  }
  const header = await readLayerHeader(file);
  const { tenantId, timelineId } = header;
  checkLayerIs(header, { tenantId, timelineId, description: layer.description }, layer.place);
  return header;
}
