import { VarveError } from '../../base/errors.ts';
import type { NodeKind } from '../../contracts/control-api-status.ts';

/** A node that something may be placed on. */
export interface Candidate {
  readonly id: number;
  /** Of tenants, or of timelines, that it has. */
  readonly count: number;
  readonly isSchedulable: boolean;
}

/**
 * Where something new goes: to those that have the fewest, and of those that have as many to the lower ids.
 * @throws VarveError ‘unavailable’ / NO_NODE where there are not as many that take something
 */
export function place(kind: NodeKind, candidates: readonly Candidate[], wanted: number): number[] {
  const fit = candidates
    .filter(({ isSchedulable }) => isSchedulable)
    .sort((left, right) => left.count - right.count || left.id - right.id);
  if (fit.length < wanted) {
    throw new VarveError(
      'unavailable',
      'NO_NODE',
      `${wanted} ${kind}${wanted === 1 ? ' is' : 's are'} needed, and there ${fit.length === 1 ? 'is' : 'are'} ${fit.length} to place something on`,
    );
  }
  return fit
    .slice(0, wanted)
    .map(({ id }) => id)
    .sort((left, right) => left - right);
}
