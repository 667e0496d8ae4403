import type { TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { PeerInfo } from '../timeline/peer-info.ts';

/** Who was not heard for longer does not count. */
export const PEER_SILENCE_MAX_MS = 5000;
/** Who is further behind the most advanced one does not count. */
export const UPLOADER_LAG_MAX_BYTES: number = 128 * 1024 * 1024;

export interface UploaderChoice {
  readonly timelineId: TimelineId;
  /** As this safekeeper knows it. */
  readonly backupLsn: Lsn;
  readonly self: Omit<PeerInfo, 'heardMs'>;
  readonly peers: readonly PeerInfo[];
  /** By the same clock as the peers' `heardMs`. */
  readonly nowMs: number;
}

/**
 * Which of a timeline's safekeepers is to upload its WAL: its node id; undefined where none can. All come to the same
 * result from the same news, without a word to each other. Where news differ two may upload, which does no harm: both
 * write the same bytes.
 */
export function chooseUploader({
  timelineId,
  backupLsn,
  self,
  peers,
  nowMs,
}: UploaderChoice): number | undefined {
  const heard = peers.filter(
    ({ nodeId, heardMs }) => nodeId !== self.nodeId && nowMs - heardMs <= PEER_SILENCE_MAX_MS,
  );
  const all = [self, ...heard];
  const newestLsn = Math.max(...all.map(({ commitLsn }) => commitLsn));
  const candidates = all
    .filter(
      ({ localStartLsn, commitLsn }) =>
        localStartLsn !== 0 && localStartLsn <= backupLsn && commitLsn >= newestLsn - UPLOADER_LAG_MAX_BYTES,
    )
    .map(({ nodeId }) => nodeId)
    .sort((left, right) => left - right);
  if (candidates.length === 0) return undefined;
  return candidates[Number(littleEndian(timelineId) % BigInt(candidates.length))];
}

/** The id's 16 bytes as one number, the first byte the lowest. */
function littleEndian(timelineId: TimelineId): bigint {
  const bytes = timelineId.match(/../g) as string[];
  return BigInt(`0x${bytes.reverse().join('')}`);
}
