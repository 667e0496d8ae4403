import { isId, type TenantId, type TimelineId } from '../base/ids.ts';
import type { AttachedMode } from '../contracts/pageserver-api-config.ts';
import type { DetachBehavior } from '../contracts/pageserver-api-timeline.ts';
import type { Clock } from '../io/clock.ts';
import type { Files } from '../io/files.ts';
import { Limiter } from '../io/limiter.ts';
import type { ObjectStore } from '../io/objects.ts';
import type { Random } from '../io/random.ts';
import type { Workers } from '../io/workers.ts';
import type { Logger } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { InitialArtefacts } from './initial/initial-artefacts.ts';
import type { InitialClusters } from './initial/initial-clusters.ts';
import type { PageserverJobs } from './jobs.ts';
import { BlockCache } from './layers/block-cache.ts';
import { PageSlots } from './layers/page-slots.ts';
import { listEntries } from './local-entries.ts';
import { type CacheReading, PageserverMetrics, type TimelineReading } from './metrics.ts';
import { mayRemove } from './remote/attached-mode.ts';
import { DeletionQueue } from './remote/deletion-queue.ts';
import type { GenerationSource } from './remote/generation-source.ts';
import { GenerationValidator } from './remote/generation-validator.ts';
import { LAYERS_WAITING_MAX } from './remote/remote-timeline.ts';
import type { ActiveTimeline } from './tenant/active-timeline.ts';
import { AttachedTenants, type AttachOptions } from './tenant/attached-tenants.ts';
import type { Tenant } from './tenant/tenant.ts';
import type { TenantStatus } from './tenant/tenant-slot.ts';
import { checkSettings, TIMELINE_DEFAULTS, type TimelineSettings } from './timeline/settings.ts';
import type { StorageDoors } from './timeline/storage-doors.ts';
import { readTimeline } from './timeline/timeline-reading.ts';
import type { TimelineAccess } from './timeline-access.ts';

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
  /** Tenants whose timelines are loaded at once. */
  readonly tenantLoadsMax?: number;
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
  /** Without it no timelines can be made that descend from no other, but those of clusters that are given. */
  readonly initialClusters?: InitialClusters;
  /** Called for each timeline when it is ready for its WAL. Must be quick and not throw. */
  readonly onServed?: (active: ActiveTimeline) => void;
}

const MEBIBYTE = 1024 * 1024;
const DELETION_DIRECTORY = 'deletion';
const TENANTS_DIRECTORY = 'tenants';
const INITIAL_CLUSTERS_DIRECTORY = 'initial-clusters';

/** The storage engine of a pageserver: the tenants that are attached to it, and what they share. */
export class PageStorage implements AsyncDisposable, TimelineAccess {
  readonly doors: StorageDoors;
  readonly #validator: GenerationValidator;
  readonly #deletions: DeletionQueue;
  readonly #tenants: AttachedTenants;
  readonly #ending = new AbortController();
  #closing: Promise<void> | undefined;

