import { Counter, Gauge } from '../../../observe/metric-cells.ts';
import type { LeaveReason } from './choose-source.ts';

/** What all WAL receivers of a pageserver have done. */
export class WalReceiverCounts {
  /** WAL connections that there are, and were begun. */
  readonly connections = new Gauge();
  readonly connects = new Counter();
  /** Connections that failed, or were never made. */
  readonly failures = new Counter();
  /** Connections that were given up since nothing could be taken in here, whatever came. */
  readonly ownFailures = new Counter();
  /** Sources that were given up because of what they sent. */
  readonly damages = new Counter();
  /** Connections that this side has left, by the reason. */
  readonly left: Readonly<Record<LeaveReason, Counter>> = {
    'not-a-member': new Counter(),
    silent: new Counter(),
    'far-behind': new Counter(),
    'no-progress': new Counter(),
  };
  /** WAL that has come, and of this what there was already. */
  readonly receivedBytes = new Counter();
  readonly repeatedBytes = new Counter();
  /** WAL that has come and is not taken yet. */
  readonly waitingBytes = new Gauge();
  readonly feedbacks = new Counter();
}
