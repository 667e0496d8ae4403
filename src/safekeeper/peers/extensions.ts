import type { SafekeeperTimelineInfo, TimelineKey, TimelineStatus } from '../../contracts/safekeeper-api.ts';
import { SafekeeperClient } from '../../http/safekeeper-client.ts';
import type { Clock } from '../../io/clock.ts';
import type { Http } from '../../io/http.ts';
import type { PeerNews, TimelineTransfer } from '../administration/extensions.ts';
import type { Peers } from './peers.ts';
import type { PeerSettings } from './peers-options.ts';
import { type PullDoors, pullTimeline } from './pull-timeline.ts';
import { type SnapshotDoors, snapshotTimeline } from './snapshot.ts';

/** Copies of timelines between safekeepers, for the HTTP API. */
export function timelineTransfer(doors: PullDoors & SnapshotDoors): TimelineTransfer {
  return {
    pullTimeline: (request, signal) => pullTimeline(doors, request, signal),
    // The copy is whole in itself: nothing of it depends on who it is for.
    snapshot: (key, _destinationId, signal) => snapshotTimeline(doors, key, signal),
  };
}

/** The HTTP APIs of other safekeepers, which ask for the same token, and have the same authorities, as their libpq doors. */
export function sourcesOver(http: Http, clock: Clock, { token, tls }: PeerSettings): PullDoors['sourceAt'] {
  return (baseUrl) => {
    const { protocol, hostname } = new URL(baseUrl);
    return new SafekeeperClient({
      http,
      clock,
      baseUrl,
      ...(token === undefined ? {} : { token: async () => (typeof token === 'string' ? token : token()) }),
      ...(tls === undefined || protocol !== 'https:' ? {} : { trust: { ...tls, serverName: hostname } }),
    });
  };
}

/** What is known of the other safekeepers, for the HTTP API. */
export function peerNews(peers: Peers): PeerNews {
  return {
    record: (key, info) => record(peers, key, info),
    peersOf: ({ tenant_id, timeline_id }) =>
      peers
        .toldOf(tenant_id, timeline_id)
        .map(({ nodeId, state, address }): TimelineStatus['peers'][number] => ({
          sk_id: nodeId,
          term: state.term,
          last_log_term: state.lastLogTerm,
          flush_lsn: state.flushLsn,
          commit_lsn: state.commitLsn,
          local_start_lsn: state.localStartLsn,
          pg_connstr: address ?? '',
          // Configurations name no HTTP addresses.
          http_connstr: '',
        })),
  };
}

function record(
  peers: Peers,
  { tenant_id, timeline_id }: TimelineKey,
  info: SafekeeperTimelineInfo,
): Promise<void> {
  return peers.record(info.safekeeper_id, {
    tenantId: tenant_id,
    timelineId: timeline_id,
    generation: 0,
    term: info.term,
    lastLogTerm: info.last_log_term,
    flushLsn: info.flush_lsn,
    commitLsn: info.commit_lsn,
    backupLsn: info.backup_lsn,
    remoteConsistentLsn: info.remote_consistent_lsn,
    peerHorizonLsn: info.peer_horizon_lsn,
    localStartLsn: info.local_start_lsn,
    isActive: false,
  });
}
