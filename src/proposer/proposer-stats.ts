import type { Lsn } from '../base/lsn.ts';
import type { SafekeeperStatus } from './proposer-session.ts';

/** How a proposer is doing. */
export interface ProposerStats {
  readonly term: number;
  readonly startLsn: Lsn;
  /** End of what has come from the source. */
  readonly receivedLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly elections: number;
  readonly heldBytes: number;
  readonly receivedBytes: number;
  readonly copiedBytes: number;
  /** Of this term: once for each safekeeper, and what of it came from other safekeepers. */
  readonly sentBytes: number;
  readonly fetchedBytes: number;
  readonly safekeepers: readonly SafekeeperStatus[];
}
