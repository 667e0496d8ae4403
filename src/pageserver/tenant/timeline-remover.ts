import { VarveError } from '../../base/errors.ts';
import type { Gate } from '../../base/gate.ts';
import type { TimelineId } from '../../base/ids.ts';
import { INVALID_LSN } from '../../base/lsn.ts';
import type { TaskSet } from '../../base/task-set.ts';
import { SEGMENT_BYTES_DEFAULT } from '../../postgres/wal/page-header.ts';
import { deleteRemoteTimeline } from '../remote/delete-timeline.ts';
import { loadTimelineIndex } from '../remote/load-index.ts';
import { RemoteTimeline } from '../remote/remote-timeline.ts';
import type { IndexHead } from '../remote/timeline-index.ts';
import { type ActiveTimeline, type BrokenTimeline, closeActive } from './active-timeline.ts';
import type { TenantTimelines } from './tenant-timelines.ts';
import type { TimelineNames } from './timeline-names.ts';

/** Removes timelines of a tenant. That one is to go is durable before anything of it is removed. */
export class TimelineRemover {
  readonly #timelines: TenantTimelines;
  readonly #names: TimelineNames;
  readonly #gate: Gate;
  readonly #signal: AbortSignal;

  /** @param gate those who delete are inside. @param signal given when the tenant is closing */
  constructor(timelines: TenantTimelines, names: TimelineNames, gate: Gate, signal: AbortSignal) {
    this.#timelines = timelines;
    this.#names = names;
    this.#gate = gate;
    this.#signal = signal;
  }

  /** @throws as Tenant.deleteTimeline */
  async delete(timelineId: TimelineId): Promise<void> {
    this.#names.refuseBusy(timelineId, 'deleted');
    this.#timelines.refuseUnlessRemoving();
    const broken = this.#timelines.broken.get(timelineId);
    const active = broken === undefined ? this.#findActive(timelineId) : undefined;
    this.#refuseBranches(timelineId, broken);
    using _pass = this.#gate.enter();
    this.#names.take(timelineId, 'deleted');
    try {
      if (active !== undefined) await this.#retire(active);
      if (broken !== undefined) await this.#retireBroken(broken);
      await this.#deleteForGood(timelineId);
      this.#names.give(timelineId);
    } catch (error) {
      // Its index says that it is to go, or will: the next start goes on, unless somebody asks for it before.
      this.#names.leaveHalfDeleted(timelineId);
      throw error;
    }
  }

  /** undefined: of one that is half deleted nothing is left that works on it. @throws as TenantTimelines.get */
  #findActive(timelineId: TimelineId): ActiveTimeline | undefined {
    if (this.#names.isHalfDeleted(timelineId)) return this.#timelines.active.get(timelineId);
    return this.#timelines.get(timelineId);
  }

  /** Goes on with the deletions of an earlier attachment, which have the names since then. */
  resume(timelineIds: readonly TimelineId[], tasks: TaskSet): void {
    for (const timelineId of timelineIds) tasks.run(() => this.#resume(timelineId));
  }

  /** Nobody may take the name before all is gone. */
  async #resume(timelineId: TimelineId): Promise<void> {
    try {
      await this.#deleteForGood(timelineId);
      this.#names.give(timelineId);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (this.#signal.aborted) return;
      this.#names.leaveHalfDeleted(timelineId);
      this.#timelines.doors.logger.error(
        'A timeline could not be deleted; who asks for it, or the next start, goes on',
        {
          timelineId,
          error,
        },
      );
    }
  }

  async #retire(active: ActiveTimeline): Promise<void> {
    const { remote, timelineId } = active.timeline;
    remote.scheduleIndexUpdate({ deletedAtMs: this.#timelines.doors.clock.wallMs() });
    await remote.waitForUploads(this.#signal);
    this.#timelines.active.delete(timelineId);
    try {
      await closeActive(active);
    } finally {
      active.hold?.release();
    }
  }

  /** Nothing works on it: its index is put by what is made for that. */
  async #retireBroken(broken: BrokenTimeline): Promise<void> {
    const { timelineId } = broken;
    const { doors, options } = this.#timelines;
    const { tenantId, generation } = options;
    const name = { tenantId, timelineId };
    const remoteDoors = { ...doors, objects: doors.remote.objects };
    const start =
      broken.head === undefined
        ? // Nobody can read what is in its index, which goes with all else.
          {
            head: headOfNothing(tenantId, timelineId),
            layers: new Map(),
            generation: 'new' as const,
            olderGenerations: [],
          }
        : await loadTimelineIndex(remoteDoors, name, generation, this.#signal);
    const remote = new RemoteTimeline(doors.remote, start, generation);
    try {
      remote.scheduleIndexUpdate({ deletedAtMs: doors.clock.wallMs() });
      await remote.waitForUploads(this.#signal);
    } finally {
      await remote.shutdown();
    }
    this.#timelines.broken.delete(timelineId);
    this.#timelines.releaseHolds(timelineId);
  }

  async #deleteForGood(timelineId: TimelineId): Promise<void> {
    const { tenantId, generation, deletions } = this.#timelines.options;
    const { files, clock, logger, remote } = this.#timelines.doors;
    await files.removeDirectory(this.#timelines.directoryOf(timelineId));
    const validator = this.#timelines.removal;
    const doors = { objects: remote.objects, clock, logger, deletions, validator };
    await deleteRemoteTimeline(doors, { tenantId, timelineId }, generation, this.#signal);
  }

  /** @throws VarveError ‘precondition’ / TIMELINE_HAS_BRANCHES */
  #refuseBranches(timelineId: TimelineId, broken: BrokenTimeline | undefined): void {
    const branches = this.#timelines.branchesOf(timelineId);
    // One whose index cannot be read may be a branch. Of two such each may be one of the other: somebody has to decide.
    const isUnsure =
      broken?.head === undefined && broken !== undefined
        ? false
        : [...this.#timelines.broken.values()].some((each) => each !== broken && each.head === undefined);
    if (branches.length === 0 && !isUnsure && !this.#names.hasNewBranches(timelineId)) return;
    throw new VarveError(
      'precondition',
      'TIMELINE_HAS_BRANCHES',
      `Cannot delete timeline which has child timelines: [${branches.join(', ')}]`,
    );
  }
}

/** Stands for a head that cannot be read, in an index whose only purpose is to say that all is to go. */
const headOfNothing = (tenantId: IndexHead['tenantId'], timelineId: IndexHead['timelineId']): IndexHead => ({
  tenantId,
  timelineId,
  postgresMajor: 17,
  systemIdentifier: 0n,
  walSegmentBytes: SEGMENT_BYTES_DEFAULT,
  hasDataChecksums: false,
  ancestor: undefined,
  initialLsn: INVALID_LSN,
  diskConsistentLsn: INVALID_LSN,
  previousRecordLsn: INVALID_LSN,
  gcCutoffLsn: INVALID_LSN,
  leasedLsns: [],
  deletedAtMs: undefined,
  archivedAtMs: undefined,
  isGcBlocked: false,
  detachedFrom: undefined,
});
