import type { Lsn } from '../../base/lsn.ts';

/** How far a timeline is, as a safekeeper is told (pageserver feedback). */
export interface IntakePositions {
  readonly lastRecordLsn: Lsn;
  readonly diskConsistentLsn: Lsn;
  /** Of which the generation has been validated: safekeepers may forget the WAL before it. */
  readonly remoteConsistentLsn: Lsn;
}

/** Where a timeline's WAL goes in, byte after byte, wherever it comes from. One source at a time. */
export interface WalIntake {
  /** LSN of the byte that must come next. In the middle of a record where a source ended there. */
  readonly position: Lsn;
  readonly positions: IntakePositions;
  /**
   * Whether the timeline itself is why `take` has thrown a CorruptionError, such as by what is stored of it: then no other
   * source would help. False: it was for what the source has brought.
   */
  readonly isStopped: boolean;
  /**
   * Takes the bytes that begin at `position`, of any length. They must not change until it resolves: then their whole
   * records can be read, and the next bytes may come. Slow while there is no room for more (which is how a source is held
   * back), for ever while the disk is full.
   * @throws CorruptionError for WAL that does not continue, has another system identifier or another PostgreSQL major, or
   * is damaged: nothing of it has been taken from the bad record on, and the source is to be given up; VarveError
   * 'cancelled' when the timeline ends
   */
  take(bytes: Uint8Array): Promise<void>;
}
