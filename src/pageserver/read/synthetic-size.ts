import { AssertionError } from '../../base/errors.ts';

/**
 * A point in the history of a tenant's timelines: a branch point, the beginning of what is retained, or a head. Points
 * form a tree in which each one but the first was made from its parent by WAL.
 */
export interface HistoryPoint {
  /** Index of the parent in the list, before this point's own; undefined for a root. */
  readonly parent: number | undefined;
  readonly lsn: number;
  /** Bytes of all relations at this point. */
  readonly logicalBytes: number;
  /** Somebody may want to read at this point or in the WAL that leads to it from its parent. */
  readonly isNeeded: boolean;
}

/** How a point is paid for. */
export type PointPayment = 'snapshot' | 'wal' | 'none';

export interface SyntheticSize {
  readonly bytes: number;
  /** For each point, in the order given. */
  readonly payments: readonly PointPayment[];
}

/** The least that a point and all that follows from it cost. */
interface Costs {
  /** The point itself can be read already. */
  readonly whenThere: number;
  /** Nothing of the point can be read. Infinite where it is needed. */
  readonly whenNot: number;
}

/**
 * What a tenant's history costs by itself, whatever layers happen to hold it: the least number of bytes from which every
 * needed point can be made. A point is either made from a snapshot of its own or, where its parent is there, from the WAL
 * between; a point that nobody needs may be left out. (The model of Neon's tenant_size_model; solved over the tree.)
 */
export function computeSyntheticSize(points: readonly HistoryPoint[]): SyntheticSize {
  const children = points.map((): number[] => []);
  const roots: number[] = [];
  for (const [index, { parent }] of points.entries()) {
    if (parent === undefined) roots.push(index);
    else if (parent >= index || parent < 0)
      throw new AssertionError(`point ${index} comes before its parent`);
    else (children[parent] as number[]).push(index);
  }
  const costs: Costs[] = [];
  for (let index = points.length - 1; index >= 0; index--) {
    costs[index] = costsOf(points, children[index] as number[], costs, index);
  }
  const payments: PointPayment[] = [];
  let bytes = 0;
  for (const root of roots) bytes += cheapest(points, costs, root, false).cost;
  for (const [index, { parent }] of points.entries()) {
    const parentIsThere = parent !== undefined && payments[parent] !== 'none';
    payments.push(cheapest(points, costs, index, parentIsThere).payment);
  }
  return { bytes, payments };
}

function costsOf(
  points: readonly HistoryPoint[],
  children: readonly number[],
  costs: readonly Costs[],
  index: number,
): Costs {
  let whenThere = 0;
  let whenNot = 0;
  for (const child of children) {
    whenThere += cheapest(points, costs, child, true).cost;
    whenNot += cheapest(points, costs, child, false).cost;
  }
  return { whenThere, whenNot: points[index]?.isNeeded === true ? Number.POSITIVE_INFINITY : whenNot };
}

function cheapest(
  points: readonly HistoryPoint[],
  costs: readonly Costs[],
  index: number,
  parentIsThere: boolean,
): { cost: number; payment: PointPayment } {
  const point = points[index] as HistoryPoint;
  const { whenThere, whenNot } = costs[index] as Costs;
  let best: { cost: number; payment: PointPayment } = { cost: whenNot, payment: 'none' };
  if (parentIsThere && point.parent !== undefined) {
    const walBytes = point.lsn - (points[point.parent] as HistoryPoint).lsn;
    // Of two that cost the same, WAL: it also makes what lies between.
    if (walBytes + whenThere < best.cost) best = { cost: walBytes + whenThere, payment: 'wal' };
  }
  const cost = point.logicalBytes + whenThere;
  return cost < best.cost ? { cost, payment: 'snapshot' } : best;
}
