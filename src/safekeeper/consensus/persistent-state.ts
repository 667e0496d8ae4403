import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type { TermHistory } from '../../contracts/term-history.ts';

/** What is known of the server whose WAL this is. */
export interface ServerInfo {
  /** Such as 170005; 0 where it is not known. */
  readonly pgVersion: number;
  /** 0 where it is not known. */
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
}

/** An upload of the last, unfinished segment of an idle timeline. */
export interface PartialSegment {
  /** `in-progress` is written down before the upload begins, `deleting` before the object goes. */
  readonly status: 'in-progress' | 'uploaded' | 'deleting';
  /** The object's name below the timeline's prefix. */
  readonly name: string;
  readonly commitLsn: Lsn;
  readonly flushLsn: Lsn;
  /** Term of the last WAL in it. */
  readonly term: number;
}

/**
 * What a safekeeper must not forget of a timeline: the content of its control file. How far the WAL on disk goes is
 * not in it, but found in the WAL itself.
 */
export interface PersistentState {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly membership: MembershipConfiguration;
  /** The highest term that this safekeeper has voted for or followed. Never goes back. */
  readonly term: number;
  readonly termHistory: TermHistory;
  readonly server: ServerInfo;
  /** Where the timeline's WAL begins, on any safekeeper; 0 while nobody knows. */
  readonly timelineStartLsn: Lsn;
  /** Where this safekeeper's WAL begins; 0 while it has none. */
  readonly localStartLsn: Lsn;
  /** A quorum has all below. At most what is flushed here; may be behind what was known in memory. */
  readonly commitLsn: Lsn;
  /** All below is in object storage, in whole segments. */
  readonly backupLsn: Lsn;
  /** All safekeepers have all below. */
  readonly peerHorizonLsn: Lsn;
  /** The pageservers have made all below durable in object storage. */
  readonly remoteConsistentLsn: Lsn;
  readonly partialSegments: readonly PartialSegment[];
  /** The WAL that was local has been evicted to object storage; it went to this LSN. */
  readonly evictedAtLsn: Lsn | undefined;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly createdAtMs: number;
}
