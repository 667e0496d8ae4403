import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { DetachBehavior } from '../../contracts/pageserver-api-timeline.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { DetachedFrom } from '../remote/timeline-index.ts';
import type { Detaching } from '../remote/upload-plan.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { waitForLsn } from '../timeline/timeline-reads.ts';
import type { ActiveTimeline } from './active-timeline.ts';
import { findEdgeValues, hasValuesBeside, type SeenAncestor, seenAncestors } from './detach-ancestor-edge.ts';
import { GivenLayers } from './detach-ancestor-layers.ts';
import type { TenantTimelines } from './tenant-timelines.ts';
import type { TimelineNames } from './timeline-names.ts';

/** What has come of a timeline's becoming independent. */
export interface Detachment {
  /** Those that are its branches now, and were its ancestor's. */
  readonly branches: readonly TimelineId[];
  /** Timelines still read where their indexes say no more that they belong. */
  readonly isToBeLoadedAnew: boolean;
}

/**
 * Makes timelines of a tenant independent of their ancestors. Layers are copied while everything goes on. Then one index
 * says that the timeline has them, and no ancestor; what other branches are to follow it stands there, too, and is done
 * next, one index at a time. Until that is over the timeline forgets nothing (Timeline.isGettingBranches). So whenever it
 * is interrupted, all timelines can be read as before, and a repetition goes on.
 */
export class AncestorDetacher {
  readonly #timelines: TenantTimelines;
  readonly #names: TimelineNames;
  readonly #signal: AbortSignal;
  #isRunning = false;

  /** @param signal given when the tenant is closing */
  constructor(timelines: TenantTimelines, names: TimelineNames, signal: AbortSignal) {
    this.#timelines = timelines;
    this.#names = names;
    this.#signal = signal;
  }

  /** @throws as PageStorage.detachAncestor */
  async detach(timelineId: TimelineId, behavior: DetachBehavior): Promise<Detachment> {
    if (this.#isRunning) throw tryAgain('DETACH_UNDER_WAY', 'a timeline of this tenant is being detached');
    const active = this.#timelines.get(timelineId);
    this.#isRunning = true;
    try {
      if (active.timeline.remote.intendedHead.detachedFrom === undefined) await this.#begin(active, behavior);
      return await this.#finish(active.timeline);
    } finally {
      this.#isRunning = false;
    }
  }

  async #begin(active: ActiveTimeline, behavior: DetachBehavior): Promise<void> {
    const { timeline } = active;
    this.#names.refuseBusy(timeline.timelineId);
    const ancestors = seenAncestors(timeline);
    const takesBranches = behavior === 'no_ancestor_and_reparent';
    this.#check(timeline, ancestors, takesBranches);
    const signal = AbortSignal.any([timeline.signal, this.#signal]);
    const context: ReadContext = { task: 'administration', signal };
    using holds = new DisposableStack();
    for (const ancestor of ancestors) {
      const hold = this.#timelines.get(ancestor.timeline.timelineId).upkeep.holdHistory();
      holds.defer(() => hold.release());
    }
    for (const ancestor of ancestors) await makeWritten(ancestor, signal);
    const edges = await findEdgeValues(ancestors, context);
    const given = new GivenLayers(timeline, ancestors, edges, signal);
    try {
      await this.#switch(timeline, ancestors, given, takesBranches, context);
    } catch (error) {
      if (timeline.remote.intendedHead.detachedFrom === undefined) await given.giveUp();
      throw error;
    }
  }

  /** @throws what keeps the timeline from being detached */
  #check(timeline: Timeline, ancestors: readonly SeenAncestor[], takesBranches: boolean): void {
    const { timelineId } = timeline;
    const [nearest] = ancestors;
    if (nearest === undefined) {
      throw new VarveError('conflict', 'NO_ANCESTOR', `timeline ${timelineId} has no ancestor`);
    }
    if (takesBranches && ancestors.length > 1) {
      throw new BadRequestError('TOO_MANY_ANCESTORS', `the ancestor of timeline ${timelineId} has one, too`);
    }
    const affected = takesBranches ? [timeline, ...this.#otherBranches(timeline, nearest)] : [timeline];
    const archived = affected.find(({ archivedAtMs }) => archivedAtMs !== undefined);
    if (archived !== undefined) {
      throw new BadRequestError('TIMELINE_ARCHIVED', `timeline ${archived.timelineId} is archived`);
    }
  }

  /** Other branches of the ancestor that begin where the timeline did, or below. */
  #otherBranches(timeline: Timeline, { timeline: ancestor, lsn }: SeenAncestor): Timeline[] {
    return [...this.#timelines.active.values()]
      .map((active) => active.timeline)
      .filter((other) => {
        const branch = other.remote.intendedHead.ancestor;
        return other !== timeline && branch?.timelineId === ancestor.timelineId && branch.lsn <= lsn;
      });
  }

  /** Copies what there is, and has the timeline's index name it, in the step in which it is known to be all. */
  async #switch(
    timeline: Timeline,
    ancestors: readonly SeenAncestor[],
    given: GivenLayers,
    takesBranches: boolean,
    context: ReadContext,
  ): Promise<void> {
    const nearest = ancestors[0] as SeenAncestor;
    for (;;) {
      const plan = await given.make();
      // What the timeline has put beside its first LSN others that begin there have not.
      const isOnlyBelow = takesBranches && (await hasValuesBeside(timeline, nearest.lsn, context));
      if (!given.isCurrent(plan)) continue;
      const moved = takesBranches
        ? this.#otherBranches(timeline, nearest).filter(
            (other) =>
              !this.#names.isTaken(other.timelineId) &&
              !(isOnlyBelow && other.remote.intendedHead.ancestor?.lsn === nearest.lsn),
          )
        : [];
      this.#names.take(timeline.timelineId, 'moved');
      try {
        timeline.remote.scheduleIndexUpdate({
          detaching: detaching(timeline, ancestors, moved),
          ...given.choose(plan),
        });
      } catch (error) {
        this.#names.give(timeline.timelineId);
        throw error;
      }
      await timeline.remote.waitForUploads(context.signal);
      await given.tidy(plan);
      return;
    }
  }

