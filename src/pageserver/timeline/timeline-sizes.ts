import { VarveError } from '../../base/errors.ts';
import { TaskSet } from '../../base/task-set.ts';
import type { Clock } from '../../io/clock.ts';
import type { Logger } from '../../observe/log.ts';
import type { Timeline } from './timeline.ts';
import type { TimelineReads } from './timeline-reads.ts';

/** To find a size out means to read those of all relations: not more often than this. */
const FRESH_MS = 60_000;

interface Size {
  bytes: number;
  atMs: number;
  isBeingRead: boolean;
}

/** How large timelines were, not long ago. */
export class TimelineSizes {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #sizes = new WeakMap<Timeline, Size>();
  readonly #tasks = new TaskSet();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Bytes of the main forks of all relations; 0 while nobody has looked. */
  of(timeline: Timeline): number {
    return this.#sizes.get(timeline)?.bytes ?? 0;
  }

  /** The timeline may have grown: it is looked at, unless it was lately. */
  note(timeline: Timeline, reads: TimelineReads): void {
    const size = this.#sizes.get(timeline) ?? {
      bytes: 0,
      atMs: Number.NEGATIVE_INFINITY,
      isBeingRead: false,
    };
    this.#sizes.set(timeline, size);
    const isFresh = this.#clock.monotonicMs() - size.atMs < FRESH_MS;
    if (isFresh || size.isBeingRead || timeline.signal.aborted) return;
    size.isBeingRead = true;
    this.#tasks.run(() => this.#read(timeline, reads, size));
  }

  /** Resolves when nothing is read any more. The timelines must have been told to end. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  async #read(timeline: Timeline, reads: TimelineReads, size: Size): Promise<void> {
    const { signal, lastRecordLsn } = timeline;
    try {
      size.bytes = await reads.logicalSize(lastRecordLsn, { task: 'administration', signal });
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      const { tenantId, timelineId } = timeline;
      if (!signal.aborted) this.#logger.warn('A size could not be read', { tenantId, timelineId, error });
    } finally {
      size.isBeingRead = false;
      size.atMs = this.#clock.monotonicMs();
    }
  }
}
