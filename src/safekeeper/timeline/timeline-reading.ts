import { INVALID_LSN } from '../../base/lsn.ts';
import type { PageserverFeedback } from '../../contracts/pageserver-feedback.ts';
import type { Acceptor } from '../consensus/acceptor.ts';
import type { TimelineReading } from '../metrics.ts';
import type { Timeline } from './timeline.ts';

/** From 1970-01-01 to 2000-01-01, PostgreSQL's own epoch. */
const POSTGRES_EPOCH_S = 946_684_800;

/** There is something to do: a compute writes, or pageservers have not taken all that is committed. */
export function isActive(timeline: Timeline, acceptor: Acceptor): boolean {
  return timeline.receivers.computes > 0 || acceptor.remoteConsistentLsn < acceptor.commitLsn;
}

/** What the metrics say of the timelines that are open. Those that nobody has used lately have no series. */
export function* readTimelines(
  timelines: Iterable<Timeline>,
  isUploading: (timeline: Timeline) => boolean,
): Generator<TimelineReading> {
  for (const timeline of timelines) {
    const reading = readTimeline(timeline, isUploading);
    if (reading !== undefined) yield reading;
  }
}

function readTimeline(
  timeline: Timeline,
  isUploading: (timeline: Timeline) => boolean,
): TimelineReading | undefined {
  if (timeline.acceptor === undefined) return undefined;
  const { acceptor, wal, totals } = timeline.acceptor;
  const { last, count } = timeline.feedback;
  return {
    tenantId: timeline.tenantId,
    timelineId: timeline.timelineId,
    commitLsn: acceptor.commitLsn,
    backupLsn: acceptor.backupLsn,
    flushLsn: acceptor.flushLsn,
    epochStartLsn: acceptor.persistent.termHistory.at(-1)?.lsn ?? INVALID_LSN,
    peerHorizonLsn: acceptor.peerHorizonLsn,
    remoteConsistentLsn: acceptor.remoteConsistentLsn,
    term: acceptor.term,
    diskUsageBytes: wal?.localBytes ?? 0,
    connectedComputes: timeline.receivers.computes,
    isActive: isActive(timeline, acceptor),
    isWalBackupActive: isUploading(timeline),
    pageserverLastReceivedLsn: last?.lastReceivedLsn ?? INVALID_LSN,
    lastFeedbackS: feedbackTimeS(last),
    isPageserverCorrupt: last?.corruptionDetected ?? false,
    feedbackCount: count,
    ...totals,
  };
}

function feedbackTimeS(feedback: PageserverFeedback | undefined): number {
  return feedback === undefined ? 0 : Number(feedback.replyTime / 1000n) / 1000 + POSTGRES_EPOCH_S;
}
