import { CorruptionError, VarveError } from '../base/errors.ts';
import { Gate } from '../base/gate.ts';
import { isId, parseTimelineId, type TenantId, type TimelineId } from '../base/ids.ts';
import { INVALID_LSN, type Lsn } from '../base/lsn.ts';
import { TaskSet } from '../base/task-set.ts';
import { type InitialCluster, writeInitialLayer } from './initial-layer.ts';
import type { ReadContext } from './layers/read-context.ts';
import type { RecordPosition } from './layers/record-positions.ts';
import { listEntries, statIfPossible } from './local-entries.ts';
import { deleteRemoteTimeline } from './remote/delete-timeline.ts';
import type { DeletionQueue } from './remote/deletion-queue.ts';
import type { GenerationValidator } from './remote/generation-validator.ts';
import { type LoadedIndex, loadTimelineIndex } from './remote/load-index.ts';
import { tenantPrefix } from './remote/object-keys.ts';
import { type LocalFile, localNameOf, reconcileLocal } from './remote/reconcile-local.ts';
import type { RemoteStart } from './remote/remote-timeline.ts';
import { type IndexHead, toIndexLayer } from './remote/timeline-index.ts';
import type { TimelineSettings } from './timeline/settings.ts';
import type { StorageDoors } from './timeline/storage-doors.ts';
import { OPEN_LAYER_PREFIX, Timeline } from './timeline/timeline.ts';
import { TimelineReads } from './timeline/timeline-reads.ts';
import { type Retention, UpkeepLoop } from './timeline/upkeep-loop.ts';

/** Of what is no file: no layer has it. */
const NO_SIZE = -1;

export interface TenantOptions {
  readonly tenantId: TenantId;
  /** Of this attachment. */
  readonly generation: number;
  readonly directory: string;
  readonly settings: TimelineSettings;
  readonly validator: GenerationValidator;
  readonly deletions: DeletionQueue;
  /** Loading ends with it. */
  readonly signal: AbortSignal;
}

/** A timeline with all that works on it. */
export interface ActiveTimeline {
  readonly timeline: Timeline;
  readonly reads: TimelineReads;
  readonly upkeep: UpkeepLoop;
  /** Of a branch: what keeps its ancestor readable where it begins. Released when the branch is deleted. */
  readonly hold: Retention | undefined;
}

/** A timeline that cannot be served. It stays as it is, here and in the store, until somebody has looked into it. */
export interface BrokenTimeline {
  readonly timelineId: TimelineId;
  readonly error: VarveError;
  /** What its index says; undefined where that cannot be read, so that nobody knows what it descends from. */
  readonly head: IndexHead | undefined;
}

/** The timelines of one tenant that is attached to this pageserver. */
export class Tenant {
  readonly tenantId: TenantId;
  readonly generation: number;
  readonly #doors: StorageDoors;
  readonly #options: TenantOptions;
  readonly #timelines = new Map<TimelineId, ActiveTimeline>();
  readonly #broken = new Map<TimelineId, BrokenTimeline>();
  /** Names that are being created or deleted. */
  readonly #busy = new Set<TimelineId>();
  /** Of branches that are being created. */
  readonly #newBranches = new Set<{ readonly parentId: TimelineId }>();
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
   * Loads all timelines that the store has of the tenant. What is here that no index names is removed. A timeline whose
   * index is damaged or unknown, whose ancestor is missing, or whose directory cannot be used is broken, and so are its
   * branches; the others are served, but keep all history that a broken one may need.
   * @throws what the tenant's directory or the store fail of
   */
  static async load(doors: StorageDoors, options: TenantOptions): Promise<Tenant> {
    const tenant = new Tenant(doors, options);
    const onAbort = (): void => tenant.#ending.abort();
    options.signal.addEventListener('abort', onAbort, { once: true });
    try {
      await doors.files.makeDirectory(options.directory);
      await tenant.#loadAll();
      return tenant;
    } catch (error) {
      await tenant.close();
      throw error;
    } finally {
      options.signal.removeEventListener('abort', onAbort);
    }
  }

