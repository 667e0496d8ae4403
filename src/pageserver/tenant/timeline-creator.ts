import { VarveError } from '../../base/errors.ts';
import type { Gate } from '../../base/gate.ts';
import type { TimelineId } from '../../base/ids.ts';
import { formatLsn, INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { TEMPORARY_SUFFIX } from '../../io/replace-file.ts';
import type { ControlFile } from '../../postgres/files/control-file.ts';
import { isOwnSystemIdentifier } from '../initial/own-system-identifier.ts';
import { ownCheckpointWal, ownControlFile, writeInitialLayers } from '../initial/write-initial-layers.ts';
import { type InitialCluster, readControlFile, writeInitialLayer } from '../initial-layer.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { RecordPosition } from '../layers/record-positions.ts';
import { deleteRemoteTimeline } from '../remote/delete-timeline.ts';
import type { RemoteStart } from '../remote/remote-timeline.ts';
import { type IndexHead, toIndexLayer } from '../remote/timeline-index.ts';
import { TimelineIntake } from '../timeline/timeline-intake.ts';
import type { Retention } from '../timeline/upkeep-loop.ts';
import { type ActiveTimeline, closeActive } from './active-timeline.ts';
import type { ImportSource } from './import-source.ts';
import type { TenantTimelines } from './tenant-timelines.ts';
import type { TimelineNames } from './timeline-names.ts';

/** Within a timeline's directory, while it is being imported. */
const IMPORT_DIRECTORY = `import${TEMPORARY_SUFFIX}`;

export interface NewCluster {
  /** PostgreSQL's major version. */
  readonly major: number;
}

/** Makes timelines of a tenant. Nobody can see one before all of it is durable in the store. */
export class TimelineCreator {
  readonly #timelines: TenantTimelines;
  readonly #names: TimelineNames;
  readonly #gate: Gate;
  readonly #signal: AbortSignal;

  /** @param gate those who create are inside. @param signal given when the tenant is closing */
  constructor(timelines: TenantTimelines, names: TimelineNames, gate: Gate, signal: AbortSignal) {
    this.#timelines = timelines;
    this.#names = names;
    this.#gate = gate;
    this.#signal = signal;
  }

  /** @throws as Tenant.createTimeline */
  async ofCluster(timelineId: TimelineId, cluster: InitialCluster): Promise<ActiveTimeline> {
    const { systemIdentifier, checkPoint } = await readControlFile(cluster);
    const isSame = ({ timeline }: ActiveTimeline): boolean =>
      timeline.ancestor === undefined &&
      timeline.systemIdentifier === systemIdentifier &&
      timeline.initialLsn === checkPoint;
    return await this.#reserve(timelineId, isSame, async (directory) => {
      const { options, doors, settings } = this.#timelines;
      const { tenantId, generation } = options;
      const compression = settings.isCompressed ? 'zstd' : 'none';
      const { files } = doors;
      const target = { tenantId, timelineId, generation, compression, files, directory } as const;
      const { layer, control } = await writeInitialLayer(cluster, target);
      const head = this.#importedHead(timelineId, cluster.version.major, control);
      return await this.#begin(head, directory, undefined, async ({ timeline }) => {
        const added = toIndexLayer(layer);
        timeline.addLayer(added);
        timeline.remote.scheduleIndexUpdate({ layersAdded: [added.name] });
      });
    });
  }

  /** @throws as Tenant.createFromInitdb */
  ofInitdb(timelineId: TimelineId, { major }: NewCluster): Promise<ActiveTimeline> {
    const isSame = ({ timeline }: ActiveTimeline): boolean =>
      timeline.ancestor === undefined &&
      timeline.version.major === major &&
      isOwnSystemIdentifier(timeline, timeline.systemIdentifier);
    return this.#reserve(timelineId, isSame, async (directory) => {
      const { doors, options, settings } = this.#timelines;
      const { files, clock, random, initialArtefacts } = doors;
      if (initialArtefacts === undefined) {
        throw new VarveError('precondition', 'NO_INITDB', 'this pageserver has no programs of PostgreSQL');
      }
      const artefact = await initialArtefacts.get(major, this.#signal);
      const { tenantId, generation } = options;
      const control = ownControlFile(artefact, { tenantId, timelineId }, clock, random);
      const compression = settings.isCompressed ? 'zstd' : 'none';
      const target = { tenantId, timelineId, generation, compression, files, directory } as const;
      const layers = await writeInitialLayers(artefact, control, target);
      const head = this.#importedHead(timelineId, major, control);
      return await this.#begin(head, directory, undefined, async ({ timeline }) => {
        // No index names them before the one that has the record, too: nobody else has its WAL.
        timeline.addFirstLayers(layers.map(toIndexLayer));
        const intake = await TimelineIntake.start(timeline);
        await intake.take(ownCheckpointWal(artefact, control));
        await timeline.flush();
      });
    });
  }

  /** @throws as Tenant.importTimeline */
  imported(timelineId: TimelineId, source: ImportSource): Promise<ActiveTimeline> {
    const isSame = (): boolean => false;
    return this.#reserve(timelineId, isSame, async (directory) => {
      const { options, doors, settings } = this.#timelines;
      const { tenantId, generation } = options;
      const { files } = doors;
      // The directory goes with all that is in it if this is interrupted: no index knows it yet.
      const brought = `${directory}/${IMPORT_DIRECTORY}`;
      await files.makeDirectory(brought);
      const cluster = await source.bring(brought, this.#signal);
      const compression = settings.isCompressed ? 'zstd' : 'none';
      const target = { tenantId, timelineId, generation, compression, files, directory } as const;
      const { layer, control } = await writeInitialLayer(cluster, target);
      const lsn = cluster.backupStartLsn ?? control.checkPoint;
      const head = {
        ...this.#importedHead(timelineId, cluster.version.major, control),
        initialLsn: lsn,
        diskConsistentLsn: lsn,
        gcCutoffLsn: lsn,
      };
      let isKnown = false;
      try {
        return await this.#begin(head, directory, undefined, async ({ timeline }) => {
          timeline.remote.holdIndex();
          const added = toIndexLayer(layer);
          timeline.addLayer(added);
          timeline.remote.scheduleIndexUpdate({ layersAdded: [added.name] });
          await source.takeWal(timeline, cluster);
          await files.removeDirectory(brought);
          isKnown = true;
          timeline.remote.releaseIndex();
        });
      } catch (error) {
        if (!isKnown) await this.#removeUploaded(timelineId);
        throw error;
      }
    });
  }

  /** Of a timeline that no index knows, and none will. What cannot be removed now goes with the tenant. */
  async #removeUploaded(timelineId: TimelineId): Promise<void> {
    const { doors, options } = this.#timelines;
    const { tenantId, generation } = options;
    try {
      await deleteRemoteTimeline(
        { ...doors, ...options, objects: doors.remote.objects, validator: this.#timelines.removal },
        { tenantId, timelineId },
        generation,
        this.#signal,
      );
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      doors.logger.warn('Layers of a timeline are left that could not be imported', {
        tenantId,
        timelineId,
        error,
      });
    }
  }

  /** @throws as Tenant.createBranch */
  async branch(timelineId: TimelineId, parentId: TimelineId, lsn: Lsn | undefined): Promise<ActiveTimeline> {
    const context: ReadContext = { task: 'administration', signal: this.#signal };
    this.#names.refuseBusy(timelineId);
    const existing = this.#timelines.active.get(timelineId);
    if (existing !== undefined) {
      const ancestor = this.#timelines.active.get(parentId);
      if (await isSameBranch(existing, parentId, ancestor, lsn, context)) return existing;
      throw timelineExists(timelineId);
    }
    const parent = this.#timelines.get(parentId);
    this.#names.refuseBusy(parentId);
    if (parent.timeline.archivedAtMs !== undefined) {
      throw new VarveError('precondition', 'ANCESTOR_ARCHIVED', `timeline ${parentId} is archived`);
    }
    using _branch = this.#names.branchOff(parentId);
    return await this.#reserve(
      timelineId,
      () => false,
      (directory) => this.#branch(timelineId, parent, lsn, directory, context),
    );
  }

  async #branch(
    timelineId: TimelineId,
    parent: ActiveTimeline,
    lsn: Lsn | undefined,
    directory: string,
    context: ReadContext,
  ): Promise<ActiveTimeline> {
    const { timeline } = parent;
    const wanted = lsn ?? timeline.lastRecordLsn;
    // From now on garbage collection keeps what the branch sees, whatever becomes of its creation until it is over: no
    // record ends between the branch point and the LSN that was asked for.
    const hold = retainForBranch(parent, wanted);
    try {
      const point = await branchPoint(parent, wanted, context);
      const head = {
        tenantId: timeline.tenantId,
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
        leasedLsns: [],
        deletedAtMs: undefined,
        archivedAtMs: undefined,
        isGcBlocked: false,
        detachedFrom: undefined,
      };
      return await this.#begin(head, directory, parent, async (branch) => {
        branch.timeline.remote.scheduleIndexUpdate({});
      });
    } finally {
      hold.release();
    }
  }

  #importedHead(timelineId: TimelineId, postgresMajor: number, control: ControlFile): IndexHead {
    return {
      tenantId: this.#timelines.options.tenantId,
      timelineId,
      postgresMajor,
      systemIdentifier: control.systemIdentifier,
      walSegmentBytes: control.walSegmentBytes,
      hasDataChecksums: control.dataChecksumVersion !== 0,
      ancestor: undefined,
      initialLsn: control.checkPoint,
      diskConsistentLsn: control.checkPoint,
      previousRecordLsn: INVALID_LSN,
      gcCutoffLsn: control.checkPoint,
      leasedLsns: [],
      deletedAtMs: undefined,
      archivedAtMs: undefined,
      isGcBlocked: false,
      detachedFrom: undefined,
    };
  }

  /**
   * Takes a name, with an empty directory, for as long as its timeline is being made. Nothing is left where that fails.
   * A timeline of that name that is the one that is asked for is given instead.
   */
  async #reserve(
    timelineId: TimelineId,
    isSame: (existing: ActiveTimeline) => boolean,
    make: (directory: string) => Promise<ActiveTimeline>,
  ): Promise<ActiveTimeline> {
    const { active, broken, doors } = this.#timelines;
    this.#names.refuseBusy(timelineId);
    const existing = active.get(timelineId);
    if (existing !== undefined && isSame(existing)) return existing;
    if (existing !== undefined || broken.has(timelineId)) throw timelineExists(timelineId);
    this.#timelines.refuseUnlessUploading();
    using _pass = this.#gate.enter();
    this.#names.take(timelineId, 'created');
    const directory = this.#timelines.directoryOf(timelineId);
    const { files } = doors;
    try {
      await files.makeDirectory(directory);
      const made = await make(directory);
      active.set(timelineId, made);
      return made;
    } catch (error) {
      await files.removeDirectory(directory);
      throw error;
    } finally {
      this.#names.give(timelineId);
    }
  }

  /**
   * A timeline that was never there: it is in the store when this resolves.
   * @param fill gives it its layers, and schedules its first index
   */
  async #begin(
    head: IndexHead,
    directory: string,
    parent: ActiveTimeline | undefined,
    fill: (active: ActiveTimeline) => Promise<void>,
  ): Promise<ActiveTimeline> {
    const start: RemoteStart = { head, layers: new Map(), generation: 'new', olderGenerations: [] };
    const active = this.#timelines.activate(start, directory, parent, new Set());
    this.#timelines.beginning.add(active);
    const cancel = (): void => active.timeline.cancel();
    this.#signal.addEventListener('abort', cancel, { once: true });
    try {
      await fill(active);
      await active.timeline.remote.waitForUploads(this.#signal);
      await this.#refuseStale();
      // What was set for the tenant meanwhile holds for this one, too.
      active.timeline.settings = this.#timelines.settings;
      this.#timelines.serve(active);
      return active;
    } catch (error) {
      await closeActive(active);
      active.hold?.release();
      throw error;
    } finally {
      this.#timelines.beginning.delete(active);
      this.#signal.removeEventListener('abort', cancel);
    }
  }

  /** Whoever has taken over does not know what is made here, and may remove what it needs of others. */
  async #refuseStale(): Promise<void> {
    const { tenantId, generation, validator } = this.#timelines.options;
    if (await validator.isCurrent({ tenantId, generation }, this.#signal)) return;
    throw new VarveError('fenced', 'STALE_GENERATION', `another node has taken tenant ${tenantId} over`);
  }
}

const timelineExists = (timelineId: TimelineId): VarveError =>
  new VarveError('conflict', 'TIMELINE_EXISTS', `there is another timeline ${timelineId} already`);

const badBranchPoint = (lsn: Lsn, reason: string, cause?: unknown): VarveError =>
  new VarveError('precondition', 'BAD_BRANCH_POINT', `invalid branch start lsn: ${reason}`, { lsn }, cause);

/** Keeps `wanted` readable, where a branch is to begin. @throws VarveError ‘precondition’ / BAD_BRANCH_POINT */
function retainForBranch({ timeline, upkeep }: ActiveTimeline, wanted: Lsn): Retention {
  const { ancestor } = timeline;
  if (ancestor !== undefined && wanted < ancestor.lsn) {
    throw badBranchPoint(wanted, `less than timeline ancestor lsn ${formatLsn(ancestor.lsn)}`);
  }
  try {
    return upkeep.retain(wanted);
  } catch (error) {
    if (!(error instanceof VarveError) || error.code !== 'LSN_BELOW_CUTOFF') throw error;
    throw badBranchPoint(wanted, `less than latest GC cutoff: ${error.reason}`, error);
  }
}

/** Where a branch begins: at the end of the last record at or below `wanted`. */
async function branchPoint(
  { timeline, reads }: ActiveTimeline,
  wanted: Lsn,
  context: ReadContext,
): Promise<RecordPosition> {
  const found = await reads.recordBefore(wanted, context);
  if (found !== undefined) return found;
  throw badBranchPoint(wanted, `timeline ${timeline.timelineId} has no record that ends there or before`);
}

/** Whether a timeline is the branch that is asked for once more. */
async function isSameBranch(
  { timeline }: ActiveTimeline,
  parentId: TimelineId,
  parent: ActiveTimeline | undefined,
  lsn: Lsn | undefined,
  context: ReadContext,
): Promise<boolean> {
  const { ancestor, ancestorTimeline } = timeline;
  if (ancestor === undefined || ancestorTimeline?.timelineId !== parentId) return false;
  if (lsn === undefined || lsn === ancestor.lsn) return true;
  if (parent === undefined || lsn < ancestor.lsn || lsn > parent.timeline.lastRecordLsn) return false;
  try {
    return (await branchPoint(parent, lsn, context)).endLsn === ancestor.lsn;
  } catch (error) {
    // What was there is forgotten: it cannot be said any more that it is the same.
    if (error instanceof VarveError && error.code === 'LSN_BELOW_CUTOFF') return false;
    throw error;
  }
}
