import { VarveError } from '../../base/errors.ts';
import { Gate } from '../../base/gate.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import type { DetachBehavior } from '../../contracts/pageserver-api-timeline.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import { untilCancelled } from '../../io/cancelled.ts';
import type { InitialCluster } from '../initial-layer.ts';
import type { TimelineSettings } from '../timeline/settings.ts';
import type { StorageDoors } from '../timeline/storage-doors.ts';
import type { ActiveTimeline, BrokenTimeline } from './active-timeline.ts';
import { AncestorDetacher, type Detachment } from './detach-ancestor.ts';
import type { ImportSource } from './import-source.ts';
import { loadTimelines } from './load-timelines.ts';
import { TenantConfiguration } from './tenant-configuration.ts';
import { effectiveConfig } from './tenant-settings.ts';
import { type TenantOptions, TenantTimelines } from './tenant-timelines.ts';
import { type NewCluster, TimelineCreator } from './timeline-creator.ts';
import { TimelineNames } from './timeline-names.ts';
import { TimelineRemover } from './timeline-remover.ts';

/** The timelines of one tenant that is attached to this pageserver. */
export class Tenant {
  readonly tenantId: TenantId;
  readonly generation: number;
  readonly #doors: StorageDoors;
  readonly #timelines: TenantTimelines;
  readonly #names = new TimelineNames();
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  /** Those who create, archive or delete timelines are inside. */
  readonly #gate: Gate;
  readonly #configuration: TenantConfiguration;
  readonly #creator: TimelineCreator;
  readonly #remover: TimelineRemover;
  /** To be gone on with when something may be removed. */
  #toBeDeleted: readonly TimelineId[] = [];
  readonly #detacher: AncestorDetacher;

  private constructor(doors: StorageDoors, options: TenantOptions) {
    this.tenantId = options.tenantId;
    this.generation = options.generation;
    this.#gate = new Gate(`tenant ${options.tenantId}`);
    this.#doors = doors;
    this.#timelines = new TenantTimelines(doors, options);
    const { signal } = this.#ending;
    this.#configuration = new TenantConfiguration(this.#timelines, signal);
    this.#creator = new TimelineCreator(this.#timelines, this.#names, this.#gate, signal);
    this.#remover = new TimelineRemover(this.#timelines, this.#names, this.#gate, signal);
    this.#detacher = new AncestorDetacher(this.#timelines, this.#names, signal);
  }

  /**
   * Loads all timelines that the store has of the tenant. What is here that no index names is removed. A timeline whose
   * index is damaged or unknown, whose ancestor is missing, or whose directory cannot be used is broken, and so are its
   * branches; the others are served, but keep all history that a broken one may need.
   * @throws VarveError ‘precondition’ / TENANT_DELETED where the tenant is to be removed; of its configuration where that
   *   is damaged; what the tenant's directory or the store fail of
   */
  static async load(doors: StorageDoors, options: TenantOptions): Promise<Tenant> {
    const tenant = new Tenant(doors, options);
    const onAbort = (): void => tenant.#ending.abort();
    options.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await tenant.#configuration.load();
      tenant.#toBeDeleted = await loadTimelines(tenant.#timelines, tenant.#ending.signal);
      for (const timelineId of tenant.#toBeDeleted) tenant.#names.take(timelineId, 'deleted');
      tenant.#resumeDeletions();
      for (const active of tenant.timelines) tenant.#timelines.serve(active);
      return tenant;
    } catch (error) {
      await tenant.close();
      throw error;
    } finally {
      options.signal.removeEventListener('abort', onAbort);
    }
  }

  get mode(): AttachedMode {
    return this.#timelines.mode;
  }

  /** It holds from now on: what may not be stored or removed any more waits. */
  set mode(mode: AttachedMode) {
    this.#timelines.mode = mode;
    this.#resumeDeletions();
  }

  #resumeDeletions(): void {
    if (!this.#timelines.mayRemove || this.#ending.signal.aborted) return;
    this.#remover.resume(this.#toBeDeleted, this.#tasks);
    this.#toBeDeleted = [];
  }

