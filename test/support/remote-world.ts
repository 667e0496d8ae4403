/** What tests of a pageserver's remote side need: a timeline, layers with files, and all doors put together. */
import { parseTenantId, parseTimelineId } from '../../src/base/ids.ts';
import { type Lsn, toLsn } from '../../src/base/lsn.ts';
import type { Clock } from '../../src/io/clock.ts';
import type { Files } from '../../src/io/files.ts';
import { Limiter } from '../../src/io/limiter.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import type { Random } from '../../src/io/random.ts';
import { CollectingLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { KEY_MAX, KEY_MIN } from '../../src/pageserver/keyspace/key.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import { formatLayerName } from '../../src/pageserver/layers/layer-name.ts';
import { type DeletionLimits, DeletionQueue } from '../../src/pageserver/remote/deletion-queue.ts';
import type { GenerationSource } from '../../src/pageserver/remote/generation-source.ts';
import { GenerationValidator } from '../../src/pageserver/remote/generation-validator.ts';
import { loadTimelineIndex } from '../../src/pageserver/remote/load-index.ts';
import { RemoteMetrics } from '../../src/pageserver/remote/remote-metrics.ts';
import { RemoteTimeline } from '../../src/pageserver/remote/remote-timeline.ts';
import type { IndexHead, IndexLayer } from '../../src/pageserver/remote/timeline-index.ts';

export const TENANT = parseTenantId('1f359dd625e519a1a4e8d7509690f6fc');
export const TIMELINE = parseTimelineId('de200bd42b49cc1814412c7e592dd6e9');
export const NAME = { tenantId: TENANT, timelineId: TIMELINE };
export const START = toLsn(0x16b_5a50);
/** Is never given. */
export const never: AbortSignal = new AbortController().signal;

export const HEAD: IndexHead = {
  ...NAME,
  postgresMajor: 17,
  systemIdentifier: 18_364_758_544_493_064_720n,
  walSegmentBytes: 16 * 1024 * 1024,
  hasDataChecksums: true,
  ancestor: undefined,
  initialLsn: START,
  diskConsistentLsn: START,
  previousRecordLsn: toLsn(START - 64),
  gcCutoffLsn: START,
  leasedLsns: [],
  deletedAtMs: undefined,
  archivedAtMs: undefined,
  isGcBlocked: false,
  detachedFrom: undefined,
};

/** The `number`-th L0 layer, of 16 bytes of WAL. */
export function delta(number: number, generation: number, sizeBytes = 1000): LayerDescription {
  return {
    kind: 'delta',
    keys: { start: KEY_MIN, end: KEY_MAX },
    lsnStart: toLsn(START + number * 16),
    lsnEnd: toLsn(START + number * 16 + 16),
    generation,
    sizeBytes,
  };
}

export const endOf = (number: number): Lsn => toLsn(START + number * 16 + 16);

export const named = (layer: LayerDescription): IndexLayer => ({
  name: formatLayerName(layer),
  sizeBytes: layer.sizeBytes,
  generation: layer.generation,
});

/** What a layer's file has in it. */
export function contentOf({ name, sizeBytes, generation }: IndexLayer): Uint8Array {
  const seed = Number.parseInt(name.slice(-6), 16) + generation;
  return Uint8Array.from({ length: sizeBytes }, (_, index) => (seed * 31 + index) & 0xff);
}

export interface RemoteWorldDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly objects: ObjectStore;
  readonly source: GenerationSource;
  /** Must exist. */
  readonly directory: string;
  /** How many layers are uploaded at once. */
  readonly uploads?: number;
  readonly limits?: Partial<DeletionLimits>;
}

/** One life of a node with one timeline. */
export class RemoteWorld {
  readonly doors: RemoteWorldDoors;
  readonly logger = new CollectingLogger();
  readonly metrics: RemoteMetrics;
  readonly validator: GenerationValidator;
  readonly deletions: DeletionQueue;
  readonly generation: number;
  readonly remote: RemoteTimeline;
  /** What the store had when it began; undefined where there was nothing. */
  readonly found: ReadonlyMap<string, IndexLayer> | undefined;

  private constructor(
    doors: RemoteWorldDoors,
    parts: Pick<RemoteWorld, 'metrics' | 'validator' | 'deletions' | 'generation' | 'found'>,
    start: ConstructorParameters<typeof RemoteTimeline>[1],
  ) {
    this.doors = doors;
    this.metrics = parts.metrics;
    this.validator = parts.validator;
    this.deletions = parts.deletions;
    this.generation = parts.generation;
    this.found = parts.found;
    this.remote = new RemoteTimeline(
      { ...doors, ...parts, logger: this.logger, uploads: new Limiter(doors.uploads ?? 2) },
      start,
      parts.generation,
    );
  }

  /** Attaches the tenant, or attaches it anew after a start, and loads what there is. */
  static async open(doors: RemoteWorldDoors): Promise<RemoteWorld> {
    const { files, clock, source, directory, limits } = doors;
    const attached = await source.reattachAll(never);
    const generation = attached.get(TENANT) ?? (await source.attach(TENANT, never));
    const metrics = new RemoteMetrics(new Metrics(clock));
    const logger = new CollectingLogger();
    const validator = new GenerationValidator({ ...doors, logger, metrics });
    await files.makeDirectory(`${directory}/deletion`);
    await files.syncDirectory(directory);
    const deletions = await DeletionQueue.open(
      { ...doors, validator, logger, metrics },
      `${directory}/deletion`,
      new Map([[TENANT, generation]]),
      limits,
    );
    const parts = { metrics, validator, deletions, generation };
    try {
      const index = await loadTimelineIndex({ ...doors, logger }, NAME, generation, never);
      return new RemoteWorld(doors, { ...parts, found: index.layers }, index);
    } catch (error) {
      if ((error as { code?: string }).code !== 'TIMELINE_INDEX_NOT_FOUND') throw error;
      const start = { head: HEAD, layers: new Map(), generation: 'new', olderGenerations: [] } as const;
      return new RemoteWorld(doors, { ...parts, found: undefined }, start);
    }
  }

  /** Writes a layer's file, and returns its path. */
  async writeFile(layer: LayerDescription): Promise<string> {
    const indexLayer = named(layer);
    const path = `${this.doors.directory}/${indexLayer.name}`;
    await using file = await this.doors.files.openForUpdate(path);
    const content = contentOf(indexLayer);
    await file.resize(0);
    await file.write(content, 0, content.length, 0);
    await file.sync();
    return path;
  }

  /** Makes the `number`-th layer, schedules it and an index that names it. */
  async add(number: number, sizeBytes?: number): Promise<LayerDescription> {
    const layer = delta(number, this.generation, sizeBytes);
    const path = await this.writeFile(layer);
    this.remote.scheduleLayerUpload(layer, path);
    const lsn = toLsn(Math.max(endOf(number), this.remote.intendedHead.diskConsistentLsn));
    this.remote.scheduleIndexUpdate({ layersAdded: [formatLayerName(layer)], diskConsistentLsn: lsn });
    return layer;
  }

  async close(): Promise<void> {
    await this.remote.shutdown();
    await this.deletions.shutdown();
    await this.validator.shutdown();
  }
}
