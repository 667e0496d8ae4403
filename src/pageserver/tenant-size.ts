import type { Lsn } from '../base/lsn.ts';
import type { ReadContext } from './layers/read-context.ts';
import { computeSyntheticSize, type HistoryPoint, type PointPayment } from './read/synthetic-size.ts';
import type { ActiveTimeline } from './tenant/active-timeline.ts';
import type { Timeline } from './timeline/timeline.ts';

/** A point of the model, with where it is, for people and tools. */
export interface SizedPoint extends HistoryPoint {
  readonly timelineId: string;
  readonly payment: PointPayment;
}

export interface TenantSize {
  readonly bytes: number;
  readonly points: readonly SizedPoint[];
}

/**
 * What a tenant's history costs by itself (computeSyntheticSize): of each timeline the point where it begins, those where
 * others branch off, the beginning of what is kept, and its head.
 * @throws what reading the timelines fails of
 */
export async function computeTenantSize(
  timelines: readonly ActiveTimeline[],
  context: ReadContext,
): Promise<TenantSize> {
  const points: (HistoryPoint & { readonly timelineId: string })[] = [];
  /** By timeline, its points' indexes by LSN. */
  const known = new Map<Timeline, Map<number, number>>();
  // Ancestors come before their branches.
  for (const { timeline, reads } of timelines) {
    const own = new Map<number, number>();
    known.set(timeline, own);
    let parent = parentOf(timeline, known);
    for (const lsn of pointsOf(timeline, timelines)) {
      const isReadable = lsn >= timeline.gcCutoffLsn || timeline.isRetained(lsn);
      points.push({
        timelineId: timeline.timelineId,
        parent,
        lsn,
        logicalBytes: isReadable ? await reads.logicalSize(lsn, context) : Number.POSITIVE_INFINITY,
        isNeeded: lsn >= timeline.gcCutoffLsn,
      });
      parent = points.length - 1;
      own.set(lsn, parent);
    }
  }
  const { bytes, payments } = computeSyntheticSize(points);
  return {
    bytes,
    points: points.map((point, index) => ({ ...point, payment: payments[index] as PointPayment })),
  };
}

function parentOf(
  timeline: Timeline,
  known: ReadonlyMap<Timeline, ReadonlyMap<number, number>>,
): number | undefined {
  const { ancestor, ancestorTimeline } = timeline;
  if (ancestor === undefined || ancestorTimeline === undefined) return undefined;
  return known.get(ancestorTimeline)?.get(ancestor.lsn);
}

/** Ascending, each once. */
function pointsOf(timeline: Timeline, timelines: readonly ActiveTimeline[]): Lsn[] {
  const branchPoints = timelines
    .map((other) => other.timeline)
    .filter((other) => other.ancestorTimeline === timeline)
    .map((other) => other.ancestor?.lsn as Lsn);
  const lsns = new Set([...branchPoints, timeline.gcCutoffLsn, timeline.lastRecordLsn]);
  if (timeline.ancestor === undefined) lsns.add(timeline.initialLsn);
  return [...lsns].filter((lsn) => lsn <= timeline.lastRecordLsn).sort((left, right) => left - right);
}
