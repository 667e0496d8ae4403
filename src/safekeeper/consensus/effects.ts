import type { Lsn } from '../../base/lsn.ts';
import type { PersistentState } from './persistent-state.ts';

/** How far the WAL on this safekeeper's disk goes. */
export interface LogPosition {
  /** End of the bytes that have been written; 0 while there is no WAL. */
  readonly writeLsn: Lsn;
  /** End of the last whole record among them: half a record is worth nothing. */
  readonly recordLsn: Lsn;
  /** What `recordLsn` was when the WAL was last synced: all below survives a crash. */
  readonly flushLsn: Lsn;
}

/**
 * What an acceptor wants done, and how it waits for it: its decisions are generators that yield effects. Whoever runs
 * one carries each effect out, wholly and in order, and gives back where the log is then. If an effect fails, the
 * generator is abandoned, and the acceptor with it: only what is on the disk is known, and is to be read again.
 */
export type AcceptorEffect =
  /** Make the log begin at `lsn`: there is none yet. The timeline's, on any safekeeper, begins at `timelineStartLsn`. */
  | {
      readonly kind: 'initialize-log';
      readonly lsn: Lsn;
      readonly timelineStartLsn: Lsn;
      readonly systemIdentifier: bigint;
    }
  /** Cut the log at `lsn`. What was behind is gone for good when this is done. */
  | { readonly kind: 'truncate-log'; readonly lsn: Lsn }
  /** Add WAL at the end of the log, where `beginLsn` is. It need not be durable. */
  | { readonly kind: 'write-log'; readonly beginLsn: Lsn; readonly wal: Uint8Array }
  /** Make all that was written durable. */
  | { readonly kind: 'flush-log' }
  /** Make this state durable, whole. */
  | { readonly kind: 'persist'; readonly state: PersistentState };

/** A decision under way: yields effects, is given where the log is after each, and ends with its outcome. */
export type Decision<Outcome> = Generator<AcceptorEffect, Outcome, LogPosition>;
