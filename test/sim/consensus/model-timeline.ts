import { parseTenantId, parseTimelineId } from '../../../src/base/ids.ts';
import { INVALID_LSN, toLsn } from '../../../src/base/lsn.ts';
import type { MembershipConfiguration, SafekeeperAddress } from '../../../src/contracts/membership.ts';
import type { PersistentState } from '../../../src/safekeeper/consensus/persistent-state.ts';

export const TENANT_ID = parseTenantId('11'.repeat(16));
export const TIMELINE_ID = parseTimelineId('22'.repeat(16));
export const SERVER = { pgVersion: 170005, systemIdentifier: 7n, segmentBytes: 1024 * 1024 } as const;
export const INITIAL_LSN = toLsn(16);

export const address = (id: number): SafekeeperAddress => ({ id, host: `safekeeper-${id}`, pgPort: 5454 });

/** How the timeline came to be on a safekeeper: nobody said where it begins; that was said; or there was a commit. */
export type Birth = 'unknown' | 'start-known' | 'start-committed';

export function newTimelineState(membership: MembershipConfiguration, birth: Birth): PersistentState {
  const startLsn = birth === 'unknown' ? INVALID_LSN : INITIAL_LSN;
  return {
    tenantId: TENANT_ID,
    timelineId: TIMELINE_ID,
    membership,
    term: 0,
    termHistory: birth === 'start-committed' ? [{ term: 0, lsn: INITIAL_LSN }] : [],
    server: { ...SERVER, systemIdentifier: 0n },
    timelineStartLsn: startLsn,
    localStartLsn: startLsn,
    commitLsn: birth === 'start-committed' ? INITIAL_LSN : INVALID_LSN,
    backupLsn: startLsn,
    peerHorizonLsn: startLsn,
    remoteConsistentLsn: INVALID_LSN,
    partialSegments: [],
    evictedAtLsn: undefined,
    createdAtMs: 0,
  };
}
