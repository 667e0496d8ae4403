import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Timeline } from './timeline.ts';
import { hasReached } from './timeline-reads.ts';

export interface KnownSize {
  readonly lsn: Lsn;
  readonly bytes: number;
}

/** How large the relations of timelines are, as far as somebody has asked. To find that out is to read the sizes of all. */
export class LogicalSizes {
  readonly #known = new WeakMap<Timeline, KnownSize>();
  /** When it was last tried to find one out, whether or not that came to anything: by the monotonic clock. */
  readonly #triedMs = new WeakMap<Timeline, number>();

  /** undefined: nobody has asked. */
  known(timeline: Timeline): KnownSize | undefined {
    return this.#known.get(timeline);
  }

  /** Of the last record, or of one not long ago: what is known, unless nobody has looked within the last `ageMs`. */
  async recent(active: ActiveTimeline, signal: AbortSignal, ageMs: number): Promise<KnownSize | undefined> {
    const { timeline } = active;
    const triedMs = this.#triedMs.get(timeline) ?? Number.NEGATIVE_INFINITY;
    const isFresh = timeline.doors.clock.monotonicMs() - triedMs < ageMs;
    return isFresh ? this.known(timeline) : await this.current(active, signal);
  }

  /** Of the last record; where that cannot be found now, what is known. */
  async current({ timeline, reads }: ActiveTimeline, signal: AbortSignal): Promise<KnownSize | undefined> {
    const lsn = timeline.lastRecordLsn;
    const known = this.known(timeline);
    if (known?.lsn === lsn || !hasReached(timeline, lsn)) return known;
    try {
      const bytes = await reads.logicalSize(lsn, { task: 'administration', signal });
      this.#known.set(timeline, { lsn, bytes });
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (!signal.aborted) timeline.log.warn('The size of the relations could not be found', { error });
    }
    this.#triedMs.set(timeline, timeline.doors.clock.monotonicMs());
    return this.known(timeline);
  }
}