  get timelines(): readonly ActiveTimeline[] {
    return [...this.#timelines.values()];
  }

  /** Timelines that cannot be served. */
  get brokenTimelines(): readonly BrokenTimeline[] {
    return [...this.#broken.values()];
  }

  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; of a broken timeline what it is broken by */
  timeline(timelineId: TimelineId): ActiveTimeline {
    const broken = this.#broken.get(timelineId);
    if (broken !== undefined) throw broken.error;
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
  async createBranch(timelineId: TimelineId, parentId: TimelineId, lsn?: Lsn): Promise<ActiveTimeline> {
    const parent = this.timeline(parentId);
    this.#refuseBusy(parentId);
    const branch = { parentId };
    this.#newBranches.add(branch);
    try {
      return await this.#reserve(timelineId, (directory) => this.#branch(timelineId, parent, lsn, directory));
    } finally {
      this.#newBranches.delete(branch);
    }
  }

  async #branch(
    timelineId: TimelineId,
    parent: ActiveTimeline,
    lsn: Lsn | undefined,
    directory: string,
  ): Promise<ActiveTimeline> {
    const context: ReadContext = { task: 'administration', signal: this.#ending.signal };
    const { timeline } = parent;
    const wanted = lsn ?? timeline.lastRecordLsn;
    // From now on garbage collection keeps what the branch sees, whatever becomes of its creation until it is over: no
    // record ends between the branch point and the LSN that was asked for.
    const hold = parent.upkeep.retain(wanted);
    try {
      const point = await branchPoint(parent, wanted, context);
      return await this.#begin(
        {
          tenantId: this.tenantId,
          timelineId,
          postgresMajor: timeline.version.major,
          systemIdentifier: timeline.systemIdentifier,
          walSegmentBytes: timeline.walSegmentBytes,
          hasDataChecksums: timeline.hasDataChecksums,
          ancestor: { timelineId: timeline.timelineId, lsn: point.endLsn, recordStartLsn: point.startLsn },
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
  }

  /**
   * Deletes a timeline, here and in the store. The intent is durable before anything is removed, and a deletion that was
   * interrupted goes on when the tenant is next loaded.
   * @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; ‘precondition’ / TIMELINE_HAS_BRANCHES, also where a broken
   *   timeline is a branch of it, or may be; of a broken timeline what it is broken by
   */
  async deleteTimeline(timelineId: TimelineId): Promise<void> {
    const active = this.timeline(timelineId);
    this.#refuseBusy(timelineId);
    if (this.#mayHaveBranches(active.timeline)) {
      throw new VarveError('precondition', 'TIMELINE_HAS_BRANCHES', `timeline ${timelineId} has branches`);
    }
    using _pass = this.#gate.enter();
    // Where this fails the name stays taken: the next start goes on.
    this.#busy.add(timelineId);
    const { remote } = active.timeline;
    remote.scheduleIndexUpdate({ deletedAtMs: this.#doors.clock.wallMs() });
    await remote.waitForUploads(this.#ending.signal);
    this.#timelines.delete(timelineId);
    await this.#closeActive(active);
    active.hold?.release();
    await this.#deleteForGood(timelineId);
    this.#busy.delete(timelineId);
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

  #mayHaveBranches(timeline: Timeline): boolean {
    const isAncestor = ({ head }: BrokenTimeline): boolean =>
      head === undefined || head.ancestor?.timelineId === timeline.timelineId;
    return (
      [...this.#newBranches].some(({ parentId }) => parentId === timeline.timelineId) ||
      this.timelines.some((other) => other.timeline.ancestorTimeline === timeline) ||
      this.brokenTimelines.some(isAncestor)
    );
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
    if (this.#timelines.has(timelineId) || this.#broken.has(timelineId)) {
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
      await this.#refuseStale();
      active.upkeep.start();
      return active;
    } catch (error) {
      await this.#closeActive(active);
      active.hold?.release();
      throw error;
    }
  }

  /** Whoever has taken over does not know what is made here, and may remove what it needs of others. */
  async #refuseStale(): Promise<void> {
    const { tenantId, generation } = this;
    const { validator } = this.#options;
    if (await validator.isCurrent({ tenantId, generation }, this.#ending.signal)) return;
    throw new VarveError('fenced', 'STALE_GENERATION', `another node has taken tenant ${tenantId} over`);
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
    return { timeline, reads, upkeep, hold: ancestor && parent?.upkeep.retainBranchPoint(ancestor.lsn) };
  }

  async #loadAll(): Promise<void> {
    const found = await this.#findTimelines();
    const indexes = new Map<TimelineId, LoadedIndex>();
    for (const timelineId of found) {
      const name = { tenantId: this.tenantId, timelineId };
      const doors = { ...this.#doors, objects: this.#doors.remote.objects };
      const index = await this.#orBreak(timelineId, undefined, () =>
        loadTimelineIndex(doors, name, this.generation, this.#ending.signal),
      );
      if (index === undefined) continue;
      if (index.head.deletedAtMs === undefined) indexes.set(timelineId, index);
      else this.#tasks.run(() => this.#resumeDeletion(timelineId));
    }
    await this.#removeUnknown(new Set([...indexes.keys(), ...this.#broken.keys()]));
    for (const index of ancestorsFirst(indexes)) {
      const { head } = index;
      await this.#orBreak(head.timelineId, head, () => this.#loadTimeline(index));
    }
    this.#holdForBroken();
    for (const { upkeep } of this.timelines) upkeep.start();
  }

  /** Does something for one timeline, which is broken if that fails for good: undefined then. */
  async #orBreak<Result>(
    timelineId: TimelineId,
    head: IndexHead | undefined,
    action: () => Promise<Result>,
  ): Promise<Result | undefined> {
    try {
      return await action();
    } catch (error) {
      if (!isFault(error)) throw error;
      this.#doors.logger.error('A timeline cannot be served', {
        tenantId: this.tenantId,
        timelineId,
        error,
      });
      this.#broken.set(timelineId, { timelineId, error, head });
      return undefined;
    }
  }

  /** Broken timelines may be repaired: what they need of the others must still be there then. */
  #holdForBroken(): void {
    for (const { head } of this.brokenTimelines) {
      if (head === undefined) for (const { upkeep } of this.timelines) upkeep.holdHistory();
      else if (head.ancestor !== undefined) {
        this.#timelines.get(head.ancestor.timelineId)?.upkeep.retainBranchPoint(head.ancestor.lsn);
      }
    }
  }

  async #resumeDeletion(timelineId: TimelineId): Promise<void> {
    // Nobody may take the name before all is gone; where this fails not before the next start.
    this.#busy.add(timelineId);
    try {
      await this.#deleteForGood(timelineId);
      this.#busy.delete(timelineId);
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
      if (isId(name) && object.startsWith('timeline-index-')) found.add(parseTimelineId(name));
    }
    return [...found];
  }

  /** Removes directories of timelines that no index knows: a creation that was never finished, or a deletion. */
  async #removeUnknown(known: ReadonlySet<TimelineId>): Promise<void> {
    const { files, logger } = this.#doors;
    const { directory } = this.#options;
    for (const { name, kind } of (await listEntries(files, directory, logger)) ?? []) {
      if (known.has(name as TimelineId)) continue;
      if (kind !== 'directory' || !isId(name)) {
        logger.warn('Something is left alone that no timeline has', { directory, name });
        continue;
      }
      logger.info('Local files are removed that belong to no timeline', { name });
      await files.removeDirectory(`${directory}/${name}`);
    }
  }

  async #loadTimeline(index: LoadedIndex): Promise<void> {
    const { timelineId, ancestor } = index.head;
    const directory = this.#directoryOf(timelineId);
    const { files } = this.#doors;
    const parent = ancestor === undefined ? undefined : this.#ancestorOf(timelineId, ancestor.timelineId);
    await files.makeDirectory(directory);
    const local = await this.#reconcile(index, directory);
    this.#timelines.set(timelineId, this.#activate(index, directory, parent, local));
  }

  /** Removes what the index does not name, and says which of its layers are here. */
  async #reconcile(index: LoadedIndex, directory: string): Promise<ReadonlySet<string>> {
    const { files, logger } = this.#doors;
    const entries = await listEntries(files, directory, logger);
    if (entries === undefined) return await this.#findLocal(index, directory);
    const directories = entries.filter(({ kind }) => kind === 'directory').map(({ name }) => name);
    const plan = reconcileLocal(
      entries.filter(({ kind }) => kind === 'file'),
      index.layers,
    );
    // What has a name of ours and is something else than a file is in the way.
    const inTheWay = reconcileLocal(
      entries.filter(({ kind }) => kind !== 'file').map(({ name }) => ({ name, sizeBytes: NO_SIZE })),
      index.layers,
    );
    const unknown = [...plan.unknown, ...inTheWay.unknown];
    const open = unknown.filter((name) => name.startsWith(OPEN_LAYER_PREFIX));
    for (const name of [...plan.remove, ...inTheWay.remove, ...open]) {
      const path = `${directory}/${name}`;
      await (directories.includes(name) ? files.removeDirectory(path) : files.remove(path));
    }
    for (const name of unknown) {
      if (!open.includes(name)) logger.warn('A file is left alone that no timeline has', { directory, name });
    }
    return new Set(plan.present.map((layer) => layer.name));
  }

  /** As #reconcile, where the directory cannot be listed: looks for each layer, and removes nothing. */
  async #findLocal({ layers }: LoadedIndex, directory: string): Promise<ReadonlySet<string>> {
    const { files } = this.#doors;
    const found: LocalFile[] = [];
    for (const layer of layers.values()) {
      const name = localNameOf(layer);
      const status = await statIfPossible(files, `${directory}/${name}`);
      if (status?.kind === 'file') found.push({ name, sizeBytes: status.sizeBytes });
    }
    return new Set(reconcileLocal(found, layers).present.map((layer) => layer.name));
  }

  /** @throws CorruptionError BAD_ANCESTOR, ANCESTOR_BROKEN */
  #ancestorOf(timelineId: TimelineId, ancestorId: TimelineId): ActiveTimeline {
    const broken = this.#broken.get(ancestorId);
    if (broken !== undefined) {
      throw new CorruptionError(
        'ANCESTOR_BROKEN',
        `timeline ${timelineId} descends from ${ancestorId}, which cannot be served: ${broken.error.reason}`,
        broken.error.place,
        broken.error,
      );
    }
    const active = this.#timelines.get(ancestorId);
    if (active !== undefined) return active;
    throw new CorruptionError(
      'BAD_ANCESTOR',
      `timeline ${timelineId} descends from ${ancestorId}, which is not there, or descends from it`,
    );
  }
}