  private constructor(
    options: StorageOptions,
    given: GivenDoors,
    validator: GenerationValidator,
    deletions: DeletionQueue,
    metrics: PageserverMetrics,
    attached: ReadonlyMap<TenantId, number>,
  ) {
    const { files, clock, random, logger, workers, objects } = given;
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
      initialArtefacts:
        given.initialClusters &&
        new InitialArtefacts(
          { files, objects, logger, clusters: given.initialClusters },
          `${options.directory}/${INITIAL_CLUSTERS_DIRECTORY}`,
          this.#ending.signal,
        ),
    };
    metrics.show(given.metrics, {
      timelines: () => this.#readTimelines(),
      broken: () => this.#listBroken(),
      caches: () => this.#readCaches(),
    });
    this.#tenants = new AttachedTenants(
      {
        storage: this.doors,
        generations: given.generations,
        validator,
        deletions,
        onServed: given.onServed ?? (() => undefined),
      },
      {
        directory: `${options.directory}/${TENANTS_DIRECTORY}`,
        settings: { ...TIMELINE_DEFAULTS, ...options.settings },
        loadsMax: options.tenantLoadsMax ?? 8,
      },
      attached,
    );
  }

  /**
   * Attaches again all tenants that were attached, each in a new generation, and begins to load their timelines: `loaded`
   * says when that is over. A tenant whose local directory cannot be used is broken, and the others are served; timelines
   * likewise (see Tenant.load). As long as the store is unavailable a tenant is attaching.
   * @throws what the generation source, the disk or the store fail of. Nothing is left running then.
   */
  static async open(options: StorageOptions, given: GivenDoors): Promise<PageStorage> {
    const { files, clock, random, logger, objects, generations } = given;
    checkSettings({ ...TIMELINE_DEFAULTS, ...options.settings });
    const storageMetrics = new PageserverMetrics(given.metrics);
    const metrics = storageMetrics.remote;
    const { signal } = new AbortController();
    const deletionDirectory = `${options.directory}/${DELETION_DIRECTORY}`;
    for (const name of [DELETION_DIRECTORY, TENANTS_DIRECTORY, INITIAL_CLUSTERS_DIRECTORY])
      await files.makeDirectory(`${options.directory}/${name}`);
    await files.syncDirectory(options.directory);
    const attached = await generations.reattachAll(signal);
    const modes: AttachedModes = {
      of: (tenantId) => (attached.has(tenantId) ? generations.modeOf(tenantId) : undefined),
    };
    const validator = new GenerationValidator({ source: generations, clock, random, logger, metrics });
    const deletionDoors = {
      files,
      clock,
      random,
      objects,
      validator: ofThoseThatRemove(validator, modes),
      logger,
      metrics,
    };
    const deletions = await DeletionQueue.open(deletionDoors, deletionDirectory, attached);
    try {
      await removeDetached(given, `${options.directory}/${TENANTS_DIRECTORY}`, attached);
    } catch (error) {
      await deletions.shutdown();
      await validator.shutdown();
      throw error;
    }
    const storage = new PageStorage(options, given, validator, deletions, storageMetrics, attached);
    modes.of = (tenantId) => storage.statusOf(tenantId)?.mode;
    return storage;
  }

  /** Resolves when all tenants that were attached at the start are active or broken, or this is closing. */
  get loaded(): Promise<void> {
    return this.#tenants.loaded;
  }

  /** Those that are active. */
  get tenants(): readonly Tenant[] {
    return this.#tenants.active;
  }

  /** All tenants that are attached here, in whatever state. */
  get tenantStatuses(): readonly TenantStatus[] {
    return this.#tenants.statuses;
  }

  /** undefined: it is not attached here. */
  statusOf(tenantId: TenantId): TenantStatus | undefined {
    return this.#tenants.statusOf(tenantId);
  }

  /**
   * An active tenant.
   * @throws VarveError ‘not-found’ / TENANT_NOT_FOUND, never of one that is here; ‘unavailable’ / TENANT_NOT_ACTIVE; of a
   *   broken tenant what it is broken by
   */
  tenant(tenantId: TenantId): Tenant {
    return this.#tenants.require(tenantId);
  }

  /** As `tenant`, but waits a bounded time for one that is being attached. @throws as `tenant`; ‘cancelled’ */
  activeTenant(tenantId: TenantId, signal: AbortSignal, waitMs?: number): Promise<Tenant> {
    return this.#tenants.whenActive(tenantId, signal, waitMs);
  }

  async timeline(tenantId: TenantId, timelineId: TimelineId, signal: AbortSignal): Promise<ActiveTimeline> {
    return (await this.activeTenant(tenantId, signal)).timeline(timelineId);
  }

  /**
   * Attaches a tenant, with all timelines that the store has of it, and waits until it is active, for a bounded time. In
   * the generation in which it is attached already this changes its mode and its configuration while it goes on, and loads
   * it again where it is broken; in a newer one it is attached anew.
   * @throws VarveError ‘conflict’ / TENANT_ATTACHED where it is and no generation is given, TENANT_BUSY; ‘bad-request’ /
   *   GENERATION_TOO_LOW, GENERATION_SPENT; ‘unavailable’ / TENANT_NOT_ACTIVE: it goes on; what the tenant is broken by
   */
  attach(tenantId: TenantId, options: AttachOptions = {}): Promise<Tenant> {
    return this.#tenants.attach(tenantId, options);
  }

  /**
   * Forgets a tenant here. What is in the store stays.
   * @param flushMs for so long at most it is waited until what has been taken in is in the store
   * @throws VarveError ‘not-found’ / TENANT_NOT_FOUND; ‘conflict’ / TENANT_BUSY; what the generation source or the disk
   *   fail of: the tenant is stopping then, and this may be called again
   */
  detach(tenantId: TenantId, options: { readonly flushMs?: number } = {}): Promise<void> {
    return this.#tenants.detach(tenantId, options);
  }

  /**
   * Makes a timeline independent of its ancestors: it gets all that it sees of them, and can be read at all LSNs at which
   * they could. Other branches of its ancestor that begin where it did, or below, become branches of it, unless they are
   * told to stay. The tenant's timelines are loaded anew then. May be repeated, also where it was broken off, and answers
   * the same.
   * @returns those other branches
   * @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; ‘conflict’ / NO_ANCESTOR, TIMELINE_BUSY; BadRequestError
   *   TOO_MANY_ANCESTORS, TIMELINE_ARCHIVED; ‘unavailable’ / DETACH_UNDER_WAY, NOT_ALL_REPARENTED, LSN_NOT_REACHED,
   *   TENANT_NOT_ACTIVE: to be repeated; ‘cancelled’
   */
  async detachAncestor(
    tenant: Tenant,
    timelineId: TimelineId,
    behavior: DetachBehavior,
  ): Promise<readonly TimelineId[]> {
    const { branches, isToBeLoadedAnew } = await tenant.detachAncestor(timelineId, behavior);
    if (isToBeLoadedAnew) await this.#tenants.reload(tenant);
    return branches;
  }

  /**
   * Removes a tenant here and in the store, all of it, also one that is not attached here. That it is to go is durable
   * before anything is removed: a deletion that was interrupted goes on when the tenant is next loaded.
   * @throws VarveError ‘conflict’ / TENANT_BUSY; ‘fenced’ / STALE_GENERATION; what the store, the generation source or the
   *   disk fail of: this may be called again
   */
  deleteTenant(tenantId: TenantId): Promise<void> {
    return this.#tenants.delete(tenantId);
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
    await this.#tenants.close();
    await this.#deletions.shutdown();
    await this.#validator.shutdown();
  }

  *#readTimelines(): Iterable<TimelineReading> {
    for (const tenant of this.tenants) {
      for (const { timeline } of tenant.timelines) yield readTimeline(timeline);
    }
  }

  *#listBroken(): Iterable<{ tenantId: TenantId; timelineId: TimelineId | undefined }> {
    for (const { tenantId, state } of this.tenantStatuses) {
      if (state === 'broken') yield { tenantId, timelineId: undefined };
    }
    for (const { tenantId, brokenTimelines } of this.tenants) {
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
}

