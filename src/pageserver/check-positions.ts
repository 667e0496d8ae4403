import { AssertionError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';

/** How far a timeline is in each respect. */
export interface TimelinePositions {
  /** Below it nothing is promised to be readable, but for branch points and leases. */
  readonly gcCutoff: Lsn;
  /** All below is in the bucket, the index says so, and the generation has been validated since: safekeepers may trim. */
  readonly remoteConsistentVisible: Lsn;
  /** All below is in the bucket, and the index says so. */
  readonly remoteConsistentProjected: Lsn;
  /** All below is in layer files that are synced. */
  readonly diskConsistent: Lsn;
  /** End of the last record that was ingested. */
  readonly lastRecord: Lsn;
}

const ORDER: readonly (keyof TimelinePositions)[] = [
  'gcCutoff',
  'remoteConsistentVisible',
  'remoteConsistentProjected',
  'diskConsistent',
  'lastRecord',
];

/** @throws AssertionError unless each position is at or below the next one, in the order of their declaration. */
export function checkPositions(positions: TimelinePositions): void {
  for (let index = 1; index < ORDER.length; index++) {
    const lower = ORDER[index - 1] as keyof TimelinePositions;
    const upper = ORDER[index] as keyof TimelinePositions;
    // Written so that NaN fails too.
    if (positions[lower] <= positions[upper]) continue;
    const all = ORDER.map((name) => `${name} ${formatLsn(positions[name])}`).join(', ');
    throw new AssertionError(`${lower} is above ${upper}: ${all}`, { lsn: positions[lower] });
  }
}
