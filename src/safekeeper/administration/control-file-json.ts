import type { ControlFile, ControlFileUpdates } from '../../contracts/safekeeper-api-debug.ts';
import type { StatePatch } from '../consensus/patch-state.ts';
import type { PartialSegment, PersistentState } from '../consensus/persistent-state.ts';
import { serverInfoJson } from './timeline-status.ts';

type PartialSegmentJson = ControlFile['partial_backup']['segments'][number];

const STATUS_JSON = { 'in-progress': 'InProgress', uploaded: 'Uploaded', deleting: 'Deleting' } as const;
const STATUS_FROM_JSON = { InProgress: 'in-progress', Uploaded: 'uploaded', Deleting: 'deleting' } as const;

/** A control file as the HTTP API shows it. */
export function controlFileJson(state: PersistentState, hasTermHistory: boolean): ControlFile {
  return {
    tenant_id: state.tenantId,
    timeline_id: state.timelineId,
    mconf: state.membership,
    acceptor_state: {
      term: state.term,
      ...(hasTermHistory ? { term_history: [...state.termHistory] } : {}),
    },
    server: serverInfoJson(state.server),
    timeline_start_lsn: state.timelineStartLsn,
    local_start_lsn: state.localStartLsn,
    commit_lsn: state.commitLsn,
    backup_lsn: state.backupLsn,
    peer_horizon_lsn: state.peerHorizonLsn,
    remote_consistent_lsn: state.remoteConsistentLsn,
    partial_backup: { segments: state.partialSegments.map(segmentJson) },
    eviction_state: state.evictedAtLsn === undefined ? 'Present' : { Offloaded: state.evictedAtLsn },
    creation_ts: state.createdAtMs,
  };
}

/** What `PATCH TL/control_file` asks to change. */
export function patchFromJson(updates: ControlFileUpdates): StatePatch {
  const { partial_backup, eviction_state } = updates;
  const patch = {
    timelineStartLsn: updates.timeline_start_lsn,
    localStartLsn: updates.local_start_lsn,
    commitLsn: updates.commit_lsn,
    backupLsn: updates.backup_lsn,
    peerHorizonLsn: updates.peer_horizon_lsn,
    remoteConsistentLsn: updates.remote_consistent_lsn,
    partialSegments: partial_backup?.segments.map(segmentFromJson),
  };
  const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
  if (eviction_state === undefined) return given;
  return { ...given, evictedAtLsn: eviction_state === 'Present' ? undefined : eviction_state.Offloaded };
}

function segmentJson({ status, name, commitLsn, flushLsn, term }: PartialSegment): PartialSegmentJson {
  return { status: STATUS_JSON[status], name, commit_lsn: commitLsn, flush_lsn: flushLsn, term };
}

function segmentFromJson({ status, name, commit_lsn, flush_lsn, term }: PartialSegmentJson): PartialSegment {
  return { status: STATUS_FROM_JSON[status], name, commitLsn: commit_lsn, flushLsn: flush_lsn, term };
}
