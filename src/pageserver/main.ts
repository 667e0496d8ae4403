import { realpath } from 'node:fs/promises';
import { DirectoryObjects } from '../io/directory-objects.ts';
import { nodeClock } from '../io/node/clock.ts';
import { nodeFiles } from '../io/node/files.ts';
import { openFilesEngine } from '../io/node/files-engine.ts';
import { nodeHttp } from '../io/node/http.ts';
import { prepareBinaries } from '../io/node/postgres-binaries.ts';
import { nodeProcesses } from '../io/node/processes.ts';
import { NodeProfiler } from '../io/node/profiler.ts';
import { nodeRandom } from '../io/node/random.ts';
import { runUntilStopped } from '../io/node/run-until-stopped.ts';
import { nodeSockets } from '../io/node/sockets.ts';
import { findAccount } from '../io/node/unprivileged-account.ts';
import { NodeWorkers } from '../io/node/workers.ts';
import type { ObjectLocation } from '../io/object-location.ts';
import type { ObjectStore } from '../io/objects.ts';
import { openObjectStore } from '../io/open-object-store.ts';
import { openS3Objects } from '../io/s3/open.ts';
import { createJsonLogger, type JsonLogOptions, type Logger } from '../observe/log.ts';
import { InitdbClusters } from './initial/initdb-clusters.ts';
import type { InspectedValue } from './inspect/inspected-value.ts';
import { keyRangeText } from './inspect/key-text.ts';
import { drawLayers } from './inspect/layer-picture.ts';
import { countsOf, describeLayers, type LayerCounts, type LayerRow, levelOf } from './inspect/layer-rows.ts';
import { layerValues, type ValueSelection } from './inspect/layer-values.ts';
import { findContents, type InspectionDoors, type TimelinePlace } from './inspect/timeline-contents.ts';
import { type jobs, PAGESERVER_JOBS } from './jobs.ts';
import { formatKey } from './keyspace/key.ts';
import type { LayerHeader } from './layers/format/layer-header.ts';
import { describeLayer, verifyLayer } from './layers/format/verify-layer.ts';
import { findLayerFile } from './layers/layer-name.ts';
import { OfflineTimeline, type PageName } from './offline-timeline.ts';
import { PageserverService, type PageserverOptions as ServiceOptions } from './service.ts';

export type {
  InspectedValue,
  LayerCounts,
  LayerRow,
  OfflineTimeline,
  PageName,
  PageserverService,
  ValueSelection,
};

export interface PageserverOptions extends ServiceOptions {
  /** How layer files are read and written: see FILES_ENGINES. */
  readonly filesEngine: 'portable' | 'direct';
  /** Where PostgreSQL's programs are, for new clusters. Without it those of npm. */
  readonly postgresBinDirectory?: string;
}

/** Where a timeline lies that is to be looked at. With a bucket, its index there says which layers it has. */
export interface InspectedPlace extends TimelinePlace {
  readonly bucket: ObjectLocation | undefined;
}

/** What a layer file says of itself. */
export interface InspectedLayer {
  readonly header: LayerHeader;
  readonly level: 0 | 1 | undefined;
  readonly keys: LayerRow['keys'];
  readonly counts: LayerCounts;
}

const never: AbortSignal = new AbortController().signal;

/**
 * The layers of a timeline, oldest first.
 * @param readsHeaders also those of layers that are in the bucket only, which takes a request for each
 * @throws as findContents
 */
export async function listLayers(place: InspectedPlace, readsHeaders: boolean): Promise<LayerRow[]> {
  return await withDoors(place, async (doors) => {
    const { layers } = await findContents(doors, place);
    return await describeLayers(layers, ({ isLocal }) => isLocal || readsHeaders, never);
  });
}

/** A picture of a timeline's layers, as SVG. @throws as findContents */
export async function drawTimeline(place: InspectedPlace): Promise<{ svg: string; layers: number }> {
  return await withDoors(place, async (doors) => {
    const { index, layers } = await findContents(doors, place);
    const { tenantId = index?.head.tenantId, timelineId = index?.head.timelineId } = place;
    const descriptions = layers.map(({ description }) => description);
    const name = tenantId === undefined || timelineId === undefined ? undefined : { tenantId, timelineId };
    return { svg: drawLayers(descriptions, { name, head: index?.head }), layers: layers.length };
  });
}

/** @throws CorruptionError; what reading the file fails of */
export async function inspectLayer(path: string): Promise<InspectedLayer> {
  return toInspected(await describeLayer(nodeFiles, path));
}

/**
 * Reads a layer file from end to end and checks all of it; where its name is that of a layer, also that it is this one.
 * @throws CorruptionError; what reading the file fails of
 */
