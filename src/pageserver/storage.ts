import { VarveError } from '../base/errors.ts';
import { Gate } from '../base/gate.ts';
import { isId, type TenantId, type TimelineId } from '../base/ids.ts';
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
import { PageSlots } from './layers/page-slots.ts';
import { listEntries } from './local-entries.ts';
import { type CacheReading, PageserverMetrics, type TimelineReading } from './metrics.ts';
import { DeletionQueue } from './remote/deletion-queue.ts';
import type { GenerationSource } from './remote/generation-source.ts';
import { GenerationValidator } from './remote/generation-validator.ts';
import { LAYERS_WAITING_MAX } from './remote/remote-timeline.ts';
import { isFault, Tenant } from './tenant.ts';
import { checkSettings, TIMELINE_DEFAULTS, type TimelineSettings } from './timeline/settings.ts';
import type { StorageDoors } from './timeline/storage-doors.ts';
import { readTimeline } from './timeline/timeline-reading.ts';

export interface StorageOptions {
  /**
   * All local files are below it. Nobody else uses it: whoever opens the storage has locked it before (lockDirectory, as
   * the service `pageserver`), and opened its generation source, which lies there too, under the same lock.
   */
  readonly directory: string;
  /** Bytes of blocks of layer files that are kept in memory. */
  readonly blockCacheBytes?: number;
  /** Bytes of pages as they were made that are kept in memory. */
  readonly pageCacheBytes?: number;
  /** Compactions and the like of all timelines at once. */
  readonly backgroundJobsMax?: number;
  readonly uploadsMax?: number;
  /** With so many layers of a timeline waiting for their upload its ingest waits. */
  readonly layersWaitingMax?: number;
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

/** A tenant that is attached here and cannot be served. */
export interface BrokenTenant {
  readonly tenantId: TenantId;
  readonly error: VarveError;
}

const MEBIBYTE = 1024 * 1024;
const DELETION_DIRECTORY = 'deletion';
const TENANTS_DIRECTORY = 'tenants';

/** The storage engine of a pageserver: the tenants that are attached to it, and what they share. */
export class PageStorage implements AsyncDisposable {
  readonly doors: StorageDoors;
  readonly #directory: string;
  readonly #settings: TimelineSettings;
  readonly #given: GivenDoors;
  readonly #validator: GenerationValidator;
  readonly #deletions: DeletionQueue;
  readonly #tenants = new Map<TenantId, Tenant>();
  readonly #broken = new Map<TenantId, VarveError>();
  readonly #ending = new AbortController();
  /** Those who attach and detach are inside. */
  readonly #gate = new Gate('the storage');
  readonly #changing = new Set<TenantId>();
  #closing: Promise<void> | undefined;

  private constructor(
    options: StorageOptions,
    given: GivenDoors,
    validator: GenerationValidator,
    deletions: DeletionQueue,
    metrics: PageserverMetrics,
  ) {
    const { files, clock, random, logger, workers, objects } = given;
    this.#directory = options.directory;
    this.#settings = { ...TIMELINE_DEFAULTS, ...options.settings };
    this.#given = given;
    this.#validator = validator;
    this.#deletions = deletions;
    const uploads = new Limiter(options.uploadsMax ?? 8);
    this.doors = {
      files,
      clock,
      random,
      logger,
      workers,
      metrics,
      blocks: new BlockCache(
        options.blockCacheBytes ?? 256 * MEBIBYTE,
        metrics.cacheCounts,
        metrics.blockEvictions,
      ),
      pages: new PageSlots(
        options.pageCacheBytes ?? 128 * MEBIBYTE,
        metrics.cacheCounts,
        metrics.pageEvictions,
      ),
      remote: {
        files,
        clock,
        random,
        objects,
        uploads,
        layersWaitingMax: options.layersWaitingMax ?? LAYERS_WAITING_MAX,
        deletions,
        validator,
        logger,
        metrics: metrics.remote,
      },
      background: new Limiter(options.backgroundJobsMax ?? 1),
    };
    metrics.show(given.metrics, {
      timelines: () => this.#readTimelines(),
      broken: () => this.#listBroken(),
      caches: () => this.#readCaches(),
    });
  }

