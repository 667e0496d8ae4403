import { VarveError } from '../../base/errors.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { Clock, Timer } from '../../io/clock.ts';
import { Limiter } from '../../io/limiter.ts';
import type { Logger } from '../../observe/log.ts';
import type { Backup } from '../backup/backup.ts';
import { restore } from '../backup/restore.ts';
import type { SafekeeperMetrics } from '../metrics.ts';
import type { DurableAcceptor } from '../timeline/durable-acceptor.ts';
import type { PeerTable } from '../timeline/peer-info.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { retryDelayMs } from './next-look.ts';
import type { UpkeepSettings } from './settings.ts';
import { type CareDoors, TimelineCare } from './timeline-care.ts';

/** After somebody has begun or ended to use a timeline: what comes and goes at once is looked at once. */
const USE_DELAY_MS = 1000;
/** Between looks at the timelines that were there at the start, so that a start is no storm. */
const START_STEP_MS = 50;
const DISK_WORK_MAX = 8;

export interface UpkeepDoors {
  readonly nodeId: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: SafekeeperMetrics;
  readonly settings: UpkeepSettings;
  readonly peers: PeerTable;
  readonly backup: Backup | undefined;
}

interface Charge {
  readonly care: TimelineCare;
  /** When it is to be looked at. */
  dueMs: number;
  isUnderWay: boolean;
  failures: number;
}

/**
 * What goes on behind a safekeeper's back: one manager for all timelines. It knows only those for which something is
 * left to do; a timeline that nobody uses, with all its WAL where it should be, costs nothing. There is one timer, and
 * none where nothing is left to do.
 */
