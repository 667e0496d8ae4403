import { BigEndianWriter } from '../../../base/big-endian.ts';
import { writePageserverFeedback } from '../../../contracts/pageserver-feedback.ts';
import { PAGESERVER_FEEDBACK_TAG } from '../../../postgres/wire/replication-messages.ts';
import type { IntakePositions } from '../wal-intake.ts';

/** What feedback says beside the positions. */
export interface FeedbackDetails {
  readonly shardNumber: number;
  /** Logical size; of the first shard only, else 0. */
  readonly currentTimelineSizeBytes: number;
  readonly corruptionDetected: boolean;
}

/** Milliseconds from 1970 to 2000, PostgreSQL's epoch. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** The body of a CopyData `z`: u64 length, then the feedback (protocol §1.5, §3.4). */
export function encodeFeedbackMessage(
  { lastRecordLsn, diskConsistentLsn, remoteConsistentLsn }: IntakePositions,
  details: FeedbackDetails,
  wallMs: number,
): Uint8Array {
  const writer = new BigEndianWriter(192);
  writePageserverFeedback(writer, {
    ...details,
    lastReceivedLsn: lastRecordLsn,
    diskConsistentLsn,
    remoteConsistentLsn,
    replyTime: BigInt(Math.round((wallMs - POSTGRES_EPOCH_MS) * 1000)),
  });
  const feedback = writer.take();
  return new BigEndianWriter(1 + 8 + feedback.length)
    .u8(PAGESERVER_FEEDBACK_TAG)
    .u64(feedback.length)
    .put(feedback)
    .take();
}
