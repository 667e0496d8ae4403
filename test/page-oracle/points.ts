import { parseTimelineId, type TimelineId } from '../../src/base/ids.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { ExpectedState } from './expected-state.ts';
import { HostRequestError, type StorageHost } from './storage-host.ts';
import type { RecordPlace, WalLog } from './wal-log.ts';

/** A place in WAL where storage is compared with the standby, and the timelines that can be read there. */
export interface Point {
  readonly place: RecordPlace;
  readonly timelines: readonly TimelineId[];
  /** Branches made for this point, in the order in which they can be deleted. */
  readonly branches: readonly TimelineId[];
  expected?: ExpectedState;
}

export function drawTimelineId(random: SeededRandom): TimelineId {
  const words = Array.from({ length: 4 }, () => random.next().toString(16).padStart(8, '0'));
  return parseTimelineId(words.join(''));
}

/** A branch that is brought WAL of its own: the same as the main timeline's. */
interface GrowingBranch {
  readonly timelineId: TimelineId;
  /** Points that have been chosen since. */
  age: number;
}

const GROWING_POINTS_MAX = 3;

export interface PointsDoors {
  readonly host: StorageHost;
  readonly log: WalLog;
  readonly random: SeededRandom;
  readonly main: TimelineId;
}

/** Chooses points among the records that were read last, and makes branches there, which keep them readable. */
export class Points {
  readonly #doors: PointsDoors;
  #lastLsn = 0;
  #growing: GrowingBranch | undefined;
  /** Branches that grow no more. They go when nothing branches off them. */
  readonly #retired: { timelineId: TimelineId; lsn: number }[] = [];
  branches = 0;
  readonly complaints: string[] = [];

  constructor(doors: PointsDoors) {
    this.#doors = doors;
  }

  /** What is to be brought WAL. */
  get growing(): TimelineId | undefined {
    return this.#growing?.timelineId;
  }

  /**
   * Branches that grew once, and how far others have branched off them: after a kill they have to be brought that much
   * again, as receivers of their own would do.
   */
  get retired(): readonly { readonly timelineId: TimelineId; readonly lsn: number }[] {
    return this.#retired;
  }

  /**
   * A point behind the last checkpoint; undefined where there is none yet that a server could stop at, or where storage
   * has collected it before there was a branch (which a kill may delay for long).
   */
  async choose(): Promise<Point | undefined> {
    const { log, random } = this.#doors;
    const checkpoint = log.checkpointBefore(log.endLsn);
    if (checkpoint === undefined) return undefined;
    const lowest = log.recordNumber(checkpoint.endLsn);
    const place = log.place(lowest + random.below(log.records - lowest));
    if (!log.isStoppingPoint(this.#lastLsn, place.endLsn)) return undefined;
    const branches: TimelineId[] = [];
    const timelines: TimelineId[] = [];
    try {
      await this.#branchAt(place, branches, timelines);
    } catch (error) {
      const isTooOld =
        error instanceof HostRequestError && ['LSN_BELOW_CUTOFF', 'BAD_BRANCH_POINT'].includes(error.code);
      if (!isTooOld) throw error;
      await this.forget({ place, timelines, branches });
      return undefined;
    }
    this.#lastLsn = place.endLsn;
    return { place, timelines, branches };
  }

  /** Adds the branches that it makes, and the timelines to be read. */
  async #branchAt(place: RecordPlace, branches: TimelineId[], timelines: TimelineId[]): Promise<void> {
    const { random, main } = this.#doors;
    const first = await this.#branch(main, place);
    branches.push(first);
    timelines.push(main, first);
    if (this.#growing !== undefined) {
      const { timelineId } = this.#growing;
      const second = await this.#branch(timelineId, place);
      branches.push(second);
      timelines.push(timelineId, second);
    }
    if (random.chance(0.3)) {
      const ofFirst = await this.#branch(first, place, true);
      branches.unshift(ofFirst);
      timelines.push(ofFirst);
    }
    await this.#growOn(place);
  }

  /** Another growing branch, where there is none, or the one that is has been so for long. */
  async #growOn(place: RecordPlace): Promise<void> {
    const growing = this.#growing;
    if (growing !== undefined && ++growing.age <= GROWING_POINTS_MAX) return;
    if (growing !== undefined) this.#retired.push({ timelineId: growing.timelineId, lsn: place.endLsn });
    this.#growing = undefined;
    this.#growing = { timelineId: await this.#branch(this.#doors.main, place), age: 0 };
  }

  /** The end of a run, where no branch is needed. */
  last(place: RecordPlace): Point {
    this.#lastLsn = place.endLsn;
    const timelines = [this.#doors.main, ...(this.#growing === undefined ? [] : [this.#growing.timelineId])];
    return { place, timelines, branches: [] };
  }

  /** Nobody wants to read there any more. */
  async forget(point: Point): Promise<void> {
    const { host } = this.#doors;
    for (const timelineId of point.branches) await host.request({ do: 'delete', timelineId });
    const oldest = this.#retired[0];
    if (oldest === undefined) return;
    const status = await host.request({ do: 'status' });
    if (status.some(({ ancestor }) => ancestor?.timelineId === oldest.timelineId)) return;
    this.#retired.shift();
    await host.request({ do: 'delete', timelineId: oldest.timelineId });
  }

  /** At the end of a record, or somewhere in the one behind it, which is to be the same. */
  async #branch(parentId: TimelineId, place: RecordPlace, isExact = false): Promise<TimelineId> {
    const { host, log, random } = this.#doors;
    const timelineId = drawTimelineId(random);
    const room = log.nextEnd(place.endLsn) - place.endLsn;
    const lsn = isExact || random.chance(0.5) ? place.endLsn : place.endLsn + random.below(Math.max(1, room));
    const start = await host.request({ do: 'branch', timelineId, parentId, lsn });
    this.branches++;
    if (start !== place.endLsn) {
      this.complaints.push(`the branch ${timelineId} at ${lsn} begins at ${start}, not at ${place.endLsn}`);
    }
    return timelineId;
  }
}
