import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { SafetyViolation } from './safety-violation.ts';

/** SK-23: once no proposer is connected any more, what status shows is what the next vote says. */
export function checkStatusIsVote(nodeId: number, statusLsn: Lsn, voteLsn: Lsn): void {
  if (statusLsn === voteLsn) return;
  throw new SafetyViolation(
    'status-vote',
    `safekeeper ${nodeId} shows ${formatLsn(statusLsn)}, and votes with ${formatLsn(voteLsn)}`,
  );
}