/** How tenants are attached to this node, as long as they are. */
interface AttachedModes {
  of: (tenantId: TenantId) => AttachedMode | undefined;
}

/** What has been submitted while it could be removed, and cannot be any more, stays: another node may need it. */
const ofThoseThatRemove = (
  validator: GenerationValidator,
  modes: AttachedModes,
): Pick<GenerationValidator, 'isCurrent'> => ({
  isCurrent: async (claim, signal) => {
    const mayBe = (): boolean => mayRemove(modes.of(claim.tenantId) ?? 'AttachedSingle');
    return mayBe() && (await validator.isCurrent(claim, signal)) && mayBe();
  },
});

/** What is here of tenants that are not attached is of no use to anybody. */
async function removeDetached(
  { files, logger }: GivenDoors,
  directory: string,
  attached: ReadonlyMap<TenantId, number>,
): Promise<void> {
  for (const { name, kind } of (await listEntries(files, directory, logger)) ?? []) {
    if (attached.has(name as TenantId)) continue;
    if (kind !== 'directory' || !isId(name)) {
      logger.warn('Something is left alone that no tenant has', { directory, name });
      continue;
    }
    logger.info('Local files of a tenant are removed that is not attached any more', { name });
    await files.removeDirectory(`${directory}/${name}`);
  }
}
