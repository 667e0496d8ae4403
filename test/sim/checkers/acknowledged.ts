import { formatLsn, type Lsn } from '../../../src/base/lsn.ts';
import { majorityOf } from '../../../src/contracts/membership.ts';
import type { TermHistory } from '../../../src/contracts/term-history.ts';
import { SafetyViolation } from './safety-violation.ts';
import type { WalPiece } from './snapshots.ts';
import type { WrittenWal } from './written-wal.ts';

/** What servers were told to be committed: the furthest of it, since it is one log. */
export class Acknowledged {
  count = 0;
  commitLsn: Lsn;
  #termHistory: TermHistory = [];
  readonly #startLsn: Lsn;

  constructor(startLsn: Lsn) {
    this.#startLsn = startLsn;
    this.commitLsn = startLsn;
  }

  acknowledged(commitLsn: Lsn, termHistory: TermHistory): void {
    this.count++;
    if (commitLsn < this.commitLsn) return;
    this.commitLsn = commitLsn;
    this.#termHistory = termHistory;
  }

  /** What has been acknowledged by now. */
  snapshot(): Acknowledged {
    const copy = new Acknowledged(this.#startLsn);
    copy.count = this.count;
    copy.commitLsn = this.commitLsn;
    copy.#termHistory = this.#termHistory;
    return copy;
  }

  /**
   * At the end: what could be read from each member's safekeeper, from the beginning of the timeline on.
   * @throws SafetyViolation ‘acknowledged’ where fewer than a majority have all of it, byte for byte
   */
  check(memberCount: number, readings: ReadonlyMap<number, WalPiece>, written: WrittenWal): void {
    if (this.commitLsn === this.#startLsn) return;
    let whole = 0;
    let reason = 'nothing could be read';
    for (const [nodeId, { beginLsn, bytes }] of readings) {
      if (beginLsn > this.#startLsn || beginLsn + bytes.length < this.commitLsn) {
        reason = `safekeeper ${nodeId} gives WAL from ${formatLsn(beginLsn)} to ${formatLsn(beginLsn + bytes.length)}`;
        continue;
      }
      const piece = { beginLsn, bytes: bytes.subarray(0, this.commitLsn - beginLsn) };
      written.check(`the reader of safekeeper ${nodeId}`, this.#termHistory, piece);
      whole++;
    }
    if (whole >= majorityOf(memberCount)) return;
    throw new SafetyViolation(
      'acknowledged',
      `${formatLsn(this.commitLsn)} was acknowledged; ${whole} of ${memberCount} have it all; ${reason}`,
    );
  }
}
