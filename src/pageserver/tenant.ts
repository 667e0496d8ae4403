import { CorruptionError, VarveError } from '../base/errors.ts';
import { Gate } from '../base/gate.ts';
import { parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../base/lsn.ts';
import { TaskSet } from '../base/task-set.ts';
import { type InitialCluster, writeInitialLayer } from './initial-layer.ts';
import type { ReadContext } from './layers/read-context.ts';
import type { RecordPosition } from './layers/record-positions.ts';
import { deleteRemoteTimeline } from './remote/delete-timeline.ts';
import type { DeletionQueue } from './remote/deletion-queue.ts';
import type { GenerationValidator } from './remote/generation-validator.ts';
import { type LoadedIndex, loadTimelineIndex } from './remote/load-index.ts';
import { tenantPrefix } from './remote/object-keys.ts';
import { type LocalFile, reconcileLocal } from './remote/reconcile-local.ts';
import type { RemoteStart } from './remote/remote-timeline.ts';
import { type IndexHead, toIndexLayer } from './remote/timeline-index.ts';
import type { TimelineSettings } from './timeline/settings.ts';
import type { StorageDoors } from './timeline/storage-doors.ts';
import { OPEN_LAYER_PREFIX, Timeline } from './timeline/timeline.ts';
import { TimelineReads } from './timeline/timeline-reads.ts';
import { type Retention, UpkeepLoop } from './timeline/upkeep-loop.ts';

export interface TenantOptions {
  readonly tenantId: TenantId;
  /** Of this attachment. */
  readonly generation: number;
  readonly directory: string;
  readonly settings: TimelineSettings;
  readonly validator: GenerationValidator;
  readonly deletions: DeletionQueue;
}

/** A timeline with all that works on it. */
export interface ActiveTimeline {
  readonly timeline: Timeline;
  readonly reads: TimelineReads;
  readonly upkeep: UpkeepLoop;
  /** Of a branch: what keeps its ancestor readable where it begins. Released when the branch is deleted. */
  readonly hold: Retention | undefined;
}

/** The timelines of one tenant that is attached to this pageserver. */
export class Tenant {
  readonly tenantId: TenantId;
  readonly generation: number;
  readonly #doors: StorageDoors;
  readonly #options: TenantOptions;
  readonly #timelines = new Map<TimelineId, ActiveTimeline>();
  /** Names that are being created or deleted. */
  readonly #busy = new Set<TimelineId>();
  readonly #ending = new AbortController();
  readonly #tasks = new TaskSet();
  /** Those who create or delete timelines are inside. */
  readonly #gate: Gate;

  private constructor(doors: StorageDoors, options: TenantOptions) {
    this.tenantId = options.tenantId;
    this.generation = options.generation;
    this.#gate = new Gate(`tenant ${options.tenantId}`);
    this.#doors = doors;
    this.#options = options;
  }

  /**
   * Loads all timelines that the store has of the tenant. What is here that no index names is removed.
   * @throws what the disk or the store fail of; CorruptionError for an index that is damaged
   */
  static async load(doors: StorageDoors, options: TenantOptions): Promise<Tenant> {
    const tenant = new Tenant(doors, options);
    try {
      await doors.files.makeDirectory(options.directory);
      await tenant.#loadAll();
      return tenant;
    } catch (error) {
      await tenant.close();
      throw error;
    }
  }

  get timelines(): readonly ActiveTimeline[] {
    return [...this.#timelines.values()];
  }

  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND */
  timeline(timelineId: TimelineId): ActiveTimeline {
    const active = this.#timelines.get(timelineId);
    if (active === undefined) {
      throw new VarveError(
        'not-found',
        'TIMELINE_NOT_FOUND',
        `tenant ${this.tenantId} has no timeline ${timelineId}`,
      );
    }
    return active;
  }

  /**
   * Makes a timeline of a stopped cluster. Durable in the store when it resolves; before, nobody can see it. Its first
   * record is the cluster's shutdown checkpoint, which is to be taken in from its WAL.
   * @throws VarveError ‘conflict’ / TIMELINE_EXISTS; as importCluster; what the disk fails of
   */
  createTimeline(timelineId: TimelineId, cluster: InitialCluster): Promise<ActiveTimeline> {
    return this.#reserve(timelineId, async (directory) => {
      const { tenantId, generation } = this;
      const { files } = this.#doors;
      const compression = this.#options.settings.isCompressed ? 'zstd' : 'none';
      const options = { tenantId, timelineId, generation, compression, files, directory } as const;
      const { layer, control } = await writeInitialLayer(cluster, options);
      return await this.#begin(
        {
          tenantId,
          timelineId,
          postgresMajor: cluster.version.major,
          systemIdentifier: control.systemIdentifier,
          walSegmentBytes: control.walSegmentBytes,
          hasDataChecksums: control.dataChecksumVersion !== 0,
          ancestor: undefined,
          initialLsn: control.checkPoint,
          diskConsistentLsn: control.checkPoint,
          previousRecordLsn: INVALID_LSN,
          gcCutoffLsn: control.checkPoint,
          deletedAtMs: undefined,
          archivedAtMs: undefined,
        },
        directory,
        undefined,
        toIndexLayer(layer),
      );
    });
  }

  /**
   * Branches off a timeline: at `lsn`, rounded down to the end of a record, or at its last record. Nothing is copied.
   * Durable in the store when it resolves; before, nobody can see it.
   * @throws VarveError ‘conflict’ / TIMELINE_EXISTS; ‘precondition’ / LSN_BELOW_CUTOFF; ‘unavailable’ / LSN_NOT_REACHED
   */
  createBranch(timelineId: TimelineId, parentId: TimelineId, lsn?: Lsn): Promise<ActiveTimeline> {
    const parent = this.timeline(parentId);
    return this.#reserve(timelineId, async (directory) => {
      const context: ReadContext = { task: 'administration', signal: this.#ending.signal };
      const point = await branchPoint(parent, lsn, context);
      // From now on garbage collection keeps what the branch sees, whatever becomes of its creation until it is over.
      const hold = parent.upkeep.retain(point.endLsn);
      try {
        await parent.reads.at(point.endLsn, context);
        const { timeline } = parent;
        return await this.#begin(
          {
            tenantId: this.tenantId,
            timelineId,
            postgresMajor: timeline.version.major,
            systemIdentifier: timeline.systemIdentifier,
            walSegmentBytes: timeline.walSegmentBytes,
            hasDataChecksums: timeline.hasDataChecksums,
            ancestor: { timelineId: parentId, lsn: point.endLsn, recordStartLsn: point.startLsn },
            initialLsn: point.endLsn,
            diskConsistentLsn: point.endLsn,
            previousRecordLsn: point.startLsn,
            gcCutoffLsn: point.endLsn,
            deletedAtMs: undefined,
            archivedAtMs: undefined,
          },
          directory,
          parent,
          undefined,
        );
      } finally {
        hold.release();
      }
    });
  }

  /**
   * Deletes a timeline, here and in the store. The intent is durable before anything is removed, and a deletion that was
   * interrupted goes on when the tenant is next loaded.
   * @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; ‘precondition’ / TIMELINE_HAS_BRANCHES
   */
  async deleteTimeline(timelineId: TimelineId): Promise<void> {
    const active = this.timeline(timelineId);
    this.#refuseBusy(timelineId);
    if (this.timelines.some(({ timeline }) => timeline.ancestorTimeline === active.timeline)) {
      throw new VarveError('precondition', 'TIMELINE_HAS_BRANCHES', `timeline ${timelineId} has branches`);
    }
    using _pass = this.#gate.enter();
    this.#busy.add(timelineId);
    try {
      const { remote } = active.timeline;
      remote.scheduleIndexUpdate({ deletedAtMs: this.#doors.clock.wallMs() });
      await remote.waitForUploads(this.#ending.signal);
      this.#timelines.delete(timelineId);
      await this.#closeActive(active);
      await this.#deleteForGood(timelineId);
      active.hold?.release();
    } finally {
      this.#busy.delete(timelineId);
    }
  }

  /** Ends all that is under way and waits for it. May be called again. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#gate.close();
    await this.#tasks.settled();
    const active = this.timelines;
    this.#timelines.clear();
    // First nobody collects garbage any more; then branches are closed before what they read.
    for (const { timeline } of active) timeline.cancel();
    for (const { upkeep } of active) await upkeep.close();
    for (const { timeline } of active.toReversed()) await timeline.close();
  }

  async #closeActive({ timeline, upkeep }: ActiveTimeline): Promise<void> {
    timeline.cancel();
    await upkeep.close();
    await timeline.close();
  }

  async #deleteForGood(timelineId: TimelineId): Promise<void> {
    const { validator, deletions } = this.#options;
    const { files, clock, logger } = this.#doors;
    const { objects } = this.#doors.remote;
    await files.removeDirectory(this.#directoryOf(timelineId));
    const name = { tenantId: this.tenantId, timelineId };
    const doors = { objects, clock, logger, deletions, validator };
    await deleteRemoteTimeline(doors, name, this.generation, this.#ending.signal);
  }

  #directoryOf(timelineId: TimelineId): string {
    return `${this.#options.directory}/${timelineId}`;
  }

  #refuseBusy(timelineId: TimelineId): void {
    if (!this.#busy.has(timelineId)) return;
    throw new VarveError('conflict', 'TIMELINE_BUSY', `timeline ${timelineId} is being created or deleted`);
  }

  /** Takes a name, with an empty directory, for as long as its timeline is being made. Nothing is left where that fails. */
  async #reserve(
    timelineId: TimelineId,
    make: (directory: string) => Promise<ActiveTimeline>,
  ): Promise<ActiveTimeline> {
    if (this.#timelines.has(timelineId)) {
      throw new VarveError('conflict', 'TIMELINE_EXISTS', `there is a timeline ${timelineId} already`);
    }
    this.#refuseBusy(timelineId);
    using _pass = this.#gate.enter();
    this.#busy.add(timelineId);
    const directory = this.#directoryOf(timelineId);
    const { files } = this.#doors;
    try {
      await files.makeDirectory(directory);
      const active = await make(directory);
      this.#timelines.set(timelineId, active);
      return active;
    } catch (error) {
      await files.removeDirectory(directory);
      throw error;
    } finally {
      this.#busy.delete(timelineId);
    }
  }

  /** A timeline that was never there: it is in the store when this resolves. */
  async #begin(
    head: IndexHead,
    directory: string,
    parent: ActiveTimeline | undefined,
    layer: Parameters<Timeline['addLayer']>[0] | undefined,
  ): Promise<ActiveTimeline> {
    const start: RemoteStart = { head, layers: new Map(), generation: 'new', olderGenerations: [] };
    const active = this.#activate(start, directory, parent, new Set());
    try {
      const { timeline } = active;
      if (layer !== undefined) timeline.addLayer(layer);
      timeline.remote.scheduleIndexUpdate(layer === undefined ? {} : { layersAdded: [layer.name] });
      await timeline.remote.waitForUploads(this.#ending.signal);
      active.upkeep.start();
      return active;
    } catch (error) {
      await this.#closeActive(active);
      active.hold?.release();
      throw error;
    }
  }

  #activate(
    start: RemoteStart,
    directory: string,
    parent: ActiveTimeline | undefined,
    localLayers: ReadonlySet<string>,
  ): ActiveTimeline {
    const timeline = new Timeline(this.#doors, {
      start,
      generation: this.generation,
      directory,
      settings: this.#options.settings,
      ancestor: parent?.timeline,
      localLayers,
    });
    const reads = new TimelineReads(timeline);
    const upkeep = new UpkeepLoop(timeline, reads);
    const { ancestor } = start.head;
    return { timeline, reads, upkeep, hold: ancestor && parent?.upkeep.retain(ancestor.lsn) };
  }

  async #loadAll(): Promise<void> {
    const found = await this.#findTimelines();
    const indexes = new Map<TimelineId, LoadedIndex>();
    for (const timelineId of found) {
      const name = { tenantId: this.tenantId, timelineId };
      const doors = { ...this.#doors, objects: this.#doors.remote.objects };
      const index = await loadTimelineIndex(doors, name, this.generation, this.#ending.signal);
      if (index.head.deletedAtMs === undefined) indexes.set(timelineId, index);
      else this.#tasks.run(() => this.#resumeDeletion(timelineId));
    }
    await this.#removeUnknown(indexes);
    for (const index of ancestorsFirst(indexes)) await this.#loadTimeline(index);
    for (const { upkeep } of this.timelines) upkeep.start();
  }

  async #resumeDeletion(timelineId: TimelineId): Promise<void> {
    try {
      await this.#deleteForGood(timelineId);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (this.#ending.signal.aborted) return;
      this.#doors.logger.error('A timeline could not be deleted; the next start goes on', {
        timelineId,
        error,
      });
    }
  }

  /** Timelines that have an index in the store. */
  async #findTimelines(): Promise<TimelineId[]> {
    const prefix = `${tenantPrefix(this.tenantId)}timelines/`;
    const { signal } = this.#ending;
    const found = new Set<TimelineId>();
    for await (const { key } of this.#doors.remote.objects.list(prefix, signal)) {
      const [name = '', object = ''] = key.slice(prefix.length).split('/');
      if (/^[0-9a-f]{32}$/.test(name) && object.startsWith('timeline-index-'))
        found.add(parseTimelineId(name));
    }
    return [...found];
  }

  /** Removes directories of timelines that no index knows: a creation that was never finished, or a deletion. */
  async #removeUnknown(indexes: ReadonlyMap<TimelineId, LoadedIndex>): Promise<void> {
    const { files, logger } = this.#doors;
    for (const name of await files.list(this.#options.directory)) {
      if (indexes.has(name as TimelineId)) continue;
      logger.info('Local files are removed that belong to no timeline', { name });
      await files.removeDirectory(`${this.#options.directory}/${name}`);
    }
  }

  async #loadTimeline(index: LoadedIndex): Promise<void> {
    const { timelineId, ancestor } = index.head;
    const directory = this.#directoryOf(timelineId);
    const { files } = this.#doors;
    await files.makeDirectory(directory);
    const local = await this.#reconcile(index, directory);
    const parent = ancestor === undefined ? undefined : this.timeline(ancestor.timelineId);
    this.#timelines.set(timelineId, this.#activate(index, directory, parent, local));
  }

  /** Removes what the index does not name, and says which of its layers are here. */
  async #reconcile(index: LoadedIndex, directory: string): Promise<ReadonlySet<string>> {
    const { files, logger } = this.#doors;
    const found: LocalFile[] = [];
    for (const name of await files.list(directory)) {
      found.push({ name, sizeBytes: (await files.stat(`${directory}/${name}`)).sizeBytes });
    }
    const plan = reconcileLocal(found, index.layers);
    const open = plan.unknown.filter((name) => name.startsWith(OPEN_LAYER_PREFIX));
    for (const name of [...plan.remove, ...open]) await files.remove(`${directory}/${name}`);
    for (const name of plan.unknown) {
      if (!open.includes(name)) logger.warn('A file is left alone that no timeline has', { directory, name });
    }
    return new Set(plan.present.map((layer) => layer.name));
  }
}