  get timelines(): readonly ActiveTimeline[] {
    return [...this.#timelines.active.values()];
  }

  /** Timelines that cannot be served. */
  get brokenTimelines(): readonly BrokenTimeline[] {
    return [...this.#timelines.broken.values()];
  }

  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; of a broken timeline what it is broken by */
  timeline(timelineId: TimelineId): ActiveTimeline {
    return this.#timelines.get(timelineId);
  }

  /** What is set for the tenant; the rest is as the pageserver has it. */
  get config(): TenantConfig {
    return this.#configuration.config;
  }

  /** What holds, set or not. */
  get effectiveConfig(): TenantConfig {
    return effectiveConfig(this.settings, this.config);
  }

  get settings(): TimelineSettings {
    return this.#timelines.settings;
  }

  /**
   * Sets what holds for the tenant, in place of all that was set. Durable in the store when it resolves, and only then
   * does it hold; where the tenant is stale it holds here, and nowhere else.
   * @throws BadRequestError BAD_SETTING; what the store fails of
   */
  async setConfig(config: TenantConfig): Promise<void> {
    using _pass = this.#gate.enter();
    await this.#configuration.set(config);
    for (const { upkeep } of this.timelines) upkeep.trigger();
  }

  /** Brings all that has been taken in to the store, as far as that can be done in so many milliseconds. */
  async flush(waitMs: number): Promise<void> {
    const isOver = new AbortController();
    const timer = this.#doors.clock.setTimer(waitMs, () => isOver.abort());
    const signal = AbortSignal.any([isOver.signal, this.#ending.signal]);
    try {
      for (const { timeline } of this.timelines) timeline.freeze();
      for (const { timeline } of this.timelines) {
        await untilCancelled(signal, timeline.flush());
        await timeline.remote.waitForUploads(signal);
      }
    } catch (error) {
      const isOrderly =
        error instanceof VarveError && (error.kind === 'cancelled' || error.code === 'TENANT_STALE');
      if (!isOrderly) throw error;
    } finally {
      timer.cancel();
    }
  }

  /**
   * Makes a timeline of a stopped cluster. Durable in the store when it resolves; before, nobody can see it. Its first
   * record is the cluster's shutdown checkpoint, which is to be taken in from its WAL. Where it was made already of the
   * same cluster, that one is given.
   * @throws VarveError ‘conflict’ / TIMELINE_EXISTS, TIMELINE_BEING_CREATED, TIMELINE_BUSY; as importCluster; what the disk
   *   fails of
   */
  createTimeline(timelineId: TimelineId, cluster: InitialCluster): Promise<ActiveTimeline> {
    return this.#creator.ofCluster(timelineId, cluster);
  }

  /**
   * Makes a timeline that begins as a new cluster, with a system identifier of its own. All of that cluster's history, its
   * shutdown checkpoint included, is durable in the store when it resolves: WAL goes on behind. Where it was made already
   * in this way, of the same major, that one is given.
   * @throws as createTimeline; VarveError ‘precondition’ / NO_INITDB; as InitialClusters.withCluster
   */
  createFromInitdb(timelineId: TimelineId, cluster: NewCluster): Promise<ActiveTimeline> {
    return this.#creator.ofInitdb(timelineId, cluster);
  }

  /**
   * Makes a timeline of a cluster that `source` brings, and of the WAL that this needs. Durable in the store when it
   * resolves; before, nobody can see it, and where it fails nothing is left of it.
   * @throws VarveError ‘conflict’ / TIMELINE_EXISTS, TIMELINE_BEING_CREATED, TIMELINE_BUSY; what `source` throws; as
   *   importCluster
   */
  importTimeline(timelineId: TimelineId, source: ImportSource): Promise<ActiveTimeline> {
    return this.#creator.imported(timelineId, source);
  }

  /**
   * Branches off a timeline: at `lsn`, rounded down to the end of a record, or at its last record. Nothing is copied.
   * Durable in the store when it resolves; before, nobody can see it. Where it was made already there, that one is given.
   * @throws VarveError ‘conflict’ / TIMELINE_EXISTS, TIMELINE_BEING_CREATED, TIMELINE_BUSY; ‘precondition’ /
   *   BAD_BRANCH_POINT, ANCESTOR_ARCHIVED; ‘unavailable’ / LSN_NOT_REACHED
   */
  createBranch(timelineId: TimelineId, parentId: TimelineId, lsn?: Lsn): Promise<ActiveTimeline> {
    return this.#creator.branch(timelineId, parentId, lsn);
  }

  /**
   * Says, in the index too, that nobody is to use a timeline. Nothing else changes. It may be so already.
   * @throws VarveError ‘precondition’ / TIMELINE_HAS_UNARCHIVED_BRANCHES; as `timeline`; ‘conflict’ / TIMELINE_BUSY
   */
  async archiveTimeline(timelineId: TimelineId): Promise<void> {
    const { timeline } = this.timeline(timelineId);
    this.#names.refuseBusy(timelineId);
    this.#timelines.refuseUnlessUploading();
    using _pass = this.#gate.enter();
    const unarchived = this.#timelines.branchesOf(timelineId).filter((branchId) => {
      const branch = this.#timelines.active.get(branchId)?.timeline;
      const archivedAtMs = branch?.archivedAtMs ?? this.#timelines.broken.get(branchId)?.head?.archivedAtMs;
      return archivedAtMs === undefined;
    });
    if (unarchived.length > 0 || this.#names.hasNewBranches(timelineId)) {
      throw new VarveError(
        'precondition',
        'TIMELINE_HAS_UNARCHIVED_BRANCHES',
        `Cannot archive timeline which has non-archived child timelines: [${unarchived.join(', ')}]`,
      );
    }
    if (timeline.archivedAtMs === undefined) {
      timeline.remote.scheduleIndexUpdate({ archivedAtMs: Math.floor(this.#doors.clock.wallMs()) });
    }
    await timeline.remote.waitForUploads(this.#ending.signal);
  }

  /**
   * Takes back what archiveTimeline did.
   * @throws VarveError ‘precondition’ / ANCESTOR_IS_ARCHIVED; as `timeline`; ‘conflict’ / TIMELINE_BUSY
   */
  async unarchiveTimeline(timelineId: TimelineId): Promise<void> {
    const { timeline } = this.timeline(timelineId);
    this.#names.refuseBusy(timelineId);
    this.#timelines.refuseUnlessUploading();
    using _pass = this.#gate.enter();
    if (timeline.ancestorTimeline?.archivedAtMs !== undefined) {
      throw new VarveError(
        'precondition',
        'ANCESTOR_IS_ARCHIVED',
        `ancestor is archived: ${timeline.ancestorTimeline.timelineId}`,
      );
    }
    if (timeline.archivedAtMs !== undefined) timeline.remote.scheduleIndexUpdate({ archivedAtMs: null });
    await timeline.remote.waitForUploads(this.#ending.signal);
  }

  /**
   * Deletes a timeline, here and in the store. The intent is durable before anything is removed, and a deletion that was
   * interrupted goes on when the tenant is next loaded, or when this is called again. One that is broken goes as well, also where its index is damaged.
   * @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; ‘conflict’ / TIMELINE_BEING_CREATED, TIMELINE_BUSY;
   *   ‘precondition’ / TIMELINE_HAS_BRANCHES, also where a broken timeline is a branch of it, or may be
   */
  deleteTimeline(timelineId: TimelineId): Promise<void> {
    return this.#remover.delete(timelineId);
  }

  /** As PageStorage.detachAncestor, which then loads the tenant anew where that is said. */
  async detachAncestor(timelineId: TimelineId, behavior: DetachBehavior): Promise<Detachment> {
    this.#timelines.refuseUnlessUploading();
    using _pass = this.#gate.enter();
    return await this.#detacher.detach(timelineId, behavior);
  }

  /**
   * Ends all that is under way and waits for it. May be called again.
   * @param drainUntil uploads go on to their end, or until this signal is given: the tenant is to be loaded anew in the
   *   same generation, and nothing may come to the store that its timelines do not know of then
   */
  async close(drainUntil?: AbortSignal): Promise<void> {
    this.#ending.abort();
    await this.#gate.close();
    await this.#tasks.settled();
    await this.#timelines.close(drainUntil);
  }
}
