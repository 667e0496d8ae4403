import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { AttachedMode } from '../../contracts/pageserver-api-config.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import {
  mayRemove,
  mayUpload,
  refuseUnlessRemoving,
  refuseUnlessUploading,
} from '../remote/attached-mode.ts';
import type { DeletionQueue } from '../remote/deletion-queue.ts';
import type { GenerationValidator } from '../remote/generation-validator.ts';
import type { RemoteStart } from '../remote/remote-timeline.ts';
import type { TimelineSettings } from '../timeline/settings.ts';
import type { StorageDoors } from '../timeline/storage-doors.ts';
import { Timeline } from '../timeline/timeline.ts';
import { TimelineReads } from '../timeline/timeline-reads.ts';
import { type Retention, UpkeepLoop } from '../timeline/upkeep-loop.ts';
import type { ActiveTimeline, BrokenTimeline } from './active-timeline.ts';

export interface TenantOptions {
  readonly tenantId: TenantId;
  /** Of this attachment. */
  readonly generation: number;
  /** How it is attached at first. */
  readonly mode: AttachedMode;
  readonly directory: string;
  /** As the pageserver has them. */
  readonly settings: TimelineSettings;
  /** What is to be set for the tenant, in place of what the store has. */
  readonly config?: TenantConfig;
  readonly validator: GenerationValidator;
  readonly deletions: DeletionQueue;
  /** Called for each timeline when it is ready for its WAL. Must be quick and not throw. */
  readonly onServed: (active: ActiveTimeline) => void;
  /** Loading ends with it. */
  readonly signal: AbortSignal;
}

/** Code of the error of loading a tenant that is to be removed. */
export const TENANT_DELETED = 'TENANT_DELETED';

/** The timelines of a tenant: those that are served, and those that cannot be. */
export class TenantTimelines {
  readonly doors: StorageDoors;
  readonly options: TenantOptions;
  /** Of all timelines. */
  #settings: TimelineSettings;
  #mode: AttachedMode;
  /** Those that nobody can see yet. */
  readonly beginning = new Set<ActiveTimeline>();
  readonly active = new Map<TimelineId, ActiveTimeline>();
  readonly broken = new Map<TimelineId, BrokenTimeline>();
  /** What broken timelines keep others from forgetting, until they are deleted. */
  readonly #holds = new Map<TimelineId, Retention[]>();

  constructor(doors: StorageDoors, options: TenantOptions) {
    this.doors = doors;
    this.options = options;
    this.#settings = options.settings;
    this.#mode = options.mode;
  }

  get mode(): AttachedMode {
    return this.#mode;
  }

  /** It holds from now on. */
  set mode(mode: AttachedMode) {
    this.#mode = mode;
    for (const { timeline } of this.beginning) timeline.remote.mode = mode;
    for (const { timeline, upkeep } of this.active.values()) {
      timeline.remote.mode = mode;
      upkeep.trigger();
    }
  }

