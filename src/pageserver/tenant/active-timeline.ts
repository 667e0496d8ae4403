import type { VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { IndexHead } from '../remote/timeline-index.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { TimelineReads } from '../timeline/timeline-reads.ts';
import type { Retention, UpkeepLoop } from '../timeline/upkeep-loop.ts';

/** A timeline with all that works on it. */
export interface ActiveTimeline {
  readonly timeline: Timeline;
  readonly reads: TimelineReads;
  readonly upkeep: UpkeepLoop;
  /** Of a branch: what keeps its ancestor readable where it begins. Released when the branch is deleted. */
  readonly hold: Retention | undefined;
}

/** A timeline that cannot be served. It stays as it is, here and in the store, until somebody has looked into it. */
export interface BrokenTimeline {
  readonly timelineId: TimelineId;
  readonly error: VarveError;
  /** What its index says; undefined where that cannot be read, so that nobody knows what it descends from. */
  readonly head: IndexHead | undefined;
}

/** Ends all that works on it, and waits for that. */
export async function closeActive({ timeline, upkeep }: ActiveTimeline): Promise<void> {
  timeline.cancel();
  await upkeep.close();
  await timeline.close();
}