  async #finish({ remote, timelineId }: Timeline): Promise<Detachment> {
    await remote.waitForUploads(this.#signal);
    const from = remote.intendedHead.detachedFrom as DetachedFrom;
    const takesName = !from.isComplete && !this.#names.isTaken(timelineId);
    if (!from.isComplete) {
      if (takesName) this.#names.take(timelineId, 'moved');
      for (const branchId of from.branches) await this.#move(branchId, from.timelineId, timelineId);
      remote.scheduleIndexUpdate({ hasItsBranches: true });
      await remote.waitForUploads(this.#signal);
    }
    const { active, broken } = this.#timelines;
    const isToBeLoadedAnew = [...active.values()].some(({ timeline }) => isElsewhere(timeline));
    if (takesName && !isToBeLoadedAnew) this.#names.give(timelineId);
    return {
      branches: from.branches.filter((branchId) => active.has(branchId) || broken.has(branchId)),
      isToBeLoadedAnew,
    };
  }

  /** Has a branch descend from another timeline, if it does not yet. It may be gone. */
  async #move(branchId: TimelineId, fromId: TimelineId, toId: TimelineId): Promise<void> {
    const broken = this.#timelines.broken.get(branchId);
    if (broken !== undefined && broken.head?.ancestor?.timelineId !== toId) {
      throw tryAgain('NOT_ALL_REPARENTED', `timeline ${branchId} is broken`);
    }
    const branch = this.#timelines.active.get(branchId)?.timeline;
    if (branch?.remote.intendedHead.ancestor?.timelineId === fromId) {
      if (this.#names.isTaken(branchId)) {
        throw tryAgain('NOT_ALL_REPARENTED', `timeline ${branchId} is busy`);
      }
      this.#names.take(branchId, 'moved');
      branch.remote.scheduleIndexUpdate({ ancestorId: toId });
    }
    await branch?.remote.waitForUploads(this.#signal);
  }
}

const tryAgain = (code: string, reason: string): VarveError => new VarveError('unavailable', code, reason);

/** It reads what its index does not say any more that it reads. */
const isElsewhere = ({ ancestorTimeline, remote }: Timeline): boolean =>
  ancestorTimeline?.timelineId !== remote.intendedHead.ancestor?.timelineId;

/** Brings all that is seen of an ancestor into its layer files. */
async function makeWritten({ timeline, lsn }: SeenAncestor, signal: AbortSignal): Promise<void> {
  await waitForLsn(timeline, lsn, timeline.settings.lsnWaitMs, signal);
  const isInMemory = timeline.memoryLayers.some((layer) => layer.lsnStart <= lastLsnBeside(lsn));
  if (isInMemory || timeline.diskConsistentLsn < lsn) await timeline.flush();
}

function detaching(
  timeline: Timeline,
  ancestors: readonly SeenAncestor[],
  branches: readonly Timeline[],
): Detaching {
  const nearest = ancestors[0] as SeenAncestor;
  const root = ancestors.at(-1) as SeenAncestor;
  let gcCutoffLsn: Lsn = timeline.gcCutoffLsn;
  for (const ancestor of ancestors) {
    // Where history is lacking what is before can be read by nobody.
    if (gcCutoffLsn > ancestor.lsn) break;
    gcCutoffLsn = Math.min(ancestor.lsn, ancestor.timeline.gcCutoffLsn) as Lsn;
  }
  return {
    timelineId: nearest.timeline.timelineId,
    lsn: nearest.lsn,
    edgeLsns: edgesSeen(
      ancestors.map(({ lsn }) => lsn),
      root.timeline.edgeLsns,
    ),
    branches: branches.map((branch) => branch.timelineId),
    isComplete: branches.length === 0,
    initialLsn: root.timeline.initialLsn,
    gcCutoffLsn,
  };
}

/**
 * Where the history that a timeline is given changes, descending. What the root was itself detached of counts only below
 * where it is left: a branch may begin in what its ancestor was given.
 * @param left where each ancestor is left, the nearest first
 */
export function edgesSeen(left: readonly Lsn[], edgesOfRoot: readonly Lsn[]): Lsn[] {
  const edges: Lsn[] = [];
  for (const lsn of [...left, ...edgesOfRoot])
    if (lsn < (edges.at(-1) ?? Number.POSITIVE_INFINITY)) edges.push(lsn);
  return edges;
}
