import type { Lsn } from '../base/lsn.ts';
import type { HotStandbyFeedback } from '../contracts/acceptor-messages.ts';

/** Who takes the WAL of a source. */
export interface WalSink {
  /**
   * Takes what follows on what was written before; the chunk is the sink's from now on. False: to write no more until
   * the source is told to `resume`; a little that was on its way is taken all the same. What this throws ends the
   * source, and is what its `run` rejects with.
   */
  write(chunk: Uint8Array): boolean;
}

/** Where a proposer's WAL comes from. */
export interface WalSource {
  /** How far it has written, as far as is known; it may not have been given yet. */
  readonly writtenLsn: Lsn;
  /**
   * Gives the WAL from `startLsn` on to the sink. Resolves when there will be no more, and all has been given; rejects
   * with why it cannot go on, or ‘cancelled’ if the signal is given. Called once.
   */
  run(startLsn: Lsn, sink: WalSink, signal: AbortSignal): Promise<void>;
  /** The sink takes more. */
  resume(): void;
  /** A quorum has all below. Called with rising LSNs, also before `run`. */
  committed(commitLsn: Lsn): void;
  /** What all hot standbys have applied, or a part of it; undefined: there is none. It may go down. */
  applied(applyLsn: Lsn | undefined): void;
  /** What readers of standbys may still see has changed. */
  hotStandbyFeedback(feedback: HotStandbyFeedback): void;
}
