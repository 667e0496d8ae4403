import type { Lsn } from '../../base/lsn.ts';
import type { PageserverPosition, SafekeeperPosition } from '../../contracts/control-api-status.ts';

export interface BucketPosition {
  /** The highest LSN that anybody says is committed; null: nobody says anything. */
  readonly headLsn: Lsn | null;
  /** Up to here the bucket alone has everything; null: nobody knows. */
  readonly bucketLsn: Lsn | null;
}

/**
 * How far a timeline goes, and how far the bucket does: layers up to what the pageserver has uploaded in a generation that was
 * validated, and WAL from there on, where a safekeeper has uploaded that.
 */
export function bucketPosition(
  computeLsn: Lsn | null,
  safekeepers: readonly Pick<SafekeeperPosition, 'commitLsn' | 'backupLsn'>[],
  pageserver: Pick<PageserverPosition, 'lastRecordLsn' | 'remoteConsistentLsn'> | null,
): BucketPosition {
  return {
    headLsn: highest([
      computeLsn,
      pageserver?.lastRecordLsn ?? null,
      ...safekeepers.map(({ commitLsn }) => commitLsn),
    ]),
    bucketLsn: highest([
      pageserver?.remoteConsistentLsn ?? null,
      // Beyond the layers only together with them: without these WAL alone makes no page.
      ...(pageserver?.remoteConsistentLsn === undefined || pageserver.remoteConsistentLsn === null
        ? []
        : safekeepers.map(({ backupLsn }) => backupLsn)),
    ]),
  };
}

function highest(positions: readonly (Lsn | null)[]): Lsn | null {
  let best: Lsn | null = null;
  for (const position of positions) {
    if (position !== null && (best === null || position > best)) best = position;
  }
  return best;
}
