import type { Lsn } from '../../base/lsn.ts';

/** What an LSN found for a moment is worth. */
export type TimestampFinding =
  /** The last position at which no later commit had happened; an earlier or equal one had. */
  | { readonly kind: 'present'; readonly lsn: Lsn }
  /** No commit is later: the LSN is the end of what was searched. */
  | { readonly kind: 'future'; readonly lsn: Lsn }
  /** All commits are later: the LSN is the beginning of what was searched. */
  | { readonly kind: 'past'; readonly lsn: Lsn }
  /** There is no commit. */
  | { readonly kind: 'nodata'; readonly lsn: Lsn };

/** Records begin and end at multiples of this. */
const ALIGNMENT = 8;

/**
 * The latest LSN in [minLsn, maxLsn] at which no commit had happened later than `timeMicros`: a branch made there has
 * what was committed up to that moment. `commitTimeAt` gives the time of the latest commit at or below an LSN, undefined
 * where there was none; times rise with the LSN.
 *
 * @param timeMicros microseconds since 2000-01-01 UTC, as commit times
 */
export async function findLsnByTimestamp(
  timeMicros: bigint,
  minLsn: number,
  maxLsn: number,
  commitTimeAt: (lsn: number) => Promise<bigint | undefined>,
): Promise<TimestampFinding> {
  const last = await commitTimeAt(maxLsn);
  if (last === undefined) return { kind: 'nodata', lsn: maxLsn as Lsn };
  if (last <= timeMicros) return { kind: 'future', lsn: maxLsn as Lsn };
  // Invariant: a commit later than wanted had happened at `high`; none had at `low`, unless `low` is still the beginning.
  let low = Math.floor(minLsn / ALIGNMENT);
  let high = Math.ceil(maxLsn / ALIGNMENT);
  const first = await commitTimeAt(minLsn);
  if (first !== undefined && first > timeMicros) return { kind: 'past', lsn: minLsn as Lsn };
  let hasEarlier = first !== undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const time = await commitTimeAt(middle * ALIGNMENT);
    if (time !== undefined && time > timeMicros) high = middle;
    else {
      low = middle;
      if (time !== undefined) hasEarlier = true;
    }
  }
  const lsn = Math.max(low * ALIGNMENT, minLsn) as Lsn;
  return hasEarlier ? { kind: 'present', lsn } : { kind: 'past', lsn };
}