export async function verifyLayerFile(path: string): Promise<InspectedLayer> {
  const named = findLayerFile(path.slice(path.lastIndexOf('/') + 1));
  if (named === undefined) return toInspected(await verifyLayer(nodeFiles, path));
  const { sizeBytes } = await nodeFiles.stat(path);
  const { tenantId, timelineId } = await describeLayer(nodeFiles, path);
  const identity = { tenantId, timelineId, description: { ...named, sizeBytes } };
  return toInspected(await verifyLayer(nodeFiles, path, identity));
}

/** The values of a layer file that are wanted, in its order. @throws as layerValues */
export function valuesOfLayer(
  path: string,
  layer: InspectedLayer,
  selection: ValueSelection,
): AsyncGenerator<InspectedValue, void> {
  return layerValues(nodeFiles, path, layer.header, selection, never);
}

/** Opens a timeline to read pages of it, and hands it to `action`. Nothing is written. @throws as OfflineTimeline */
export async function withOfflineTimeline<Result>(
  place: InspectedPlace,
  action: (timeline: OfflineTimeline) => Promise<Result>,
): Promise<Result> {
  return await withDoors(place, async (doors) => {
    await using timeline = await OfflineTimeline.open(doors, place);
    return await action(timeline);
  });
}

function toInspected(header: LayerHeader): InspectedLayer {
  const { keys } = header.description;
  return {
    header,
    level: levelOf(header.description),
    keys: { text: keyRangeText(keys), start: formatKey(keys.start), end: formatKey(keys.end) },
    counts: countsOf(header),
  };
}

async function withDoors<Result>(
  { bucket }: InspectedPlace,
  action: (doors: InspectionDoors) => Promise<Result>,
): Promise<Result> {
  const objects = bucket === undefined ? undefined : await openBucket(bucket);
  try {
    return await action({ files: nodeFiles, clock: nodeClock, objects, signal: never });
  } finally {
    objects?.close();
  }
}

/** To look into: where a directory is the bucket, it is not made, and nothing in it is tidied up. */
async function openBucket(location: ObjectLocation): Promise<ObjectStore> {
  const doors = { files: nodeFiles, clock: nodeClock, random: nodeRandom, openS3: openS3Objects };
  if (location.kind === 's3') return await openObjectStore(location, doors);
  return await DirectoryObjects.openExisting(doors, location.path);
}

/** Starts a pageserver in this process, on the machine's disk, network and clock. `close` ends it. */
export async function startPageserver(
  options: PageserverOptions,
  logger: Logger,
): Promise<PageserverService> {
  await nodeFiles.makeDirectory(options.directory);
  const directory = await realpath(options.directory);
  const { filesEngine, postgresBinDirectory } = options;
  const workers = new NodeWorkers<typeof jobs>({ jobsModule: PAGESERVER_JOBS, filesEngine });
  try {
    return await PageserverService.start(
      { ...options, directory },
      {
        engine: openFilesEngine(filesEngine),
        files: nodeFiles,
        clock: nodeClock,
        random: nodeRandom,
        sockets: nodeSockets((error) => logger.warn('a connection could not be accepted', { error })),
        http: nodeHttp((error) =>
          logger.error('HTTP: something failed that no request is told of', { error }),
        ),
        openS3: openS3Objects,
        workers,
        profiler: new NodeProfiler(),
        initialClusters: new InitdbClusters({
          processes: nodeProcesses,
          files: nodeFiles,
          findPrograms: () => prepareBinaries(findAccount(), postgresBinDirectory),
        }),
        logger,
      },
    );
  } catch (error) {
    await workers.close();
    throw error;
  }
}

/**
 * Runs a pageserver as this process, until SIGTERM or SIGINT: the first one closes it in order, a second one ends the
 * process at once. Logs to standard error.
 *
 * @param announce told when it serves
 * @throws as startPageserver, runUntilStopped
 */
export async function runPageserver(
  options: PageserverOptions,
  logLevel: JsonLogOptions['level'],
  announce: (service: PageserverService) => Promise<void>,
): Promise<void> {
  const logger = createJsonLogger({
    level: logLevel,
    clock: nodeClock,
    destination: { write: (line) => void process.stderr.write(line) },
  }).child({ pageserverId: options.nodeId });
  const start = async (): Promise<PageserverService> => {
    const service = await startPageserver(options, logger);
    const { pg, http } = service.addresses;
    logger.info('the pageserver serves', { pg, http, directory: service.directory });
    await announce(service);
    return service;
  };
  await runUntilStopped(start, (signal) => logger.info('the pageserver closes', { signal }));
  logger.info('the pageserver has closed');
}
