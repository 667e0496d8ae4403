import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { hasReached } from '../timeline/timeline-reads.ts';

/** Who asks all the time, of a timeline that changes all the time, gets a size that is at most so old. */
const AGE_MS = 10_000;

interface KnownSize {
  readonly lsn: Lsn;
  readonly bytes: number;
  /** When it was found, by the monotonic clock. */
  readonly atMs: number;
}

/** How large the relations of timelines are, as far as somebody has asked. */
export class LogicalSizes {
  readonly #known = new WeakMap<Timeline, KnownSize>();

  /** undefined: nobody has asked. */
  known(timeline: Timeline): KnownSize | undefined {
    return this.#known.get(timeline);
  }

  /** Of the last record, or of one not long ago; where that cannot be found now, what is known. */
  async recent(active: ActiveTimeline, signal: AbortSignal): Promise<KnownSize | undefined> {
    const { timeline } = active;
    const known = this.#known.get(timeline);
    const ageMs = timeline.doors.clock.monotonicMs() - (known?.atMs ?? Number.NEGATIVE_INFINITY);
    return ageMs < AGE_MS ? known : await this.current(active, signal);
  }

  /** Of the last record; where that cannot be found now, what is known. */
  async current(active: ActiveTimeline, signal: AbortSignal): Promise<KnownSize | undefined> {
    const { timeline } = active;
    const lsn = timeline.lastRecordLsn;
    const known = this.#known.get(timeline);
    if (known?.lsn === lsn || !hasReached(timeline, lsn)) return known;
    try {
      return await this.#find(active, lsn, signal);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      timeline.log.warn('The size of the relations could not be found', { error });
      return known;
    }
  }

  async #find({ timeline, reads }: ActiveTimeline, lsn: Lsn, signal: AbortSignal): Promise<KnownSize> {
    const bytes = await reads.logicalSize(lsn, { task: 'administration', signal });
    const size = { lsn, bytes, atMs: timeline.doors.clock.monotonicMs() };
    this.#known.set(timeline, size);
    return size;
  }
}