  get mayUpload(): boolean {
    return mayUpload(this.#mode);
  }

  get mayRemove(): boolean {
    return mayRemove(this.#mode);
  }

  /** Whether this node is the one that may remove what the tenant has in the store. */
  readonly removal: Pick<GenerationValidator, 'isCurrent'> = {
    isCurrent: async (claim, signal) =>
      this.mayRemove && (await this.options.validator.isCurrent(claim, signal)),
  };

  /** To be asked before anything is made or changed that is to be durable. @throws VarveError ‘unavailable’ / TENANT_STALE */
  refuseUnlessUploading(): void {
    refuseUnlessUploading(this.options.tenantId, this.#mode);
  }

  /** … and before anything is deleted. @throws VarveError ‘unavailable’ / TENANT_STALE, TENANT_NOT_SINGLE */
  refuseUnlessRemoving(): void {
    refuseUnlessRemoving(this.options.tenantId, this.#mode);
  }

  get settings(): TimelineSettings {
    return this.#settings;
  }

  /** They hold from now on. */
  set settings(settings: TimelineSettings) {
    this.#settings = settings;
    for (const { timeline } of this.active.values()) timeline.settings = settings;
  }

  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; of a broken timeline what it is broken by */
  get(timelineId: TimelineId): ActiveTimeline {
    const broken = this.broken.get(timelineId);
    if (broken !== undefined) throw broken.error;
    const active = this.active.get(timelineId);
    if (active === undefined) {
      throw new VarveError(
        'not-found',
        'TIMELINE_NOT_FOUND',
        `tenant ${this.options.tenantId} has no timeline ${timelineId}`,
      );
    }
    return active;
  }

  directoryOf(timelineId: TimelineId): string {
    return `${this.options.directory}/${timelineId}`;
  }

  /** From now on it is tidied up, and gets its WAL. */
  serve(active: ActiveTimeline): void {
    active.upkeep.start();
    this.options.onServed(active);
  }

  /** Makes what works on a timeline. Nobody else can see it yet. */
  activate(
    start: RemoteStart,
    directory: string,
    parent: ActiveTimeline | undefined,
    localLayers: ReadonlySet<string>,
  ): ActiveTimeline {
    const timeline = new Timeline(this.doors, {
      start,
      generation: this.options.generation,
      directory,
      settings: this.#settings,
      ancestor: parent?.timeline,
      localLayers,
    });
    timeline.remote.mode = this.#mode;
    const reads = new TimelineReads(timeline);
    const upkeep = new UpkeepLoop(timeline, reads);
    const { ancestor } = start.head;
    return { timeline, reads, upkeep, hold: ancestor && parent?.upkeep.retainBranchPoint(ancestor.lsn) };
  }

  /** @throws CorruptionError BAD_ANCESTOR, ANCESTOR_BROKEN */
  ancestorOf(timelineId: TimelineId, ancestorId: TimelineId): ActiveTimeline {
    const broken = this.broken.get(ancestorId);
    if (broken !== undefined) {
      throw new CorruptionError(
        'ANCESTOR_BROKEN',
        `timeline ${timelineId} descends from ${ancestorId}, which cannot be served: ${broken.error.reason}`,
        broken.error.place,
        broken.error,
      );
    }
    const active = this.active.get(ancestorId);
    if (active !== undefined) return active;
    throw new CorruptionError(
      'BAD_ANCESTOR',
      `timeline ${timelineId} descends from ${ancestorId}, which is not there, or descends from it`,
    );
  }

  /** Those that descend from it, as far as that is known. */
  branchesOf(timelineId: TimelineId): TimelineId[] {
    const active = [...this.active.values()].filter(
      ({ timeline }) => timeline.ancestorTimeline?.timelineId === timelineId,
    );
    const broken = [...this.broken.values()].filter(({ head }) => head?.ancestor?.timelineId === timelineId);
    return [...active.map(({ timeline }) => timeline.timelineId), ...broken.map((each) => each.timelineId)];
  }

  /** Broken timelines may be repaired: what they need of the others must still be there then. */
  holdForBroken(): void {
    for (const { timelineId, head } of this.broken.values()) {
      const holds: Retention[] = [];
      if (head === undefined) for (const { upkeep } of this.active.values()) holds.push(upkeep.holdHistory());
      else if (head.ancestor !== undefined) {
        const parent = this.active.get(head.ancestor.timelineId);
        if (parent !== undefined) holds.push(parent.upkeep.retainBranchPoint(head.ancestor.lsn));
      }
      this.#holds.set(timelineId, holds);
    }
  }

  /** The broken timeline is gone. */
  releaseHolds(timelineId: TimelineId): void {
    for (const hold of this.#holds.get(timelineId) ?? []) hold.release();
    this.#holds.delete(timelineId);
  }

  /** Ends all that works on them. First nobody collects garbage any more; then branches are closed before what they read. */
  async close(drainUntil?: AbortSignal): Promise<void> {
    const active = [...this.active.values()];
    this.active.clear();
    for (const { timeline } of active) timeline.cancel();
    for (const { upkeep } of active) await upkeep.close();
    if (drainUntil !== undefined)
      await Promise.all(active.map(({ timeline }) => drain(timeline, drainUntil)));
    for (const { timeline } of active.toReversed()) await timeline.close();
  }
}

/** Nothing is scheduled any more: waits until all that was is in the store, or the signal is given. */
async function drain({ remote }: Timeline, signal: AbortSignal): Promise<void> {
  try {
    await remote.waitForUploads(signal);
  } catch (error) {
    if (!(error instanceof VarveError) || error.kind !== 'cancelled') throw error;
  }
}