/**
 * Whether it will be so again at the next try, and is a matter of one timeline or tenant: not that the store is not
 * available, that somebody has given up, or a bug.
 */
export function isFault(error: unknown): error is VarveError {
  return error instanceof VarveError && !['unavailable', 'cancelled', 'assertion'].includes(error.kind);
}

/** Where a branch begins: at the end of the last record at or below `wanted`. */
async function branchPoint(
  { timeline, reads }: ActiveTimeline,
  wanted: Lsn,
  context: ReadContext,
): Promise<RecordPosition> {
  const found = await reads.recordBefore(wanted, context);
  if (found !== undefined) return found;
  throw new VarveError(
    'precondition',
    'NO_RECORD_BEFORE_LSN',
    `timeline ${timeline.timelineId} has no record that ends there or before`,
    { lsn: wanted },
  );
}

/** Each timeline behind its ancestor, as far as that is there. Where timelines descend from each other, in any order. */
function ancestorsFirst(indexes: ReadonlyMap<TimelineId, LoadedIndex>): LoadedIndex[] {
  const sorted = new Set<LoadedIndex>();
  for (const index of indexes.values()) {
    const chain: LoadedIndex[] = [];
    let at: LoadedIndex | undefined = index;
    while (at !== undefined && !sorted.has(at) && !chain.includes(at)) {
      chain.push(at);
      const parentId: TimelineId | undefined = at.head.ancestor?.timelineId;
      at = parentId === undefined ? undefined : indexes.get(parentId);
    }
    for (const each of chain.toReversed()) sorted.add(each);
  }
  return [...sorted];
}
