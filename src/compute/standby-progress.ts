import type { Lsn } from '../base/lsn.ts';

/** A standby as it is at one moment. */
export interface StandbySample {
  /** All below has been replayed. */
  readonly replayLsn: Lsn;
  /** Somebody has paused its replay. */
  readonly isPaused: boolean;
  /** What its startup process waits for (wait_event_names.txt); empty while it works. */
  readonly waitEvent: string;
  /** The end of the last whole record that the pageserver has. */
  readonly pageserverLsn: Lsn;
}

/** What is to be done about it. */
export type StandbyVerdict =
  | 'fine'
  /** Its receiver of WAL may hang on a safekeeper that does not go on: it is to look for another one. */
  | 'reconnect'
  /** The WAL that it needs does not come, or it cannot read it: another start is needed. */
  | 'stuck';

const RECONNECT_AFTER_MS = 6000;
const STUCK_AFTER_MS = 20_000;
/** In a recovery conflict, a pause, or a read, a startup process has WAL; in these it has none that it could go on with. */
const WAITS_FOR_WAL = ['', 'RecoveryWalStream', 'RecoveryRetrieveRetryInterval'];

/**
 * Whether a standby goes on. The sign that it does not, whatever the reason: the pageserver has a whole record more than it has
 * replayed, and its startup process waits for WAL all the time, without a record replayed. The WAL is there, then, and a server
 * that starts at the pageserver's LSN is further than this one. What is committed and no whole record, as a compute leaves it that
 * was killed, does not count: no other start would have more.
 */
export class StandbyProgress {
  #replayLsn: Lsn | undefined;
  #stillSinceMs = 0;
  #hasReconnected = false;

  note({ replayLsn, isPaused, waitEvent, pageserverLsn }: StandbySample, nowMs: number): StandbyVerdict {
    const mayWait = isPaused || !WAITS_FOR_WAL.includes(waitEvent) || pageserverLsn <= replayLsn;
    if (mayWait || replayLsn !== this.#replayLsn) {
      this.#replayLsn = replayLsn;
      this.#stillSinceMs = nowMs;
      this.#hasReconnected = false;
      return 'fine';
    }
    const stillMs = nowMs - this.#stillSinceMs;
    if (stillMs >= STUCK_AFTER_MS) return 'stuck';
    if (stillMs < RECONNECT_AFTER_MS || this.#hasReconnected) return 'fine';
    this.#hasReconnected = true;
    return 'reconnect';
  }
}
