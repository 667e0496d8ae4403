import { AssertionError } from '../../base/errors.ts';
import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import { lastLsnOfState } from '../layers/beside-wal.ts';

/** Somebody reads at exactly this LSN, and says so again before the time is over. */
export interface LsnLease {
  readonly lsn: Lsn;
  /** Milliseconds since 1970. */
  readonly validUntilMs: number;
}

export interface CutoffInputs {
  readonly previousCutoff: Lsn;
  readonly lastRecordLsn: Lsn;
  /**
   * What safekeepers have been told: what is above it exists perhaps nowhere but here. INVALID_LSN as long as no index of
   * the timeline has been validated.
   */
  readonly remoteConsistentVisible: Lsn;
  /** Where the timeline was when its history window began; undefined when that is not known (yet). */
  readonly lsnAtHistoryStart: Lsn | undefined;
  /** So much WAL, counted back from the last record, is kept whatever its age. */
  readonly horizonBytes: number;
  /** Where other timelines branch off. */
  readonly branchPoints: readonly Lsn[];
  readonly leases: readonly LsnLease[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

export interface CutoffDecision extends PromisedReads {
  /** Those of the retained LSNs that somebody has a lease of. */
  readonly leasedLsns: readonly Lsn[];
}

/** At which LSNs a timeline must be readable. */
export interface PromisedReads {
  /** At this LSN and at all above. */
  readonly cutoff: Lsn;
  /** Below the cutoff at exactly these, ascending, none of them twice. */
  readonly retainedLsns: readonly Lsn[];
}

/**
 * The history window: what is kept by age and by size, whichever is more. The cutoff never moves back, since what is
 * below may be gone; not above what is remotely consistent, since the index has to name it; and not at all while it is
 * not known where the window begins.
 * @throws AssertionError if the previous cutoff was wrong already
 */
export function gcCutoff(inputs: CutoffInputs): CutoffDecision {
  const { previousCutoff, lastRecordLsn, remoteConsistentVisible, lsnAtHistoryStart, horizonBytes } = inputs;
  // A timeline begins with a cutoff, before anything of it has been validated.
  if (previousCutoff > remoteConsistentVisible && remoteConsistentVisible !== INVALID_LSN) {
    throw new AssertionError('the cutoff is above what is remotely consistent', { lsn: previousCutoff });
  }
  const byAge = lsnAtHistoryStart ?? previousCutoff;
  const bySize = lastRecordLsn - horizonBytes;
  const wanted = Math.min(byAge, bySize, remoteConsistentVisible);
  const cutoff = Math.max(previousCutoff, wanted) as Lsn;
  const leased = inputs.leases.filter((lease) => lease.validUntilMs > inputs.nowMs).map((lease) => lease.lsn);
  const ascendingBelow = (lsns: readonly Lsn[]): Lsn[] =>
    [...new Set(lsns)].filter((lsn) => lsn < cutoff).sort((left, right) => left - right);
  return {
    cutoff,
    // Who reads there reads what was put beside the last record, too.
    retainedLsns: ascendingBelow(
      [...inputs.branchPoints, ...leased].map((lsn) => lastLsnOfState(lsn) as Lsn),
    ),
    leasedLsns: ascendingBelow(leased),
  };
}
