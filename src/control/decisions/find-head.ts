import type { Lsn } from '../../base/lsn.ts';
import { majorityOf } from '../../contracts/membership.ts';

/** What a safekeeper says of a timeline. */
export interface LogPosition {
  /** Term of the last WAL that it has. */
  readonly lastLogTerm: number;
  readonly flushLsn: Lsn;
  readonly commitLsn: Lsn;
  /** Somebody sends WAL to it. */
  readonly isWrittenTo: boolean;
}

export type HeadDecision =
  /** Nothing that was acknowledged is beyond, and all below is committed. */
  | { readonly kind: 'known'; readonly lsn: Lsn }
  /** Too few have answered to know. */
  | { readonly kind: 'no-quorum' }
  /** There is WAL of which nobody says that it is committed; who sends it will. */
  | { readonly kind: 'wait' }
  /** Likewise, and nobody sends any: an election commits it, or throws it away. */
  | { readonly kind: 'elect' };

/**
 * Where a timeline ends that no compute of ours writes to. What was acknowledged, a majority has; every majority has one of
 * those, and the log that would win an election among any majority has all of it. So its end is at or above all that was
 * acknowledged; where it is committed, it is the head.
 * @param answers of those members that have answered
 */
export function findHead(memberCount: number, answers: readonly LogPosition[]): HeadDecision {
  if (answers.length < majorityOf(memberCount)) return { kind: 'no-quorum' };
  let best = answers[0] as LogPosition;
  let commitLsn = best.commitLsn;
  for (const answer of answers) {
    if (answer.commitLsn > commitLsn) commitLsn = answer.commitLsn;
    if (isBefore(best, answer)) best = answer;
  }
  if (commitLsn >= best.flushLsn) return { kind: 'known', lsn: best.flushLsn };
  return { kind: answers.some(({ isWrittenTo }) => isWrittenTo) ? 'wait' : 'elect' };
}

/** Whether the other log would win. */
const isBefore = (one: LogPosition, other: LogPosition): boolean =>
  one.lastLogTerm < other.lastLogTerm ||
  (one.lastLogTerm === other.lastLogTerm && one.flushLsn < other.flushLsn);
