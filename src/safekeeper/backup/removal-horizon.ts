import type { Lsn } from '../../base/lsn.ts';
import { segmentNumber } from '../../postgres/wal/segment-name.ts';
import type { PersistentState } from '../consensus/persistent-state.ts';

export interface RemovalView {
  /** As it is on disk: what only memory knows may be forgotten, and WAL that is removed does not come back. */
  readonly persistent: Pick<
    PersistentState,
    'remoteConsistentLsn' | 'backupLsn' | 'peerHorizonLsn' | 'commitLsn' | 'server'
  >;
  readonly flushLsn: Lsn;
  readonly hasObjectStore: boolean;
  /** How far the slowest connected reader has been sent WAL; undefined while there is none. */
  readonly slowestReaderLsn: Lsn | undefined;
}

/**
 * The first segment that must stay on the disk: no WAL at or above the horizon is removed.
 *
 * With object storage the horizon is what is in there in whole segments, as far as the pageservers have all of it in
 * theirs too (so that they rarely have to be served from there), and as far as it is committed. A reader that needs
 * older WAL gets it from the bucket.
 *
 * Without one nothing ever counts as backed up, and what is removed here is gone. Whoever could still need WAL then:
 *
 * - the pageservers, to ingest it: not what they have made durable (the remote consistent LSN);
 * - other safekeepers, to catch up: not what all of them have (the peer horizon);
 * - a proposer, to feed lagging safekeepers: as above;
 * - who streams it right now, such as a standby: not what has been sent.
 *
 * A standby that comes back later than that has to be made anew, as with a stock server whose WAL was recycled.
 * Where no pageserver has ever reported, its LSN is that of the timeline's start, and nothing is removed.
 */
export function firstSegmentToKeep(view: RemovalView): number {
  const { persistent, flushLsn, hasObjectStore, slowestReaderLsn = flushLsn } = view;
  const { remoteConsistentLsn, backupLsn, peerHorizonLsn, commitLsn, server } = persistent;
  const needed = hasObjectStore ? [backupLsn] : [peerHorizonLsn, slowestReaderLsn];
  return segmentNumber(Math.min(remoteConsistentLsn, commitLsn, flushLsn, ...needed), server.segmentBytes);
}
