import { INVALID_LSN } from '../../base/lsn.ts';
import type { TimelineKey, TimelineStatus } from '../../contracts/safekeeper-api.ts';
import type { ServerInfo } from '../consensus/persistent-state.ts';
import type { SenderState } from '../send/sender-registry.ts';
import type { ResidentTimeline } from '../timeline/timeline.ts';

type WalSenderJson = TimelineStatus['walsenders'][number];
type FeedbackJson = Extract<WalSenderJson, { Vanilla: unknown }>['Vanilla']['feedback'];

/** All that is known of a timeline here, as `GET TL` answers it. Positions are those of memory. */
export function timelineStatusOf(
  timeline: ResidentTimeline,
  key: TimelineKey,
  peers: TimelineStatus['peers'],
): TimelineStatus {
  const { acceptor } = timeline.acceptor;
  const { timelineStartLsn, localStartLsn, termHistory, server } = acceptor.persistent;
  return {
    ...key,
    mconf: acceptor.membership,
    acceptor_state: {
      term: acceptor.term,
      epoch: acceptor.lastLogTerm,
      term_history: [...termHistory],
    },
    pg_info: serverInfoJson(server),
    flush_lsn: acceptor.flushLsn,
    timeline_start_lsn: timelineStartLsn,
    local_start_lsn: localStartLsn,
    commit_lsn: acceptor.commitLsn,
    backup_lsn: acceptor.backupLsn,
    peer_horizon_lsn: acceptor.peerHorizonLsn,
    remote_consistent_lsn: acceptor.remoteConsistentLsn,
    peers,
    walsenders: timeline.senders.list().map((sender) => senderJson(sender, key)),
    walreceivers: timeline.receivers.list().map(({ connectionId, status }) => {
      return { conn_id: connectionId, status };
    }),
  };
}

export function serverInfoJson({
  pgVersion,
  systemIdentifier,
  segmentBytes,
}: ServerInfo): TimelineStatus['pg_info'] {
  return { pg_version: pgVersion, system_id: systemIdentifier, wal_seg_size: segmentBytes };
}

function senderJson(sender: SenderState, key: TimelineKey): WalSenderJson {
  const { connectionId, peer, applicationName } = sender;
  return {
    Vanilla: {
      ttid: key,
      addr: peer,
      conn_id: connectionId,
      appname: applicationName === '' ? null : applicationName,
      feedback: feedbackJson(sender),
    },
  };
}

/** Who has said nothing yet counts as a standby that has nothing. */
function feedbackJson({ pageserverFeedback, standby, hotStandbyFeedback }: SenderState): FeedbackJson {
  if (pageserverFeedback !== undefined) return { Pageserver: pageserverFeedback };
  return {
    Standby: {
      reply: {
        write_lsn: standby?.writeLsn ?? INVALID_LSN,
        flush_lsn: standby?.flushLsn ?? INVALID_LSN,
        apply_lsn: standby?.applyLsn ?? INVALID_LSN,
        reply_ts: 0,
        reply_requested: false,
      },
      hs_feedback: {
        ts: hotStandbyFeedback?.time ?? 0n,
        xmin: hotStandbyFeedback?.xmin ?? 0n,
        catalog_xmin: hotStandbyFeedback?.catalogXmin ?? 0n,
      },
    },
  };
}
