import { VarveError } from '../../base/errors.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import { isMember } from '../../contracts/membership.ts';
import type { TimelineDeleteResult, TimelineKey } from '../../contracts/safekeeper-api.ts';
import type { Files } from '../../io/files.ts';
import { ControlFileStore } from '../control-file/control-file-store.ts';
import type { DeleteOptions } from '../http/administration.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { Timelines } from '../timeline/timelines.ts';
import type { WalBackup } from './extensions.ts';

/** Above all generations that a configuration can have: what is deleted everywhere never comes back. */
const FOR_EVER = 0xffff_ffff;

export interface RemovalDoors {
  readonly nodeId: number;
  readonly timelines: Timelines;
  readonly files: Files;
  readonly backup: WalBackup | undefined;
}

/** Removes timelines for good, and leaves tombstones. */
export class Removal {
  readonly #doors: RemovalDoors;

  constructor(doors: RemovalDoors) {
    this.#doors = doors;
  }

  /**
   * Deletes a timeline. What is deleted on this safekeeper only may come back in a newer generation.
   * @throws what the bucket fails with: the timeline is then still here
   */
  async delete(key: TimelineKey, { isLocalOnly }: DeleteOptions): Promise<TimelineDeleteResult> {
    const { timelines, backup } = this.#doors;
    const { tenant_id, timeline_id } = key;
    const timeline = timelines.find(tenant_id, timeline_id);
    if (timeline === undefined) return { dir_existed: false };
    const generation = isLocalOnly ? ((await this.#generationOf(timeline)) ?? 0) : FOR_EVER;
    const existed = await timelines.remove(tenant_id, timeline_id, generation, async () => {
      if (!isLocalOnly) await backup?.removeRemote(key);
    });
    return { dir_existed: existed };
  }

  /**
   * Removes a timeline that other safekeepers keep from now on. It may come back in a newer generation only, also if it
   * has never been here.
   * @throws VarveError ‘precondition’ / STILL_A_MEMBER, ‘conflict’ / STALE_GENERATION: it is then as it was
   */
  async exclude(key: TimelineKey, configuration: MembershipConfiguration): Promise<TimelineDeleteResult> {
    const { nodeId, timelines } = this.#doors;
    const { tenant_id, timeline_id } = key;
    const { generation } = configuration;
    if (isMember(configuration, nodeId)) {
      throw new VarveError(
        'precondition',
        'STILL_A_MEMBER',
        `safekeeper ${nodeId} is a member of generation ${generation}`,
      );
    }
    const timeline = timelines.find(tenant_id, timeline_id);
    // So that nobody is sent away for a request that is wrong. What counts is the look when nobody is inside.
    if (timeline !== undefined) await this.#checkNewer(timeline, generation);
    const existed = await timelines.remove(tenant_id, timeline_id, generation, (closed) =>
      this.#checkNewer(closed, generation),
    );
    if (!existed) await timelines.keepOut(tenant_id, timeline_id, generation);
    return { dir_existed: existed };
  }

  /** A configuration of the generation that is known here names this safekeeper, so one without it is another's. */
  async #checkNewer(timeline: Timeline, generation: number): Promise<void> {
    const current = (await this.#generationOf(timeline)) ?? 0;
    if (generation > current) return;
    throw new VarveError(
      'conflict',
      'STALE_GENERATION',
      `request to exclude in generation ${generation} ignored, current generation ${current}`,
    );
  }

  /** As the control file says, without opening the timeline. Undefined where it is damaged: that must not keep it here. */
  async #generationOf(timeline: Timeline): Promise<number | undefined> {
    try {
      const state = await new ControlFileStore(this.#doors.files, timeline.directory).load();
      return state?.membership.generation;
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'corruption') return undefined;
      throw error;
    }
  }
}
