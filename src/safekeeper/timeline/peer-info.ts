import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';

/** What another safekeeper has last told of one timeline. */
export interface PeerInfo {
  readonly nodeId: number;
  readonly commitLsn: Lsn;
  /** Where that safekeeper's WAL begins; 0 while it has none. */
  readonly localStartLsn: Lsn;
  /** When it was heard, by this process's monotonic clock. */
  readonly heardMs: number;
}

/** What is known of the other safekeepers of all timelines. */
export interface PeerTable {
  /** In any order; none where nobody is known. It may hold what is old. */
  peersOf(tenantId: TenantId, timelineId: TimelineId): readonly PeerInfo[];
}

/** Of a safekeeper that knows only itself. */
export const NO_PEERS: PeerTable = { peersOf: () => [] };