/** Where a branch begins: at the end of the last record at or below `lsn`, or of the last of all. */
async function branchPoint(
  { timeline, reads }: ActiveTimeline,
  lsn: Lsn | undefined,
  context: ReadContext,
): Promise<RecordPosition> {
  const wanted = lsn ?? timeline.lastRecordLsn;
  const found = await reads.recordBefore(wanted, context);
  if (found !== undefined) return found;
  throw new VarveError(
    'precondition',
    'NO_RECORD_BEFORE_LSN',
    `timeline ${timeline.timelineId} has no record that ends there or before`,
    { lsn: wanted },
  );
}

/** @throws CorruptionError where an ancestor is missing, or timelines descend from each other */
function ancestorsFirst(indexes: ReadonlyMap<TimelineId, LoadedIndex>): LoadedIndex[] {
  const sorted = new Set<LoadedIndex>();
  const visit = (index: LoadedIndex, below: ReadonlySet<LoadedIndex>): void => {
    if (sorted.has(index)) return;
    const { ancestor, timelineId } = index.head;
    if (ancestor !== undefined) {
      const parent = indexes.get(ancestor.timelineId);
      if (parent === undefined || below.has(parent)) {
        throw new CorruptionError(
          'BAD_ANCESTOR',
          `timeline ${timelineId} descends from ${ancestor.timelineId}, which ${parent === undefined ? 'is not there' : 'descends from it'}`,
        );
      }
      visit(parent, new Set([...below, index]));
    }
    sorted.add(index);
  };
  for (const index of indexes.values()) visit(index, new Set([index]));
  return [...sorted];
}
