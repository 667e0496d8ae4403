import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { lockDirectory } from '../../src/io/directory-lock.ts';
import { DirectoryObjects } from '../../src/io/directory-objects.ts';
import type { Files } from '../../src/io/files.ts';
import { InlineWorkers } from '../../src/io/inline-workers.ts';
import { nodeClock } from '../../src/io/node/clock.ts';
import { nodeFiles } from '../../src/io/node/files.ts';
import { nodeRandom } from '../../src/io/node/random.ts';
import { nodeSockets } from '../../src/io/node/sockets.ts';
import type { ObjectStore } from '../../src/io/objects.ts';
import type { Workers } from '../../src/io/workers.ts';
import { type Logger, silentLogger } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { feedFromFiles } from '../../src/pageserver/ingest/receiver/wal-file-source.ts';
import type { InitialClusters } from '../../src/pageserver/initial/initial-clusters.ts';
import { jobs, type PageserverJobs } from '../../src/pageserver/jobs.ts';
import { FileGenerationSource } from '../../src/pageserver/remote/file-generation-source.ts';
import { PageStorage } from '../../src/pageserver/storage.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Tenant } from '../../src/pageserver/tenant/tenant.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { TimelineIntake } from '../../src/pageserver/timeline/timeline-intake.ts';

const sockets = nodeSockets((error) => {
  throw error;
});
const TENANT: TenantId = parseTenantId('1'.repeat(32));
export const MAIN: TimelineId = parseTimelineId('2'.repeat(32));

export interface StorageWorldOptions {
  readonly files?: Files;
  readonly objects?: ObjectStore;
  /** What comes before the bucket. */
  readonly wrapObjects?: (bucket: ObjectStore) => ObjectStore;
  readonly workers?: Workers<PageserverJobs>;
  readonly logger?: Logger;
  readonly settings?: Partial<TimelineSettings>;
  readonly layersWaitingMax?: number;
  readonly initialClusters?: InitialClusters;
  /** false: `start` does not wait until all tenants are loaded. */
  readonly isAwaited?: boolean;
  readonly blockCacheBytes?: number;
  readonly pageCacheBytes?: number;
}

/** A storage engine in a temporary directory, with a bucket in another, that can be stopped and started again. */
export class StorageWorld implements AsyncDisposable {
  readonly directory: string;
  readonly tenantId: TenantId = TENANT;
  readonly #options: StorageWorldOptions;
  readonly #objects: ObjectStore;
  readonly #workers: Workers<PageserverJobs>;
  #storage: PageStorage | undefined;
  #lock: AsyncDisposable | undefined;
  #generations: FileGenerationSource | undefined;
  /** Of the storage that was started last. */
  metrics = new Metrics(nodeClock);

  private constructor(directory: string, options: StorageWorldOptions, objects: ObjectStore) {
    this.directory = directory;
    this.#options = options;
    this.#objects = objects;
    const files = options.files ?? nodeFiles;
    this.#workers = options.workers ?? new InlineWorkers(jobs, { files, clock: nodeClock });
  }

  static async open(options: StorageWorldOptions = {}): Promise<StorageWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'varve-storage-'));
    for (const name of ['local', 'bucket']) await nodeFiles.makeDirectory(`${directory}/${name}`);
    const objects =
      options.objects ??
      (await DirectoryObjects.open(
        { files: nodeFiles, clock: nodeClock, random: nodeRandom },
        `${directory}/bucket`,
      ));
    const world = new StorageWorld(directory, options, options.wrapObjects?.(objects) ?? objects);
    await world.start();
    return world;
  }

  get storage(): PageStorage {
    if (this.#storage === undefined) throw new Error('the storage is stopped');
    return this.#storage;
  }

  /** Where the running storage has its generations from. */
  get generations(): FileGenerationSource {
    if (this.#generations === undefined) throw new Error('the storage is stopped');
    return this.#generations;
  }

  get tenant(): Tenant {
    return this.storage.tenant(TENANT);
  }

  /** Starts the storage from what is on the disk and in the bucket. */
  async start(): Promise<void> {
    const files = this.#options.files ?? nodeFiles;
    const directory = `${this.directory}/local`;
    this.#lock = await lockDirectory(sockets, files, directory, { service: 'pageserver', nodeId: 1 });
    const generations = await FileGenerationSource.open(files, directory);
    this.#generations = generations;
    this.metrics = new Metrics(nodeClock);
    const { settings, layersWaitingMax, blockCacheBytes, pageCacheBytes } = this.#options;
    this.#storage = await PageStorage.open(
      {
        directory,
        // Leases of an earlier life are the matter of tests of their own.
        settings: { leaseMs: 0, ...settings },
        ...(layersWaitingMax === undefined ? {} : { layersWaitingMax }),
        ...(blockCacheBytes === undefined ? {} : { blockCacheBytes }),
        ...(pageCacheBytes === undefined ? {} : { pageCacheBytes }),
      },
      {
        files,
        clock: nodeClock,
        random: nodeRandom,
        logger: this.#options.logger ?? silentLogger,
        metrics: this.metrics,
        workers: this.#workers,
        objects: this.#objects,
        generations,
        ...(this.#options.initialClusters === undefined
          ? {}
          : { initialClusters: this.#options.initialClusters }),
      },
    );
    if (this.#options.isAwaited !== false) await this.#storage.loaded;
  }

  async stop(): Promise<void> {
    await this.#storage?.close();
    this.#storage = undefined;
    this.#generations = undefined;
    await this.#lock?.[Symbol.asyncDispose]();
    this.#lock = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#workers.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Brings a timeline WAL from the segment files of a directory: up to `endLsn`, or all there is. */
export async function feedWal(
  { timeline }: ActiveTimeline,
  walDirectory: string,
  endLsn?: number,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const intake = await TimelineIntake.start(timeline);
  await feedFromFiles({
    files: nodeFiles,
    directory: walDirectory,
    version: timeline.version,
    systemIdentifier: timeline.systemIdentifier,
    segmentBytes: timeline.walSegmentBytes,
    intake,
    signal,
    ...(endLsn === undefined ? {} : { endLsn: endLsn as Lsn }),
  });
}