export class Upkeep {
  readonly #doors: UpkeepDoors;
  readonly #careDoors: CareDoors;
  readonly #life = new AbortController();
  readonly #looks = new TaskSet();
  readonly #charges = new Map<Timeline, Charge>();
  readonly #evicted = new Set<Timeline>();
  readonly #holds = new Map<Timeline, number>();
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(doors: UpkeepDoors) {
    this.#doors = doors;
    const { nodeId, clock, metrics, settings, peers, backup } = doors;
    this.#careDoors = {
      nodeId,
      clock,
      metrics,
      settings,
      peers,
      backup,
      diskWork: new Limiter(DISK_WORK_MAX),
      isRemovalHeld: (timeline) => this.#holds.has(timeline),
      onWork: (care) => this.#plan(care.timeline, this.#nowMs),
    };
  }

  /** Looks at all timelines once, one after the other: something may have been left to do when the process ended. */
  begin(timelines: Iterable<Timeline>): void {
    let dueMs = this.#nowMs;
    for (const timeline of timelines) {
      this.#plan(timeline, dueMs);
      dueMs += START_STEP_MS;
    }
  }

  /** What TimelineDoors.onUse tells. */
  noteUse(timeline: Timeline, isInUse: boolean): void {
    if (this.#life.signal.aborted) return;
    const charge = this.#chargeOf(timeline);
    if (charge.care.noteUse(isInUse)) this.#plan(timeline, this.#nowMs + USE_DELAY_MS);
  }

  /** Brings evicted WAL back: TimelineDoors.restore. */
  async restore(timeline: Timeline, acceptor: DurableAcceptor): Promise<void> {
    const { backup, logger } = this.#doors;
    const { tenantId, timelineId } = timeline;
    if (backup === undefined) {
      throw new VarveError(
        'unavailable',
        'NO_OBJECT_STORE',
        `the WAL of ${tenantId}/${timelineId} was evicted to a bucket that is not configured`,
      );
    }
    await restore(timeline, acceptor, backup, AbortSignal.any([timeline.signal, this.#life.signal]));
    logger.info('the WAL of a timeline is back from the bucket', { tenantId, timelineId });
    this.#charges.get(timeline)?.care.noteRestored();
    this.#noteEvicted(timeline, false);
  }

  /** No WAL of the timeline is removed here until this is disposed of: somebody copies its files. */
  holdRemoval(timeline: Timeline): Disposable {
    this.#holds.set(timeline, (this.#holds.get(timeline) ?? 0) + 1);
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      const left = (this.#holds.get(timeline) as number) - 1;
      if (left > 0) this.#holds.set(timeline, left);
      else this.#holds.delete(timeline);
    };
    return { [Symbol.dispose]: release };
  }

  /** Whether this safekeeper is the one that uploads the timeline's WAL. */
  isUploading(timeline: Timeline): boolean {
    return this.#charges.get(timeline)?.care.isUploader ?? false;
  }

  /** How many timelines there is something left to do for. */
  get charges(): number {
    return this.#charges.size;
  }

  /** Nothing begins any more, and what is under way is given up: also WAL that somebody waits for. */
  cancel(): void {
    this.#life.abort(new VarveError('cancelled', 'CLOSING', 'the safekeeper is closing'));
    this.#timer?.cancel();
  }

  /** Cancels, and waits for the end of what is under way. */
  async close(): Promise<void> {
    this.cancel();
    await this.#looks.settled();
    for (const { care } of this.#charges.values()) care.stop();
    this.#charges.clear();
  }

  get #nowMs(): number {
    return this.#doors.clock.monotonicMs();
  }

  #chargeOf(timeline: Timeline): Charge {
    let charge = this.#charges.get(timeline);
    if (charge === undefined) {
      const care = new TimelineCare(timeline, this.#careDoors);
      charge = { care, dueMs: Number.POSITIVE_INFINITY, isUnderWay: false, failures: 0 };
      this.#charges.set(timeline, charge);
    }
    return charge;
  }

  /** Looks at a timeline at that moment, if not before. */
  #plan(timeline: Timeline, dueMs: number): void {
    const charge = this.#chargeOf(timeline);
    charge.dueMs = Math.min(charge.dueMs, dueMs);
    if (!charge.isUnderWay) this.#setTimer(charge.dueMs);
  }

  #setTimer(dueMs: number): void {
    if (dueMs >= this.#timerMs || this.#life.signal.aborted) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.#doors.clock.setTimer(Math.max(0, dueMs - this.#nowMs), () => this.#runDue());
  }

  #runDue(): void {
    this.#timerMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#nowMs;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const charge of this.#charges.values()) {
      if (charge.isUnderWay) continue;
      if (charge.dueMs <= nowMs) this.#looks.run(() => this.#look(charge));
      else nextMs = Math.min(nextMs, charge.dueMs);
    }
    this.#setTimer(nextMs);
  }

  async #look(charge: Charge): Promise<void> {
    charge.isUnderWay = true;
    charge.dueMs = Number.POSITIVE_INFINITY;
    const { care } = charge;
    try {
      const { nextMs, failure } = await care.look(this.#life.signal);
      this.#noteEvicted(care.timeline, care.isEvicted === true);
      if (failure === undefined) {
        charge.failures = 0;
        charge.dueMs = Math.min(charge.dueMs, nextMs ?? Number.POSITIVE_INFINITY);
      } else {
        this.#noteFailure(charge, failure, nextMs);
      }
    } catch (error) {
      if (error instanceof VarveError && error.kind === 'cancelled') this.#forget(care.timeline);
      else this.#noteFailure(charge, error, undefined);
    } finally {
      charge.isUnderWay = false;
    }
    this.#goOn(charge);
  }

  /** @param nextMs when there is something else to do */
  #noteFailure(charge: Charge, failure: unknown, nextMs: number | undefined): void {
    // A bug is nothing to try again.
    if (!(failure instanceof VarveError) || failure.kind === 'assertion') throw failure;
    charge.failures++;
    const retryMs = this.#nowMs + retryDelayMs(charge.failures);
    charge.dueMs = Math.min(retryMs, Math.max(nextMs ?? retryMs, this.#nowMs + 1000));
    const { tenantId, timelineId } = charge.care.timeline;
    const { failures } = charge;
    this.#doors.logger.warn('the upkeep of a timeline failed', {
      tenantId,
      timelineId,
      failures,
      code: failure.code,
      error: failure.message,
    });
  }

  /** Waits for the next time, or forgets the timeline until it is used again. */
  #goOn(charge: Charge): void {
    const { timeline } = charge.care;
    if (this.#charges.get(timeline) !== charge) return;
    if (charge.dueMs === Number.POSITIVE_INFINITY) {
      charge.care.stop();
      this.#charges.delete(timeline);
    } else {
      this.#setTimer(charge.dueMs);
    }
  }

  /** The timeline is closing, or all are. */
  #forget(timeline: Timeline): void {
    this.#charges.get(timeline)?.care.stop();
    this.#charges.delete(timeline);
    this.#noteEvicted(timeline, false);
  }

  #noteEvicted(timeline: Timeline, isEvicted: boolean): void {
    if (isEvicted) this.#evicted.add(timeline);
    else this.#evicted.delete(timeline);
    for (const other of this.#evicted) if (other.isClosed) this.#evicted.delete(other);
    this.#doors.metrics.evictedTimelines.set(this.#evicted.size);
  }
}