  /**
   * Attaches again all tenants that were attached, each in a new generation, and loads their timelines. A tenant whose
   * local directory cannot be used is broken, and the others are served; timelines likewise (see Tenant.load).
   * @throws what the generation source, the disk or the store fail of. Nothing is left running then.
   */
  static async open(options: StorageOptions, given: GivenDoors): Promise<PageStorage> {
    const { files, clock, random, logger, objects, generations } = given;
    checkSettings({ ...TIMELINE_DEFAULTS, ...options.settings });
    const storageMetrics = new PageserverMetrics(given.metrics);
    const metrics = storageMetrics.remote;
    const { signal } = new AbortController();
    const deletionDirectory = `${options.directory}/${DELETION_DIRECTORY}`;
    for (const name of [DELETION_DIRECTORY, TENANTS_DIRECTORY])
      await files.makeDirectory(`${options.directory}/${name}`);
    await files.syncDirectory(options.directory);
    const attached = await generations.reattachAll(signal);
    const validator = new GenerationValidator({ source: generations, clock, random, logger, metrics });
    const deletionDoors = { files, clock, random, objects, validator, logger, metrics };
    const deletions = await DeletionQueue.open(deletionDoors, deletionDirectory, attached);
    const storage = new PageStorage(options, given, validator, deletions, storageMetrics);
    try {
      await storage.#removeDetached(attached);
      for (const [tenantId, generation] of attached) await storage.#loadOrBreak(tenantId, generation);
      return storage;
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  get tenants(): readonly Tenant[] {
    return [...this.#tenants.values()];
  }

  /** Tenants that are attached here and cannot be served. They stay as they are until they are detached. */
  get brokenTenants(): readonly BrokenTenant[] {
    return [...this.#broken].map(([tenantId, error]) => ({ tenantId, error }));
  }

  /** @throws VarveError ‘not-found’ / TENANT_NOT_FOUND; of a broken tenant what it is broken by */
  tenant(tenantId: TenantId): Tenant {
    const error = this.#broken.get(tenantId);
    if (error !== undefined) throw error;
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
    if (this.#tenants.has(tenantId) || this.#broken.has(tenantId)) {
      throw new VarveError('conflict', 'TENANT_ATTACHED', `tenant ${tenantId} is attached already`);
    }
    return await this.#change(tenantId, async () => {
      const generation = await this.#given.generations.attach(tenantId, this.#ending.signal);
      return await this.#load(tenantId, generation);
    });
  }

  /** Forgets a tenant here. What is in the store stays. */
  async detach(tenantId: TenantId): Promise<void> {
    const tenant = this.#broken.has(tenantId) ? undefined : this.tenant(tenantId);
    await this.#change(tenantId, async () => {
      this.#tenants.delete(tenantId);
      this.#broken.delete(tenantId);
      await tenant?.close();
      await this.#given.generations.detach(tenantId, this.#ending.signal);
      await this.#given.files.removeDirectory(this.#tenantDirectory(tenantId));
    });
  }

  /** A tenant is attached or detached by one at a time, and by nobody once this is closing. */
  async #change<Result>(tenantId: TenantId, action: () => Promise<Result>): Promise<Result> {
    if (this.#changing.has(tenantId)) {
      throw new VarveError('conflict', 'TENANT_BUSY', `tenant ${tenantId} is being attached or detached`);
    }
    using _pass = this.#gate.enter();
    this.#changing.add(tenantId);
    try {
      return await action();
    } finally {
      this.#changing.delete(tenantId);
    }
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
    await this.#gate.close();
    await Promise.all(this.tenants.map((tenant) => tenant.close()));
    await this.#deletions.shutdown();
    await this.#validator.shutdown();
  }

  #tenantDirectory(tenantId: TenantId): string {
    return `${this.#directory}/${TENANTS_DIRECTORY}/${tenantId}`;
  }

  /** What is here of tenants that are not attached is of no use to anybody. */
  async #removeDetached(attached: ReadonlyMap<TenantId, number>): Promise<void> {
    const { files, logger } = this.#given;
    const directory = `${this.#directory}/${TENANTS_DIRECTORY}`;
    for (const { name, kind } of (await listEntries(files, directory, logger)) ?? []) {
      if (attached.has(name as TenantId)) continue;
      if (kind !== 'directory' || !isId(name)) {
        logger.warn('Something is left alone that no tenant has', { directory, name });
        continue;
      }
      logger.info('Local files of a tenant are removed that is not attached any more', { name });
      await files.removeDirectory(`${this.#directory}/${TENANTS_DIRECTORY}/${name}`);
    }
  }

  async #loadOrBreak(tenantId: TenantId, generation: number): Promise<void> {
    try {
      await this.#load(tenantId, generation);
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#given.logger.error('A tenant cannot be served', { tenantId, error });
      this.#broken.set(tenantId, error);
    }
  }

  *#readTimelines(): Iterable<TimelineReading> {
    for (const tenant of this.#tenants.values()) {
      for (const { timeline } of tenant.timelines) yield readTimeline(timeline);
    }
  }

  *#listBroken(): Iterable<{ tenantId: TenantId; timelineId: TimelineId | undefined }> {
    for (const tenantId of this.#broken.keys()) yield { tenantId, timelineId: undefined };
    for (const { tenantId, brokenTimelines } of this.#tenants.values()) {
      for (const { timelineId } of brokenTimelines) yield { tenantId, timelineId };
    }
  }

  #readCaches(): Iterable<CacheReading> {
    const { blocks, pages } = this.doors;
    return [
      { name: 'block', usedBytes: blocks.usedBytes, capacityBytes: blocks.capacityBytes },
      { name: 'page', usedBytes: pages.usedBytes, capacityBytes: pages.capacityBytes },
    ];
  }

  async #load(tenantId: TenantId, generation: number): Promise<Tenant> {
    const tenant = await Tenant.load(this.doors, {
      tenantId,
      generation,
      directory: this.#tenantDirectory(tenantId),
      settings: this.#settings,
      validator: this.#validator,
      deletions: this.#deletions,
      signal: this.#ending.signal,
    });
    this.#tenants.set(tenantId, tenant);
    return tenant;
  }
}
