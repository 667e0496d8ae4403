import { VarveError } from '../base/errors.ts';
import type { TenantId } from '../base/ids.ts';
import { TaskSet } from '../base/task-set.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import { Limiter } from '../io/limiter.ts';
import type { ObjectStore } from '../io/objects.ts';
import type { Random } from '../io/random.ts';
import type { Workers } from '../io/workers.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { PageserverJobs } from './jobs.ts';
import { BlockCache } from './layers/block-cache.ts';
import { CacheCounts } from './layers/cache-counts.ts';
import { PageSlots } from './layers/page-slots.ts';
import { DeletionQueue } from './remote/deletion-queue.ts';
import type { GenerationSource } from './remote/generation-source.ts';
import { GenerationValidator } from './remote/generation-validator.ts';
import { RemoteMetrics } from './remote/remote-metrics.ts';
import { Tenant } from './tenant.ts';
import { TIMELINE_DEFAULTS, type TimelineSettings } from './timeline/settings.ts';
import type { StorageDoors } from './timeline/storage-doors.ts';

export interface StorageOptions {
  /** All local files are below it. Nobody else uses it: whoever opens the storage holds its lock. */
  readonly directory: string;
  /** Bytes of blocks of layer files that are kept in memory. */
  readonly blockCacheBytes?: number;
  /** Bytes of pages as they were made that are kept in memory. */
  readonly pageCacheBytes?: number;
  /** Compactions and the like of all timelines at once. */
  readonly backgroundJobsMax?: number;
  readonly uploadsMax?: number;
  /** What is not said is as TIMELINE_DEFAULTS has it. */
  readonly settings?: Partial<TimelineSettings>;
}

export interface GivenDoors {
  readonly files: Files;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly workers: Workers<PageserverJobs>;
  readonly objects: ObjectStore;
  readonly generations: GenerationSource;
}

const MEBIBYTE = 1024 * 1024;
const DELETION_DIRECTORY = 'deletion';
const TENANTS_DIRECTORY = 'tenants';

/** The storage engine of a pageserver: the tenants that are attached to it, and what they share. */
export class PageStorage implements AsyncDisposable {
  readonly doors: StorageDoors;
  readonly cacheCounts: CacheCounts;
  readonly remoteMetrics: RemoteMetrics;
  readonly #directory: string;
  readonly #settings: TimelineSettings;
  readonly #given: GivenDoors;
  readonly #validator: GenerationValidator;
  readonly #deletions: DeletionQueue;
  readonly #tenants = new Map<TenantId, Tenant>();
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  #closing: Promise<void> | undefined;

  private constructor(
    options: StorageOptions,
    given: GivenDoors,
    validator: GenerationValidator,
    deletions: DeletionQueue,
    remoteMetrics: RemoteMetrics,
  ) {
    const { files, clock, random, logger, workers, objects } = given;
    this.#directory = options.directory;
    this.#settings = { ...TIMELINE_DEFAULTS, ...options.settings };
    this.#given = given;
    this.#validator = validator;
    this.#deletions = deletions;
    this.remoteMetrics = remoteMetrics;
    this.cacheCounts = new CacheCounts();
    const uploads = new Limiter(options.uploadsMax ?? 8);
    this.doors = {
      files,
      clock,
      random,
      logger,
      workers,
      blocks: new BlockCache(options.blockCacheBytes ?? 256 * MEBIBYTE, this.cacheCounts),
      pages: new PageSlots(options.pageCacheBytes ?? 128 * MEBIBYTE, this.cacheCounts),
      remote: {
        files,
        clock,
        random,
        objects,
        uploads,
        deletions,
        validator,
        logger,
        metrics: remoteMetrics,
      },
      background: new Limiter(options.backgroundJobsMax ?? 1),
    };
  }

  /**
   * Attaches again all tenants that were attached, each in a new generation, and loads their timelines.
   * @throws what the generation source, the disk or the store fail of. Nothing is left running then.
   */
  static async open(options: StorageOptions, given: GivenDoors): Promise<PageStorage> {
    const { files, clock, random, logger, objects, generations } = given;
    const metrics = new RemoteMetrics(given.metrics);
    const { signal } = new AbortController();
    const deletionDirectory = `${options.directory}/${DELETION_DIRECTORY}`;
    for (const name of [DELETION_DIRECTORY, TENANTS_DIRECTORY])
      await files.makeDirectory(`${options.directory}/${name}`);
    await files.syncDirectory(options.directory);
    const attached = await generations.reattachAll(signal);
    const validator = new GenerationValidator({ source: generations, clock, random, logger, metrics });
    const deletionDoors = { files, clock, random, objects, validator, logger, metrics };
    const deletions = await DeletionQueue.open(deletionDoors, deletionDirectory, attached);
    const storage = new PageStorage(options, given, validator, deletions, metrics);
    try {
      await storage.#removeDetached(attached);
      for (const [tenantId, generation] of attached) await storage.#load(tenantId, generation);
      return storage;
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  get tenants(): readonly Tenant[] {
    return [...this.#tenants.values()];
  }

  /** @throws VarveError ‘not-found’ / TENANT_NOT_FOUND */
  tenant(tenantId: TenantId): Tenant {
    const tenant = this.#tenants.get(tenantId);
    if (tenant === undefined) {
      throw new VarveError('not-found', 'TENANT_NOT_FOUND', `tenant ${tenantId} is not attached here`);
    }
    return tenant;
  }

  /**
   * Attaches a tenant, in a new generation, with all timelines that the store has of it.
   * @throws VarveError ‘conflict’ / TENANT_ATTACHED; as `open`
   */
  async attach(tenantId: TenantId): Promise<Tenant> {
    if (this.#tenants.has(tenantId)) {
      throw new VarveError('conflict', 'TENANT_ATTACHED', `tenant ${tenantId} is attached already`);
    }
    const generation = await this.#given.generations.attach(tenantId, this.#ending.signal);
    return await this.#load(tenantId, generation);
  }

  /** Forgets a tenant here. What is in the store stays. */
  async detach(tenantId: TenantId): Promise<void> {
    const tenant = this.tenant(tenantId);
    this.#tenants.delete(tenantId);
    await tenant.close();
    await this.#given.generations.detach(tenantId, this.#ending.signal);
    await this.#given.files.removeDirectory(this.#tenantDirectory(tenantId));
  }

  /** Ends all that is under way. What is not durable in the store by then comes from WAL again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.tenants.map((tenant) => tenant.close()));
    await this.#deletions.shutdown();
    await this.#validator.shutdown();
    await this.#tasks.settled();
  }

  #tenantDirectory(tenantId: TenantId): string {
    return `${this.#directory}/${TENANTS_DIRECTORY}/${tenantId}`;
  }

  /** What is here of tenants that are not attached is of no use to anybody. */
  async #removeDetached(attached: ReadonlyMap<TenantId, number>): Promise<void> {
    const { files, logger } = this.#given;
    for (const name of await files.list(`${this.#directory}/${TENANTS_DIRECTORY}`)) {
      if (attached.has(name as TenantId)) continue;
      logger.info('Local files of a tenant are removed that is not attached any more', { name });
      await files.removeDirectory(`${this.#directory}/${TENANTS_DIRECTORY}/${name}`);
    }
  }

  async #load(tenantId: TenantId, generation: number): Promise<Tenant> {
    const tenant = await Tenant.load(this.doors, {
      tenantId,
      generation,
      directory: this.#tenantDirectory(tenantId),
      settings: this.#settings,
      validator: this.#validator,
      deletions: this.#deletions,
    });
    this.#tenants.set(tenantId, tenant);
    return tenant;
  }
}
