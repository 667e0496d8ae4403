import type { Lsn } from '../../../src/base/lsn.ts';
import type { AcceptorEffect, LogPosition } from '../../../src/safekeeper/consensus/effects.ts';
import type { PersistentState } from '../../../src/safekeeper/consensus/persistent-state.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';

/** A log never gets longer than this in one walk. */
export const LOG_BYTES_MAX = 8192;

/** A disk that keeps less than it should, to show that the checkers see it. */
export type DiskFault = 'sync-lies' | 'state-is-lost' | 'tail-comes-back';

/**
 * Where a record ends is a function of the bytes, as in real WAL: here of the byte, which is its writer's number, and
 * of the position.
 */
export function isRecordEnd(writer: number, endLsn: number): boolean {
  return (writer * 7 + endLsn * 11) % 5 < 3;
}

/** A safekeeper's disk: the control file and the log. Byte n of the log is at LSN n. */
export class ModelDisk {
  state: PersistentState;
  readonly bytes: Uint8Array = new Uint8Array(LOG_BYTES_MAX);
  /** 0 while there is no log. */
  beginLsn = 0;
  writtenLsn = 0;
  syncedLsn = 0;
  readonly #random: SeededRandom;
  readonly #fault: DiskFault | undefined;
  #staleState: PersistentState;
  #cutFromLsn = 0;
  /** What was really synced, where syncing lies. */
  #reallySyncedLsn = 0;
  /** How often WAL was cut off. */
  cutCount = 0;

  constructor(state: PersistentState, random: SeededRandom, fault: DiskFault | undefined) {
    this.state = state;
    this.#staleState = state;
    this.#random = random;
    this.#fault = fault;
  }

  get position(): LogPosition {
    return {
      writeLsn: this.writtenLsn as Lsn,
      recordLsn: this.#recordEnd(this.writtenLsn) as Lsn,
      flushLsn: this.#recordEnd(this.syncedLsn) as Lsn,
    };
  }

  carryOut(effect: AcceptorEffect): LogPosition {
    switch (effect.kind) {
      case 'initialize-log':
        if (this.beginLsn !== 0) throw new Error('there is a log already');
        this.beginLsn = effect.lsn;
        this.writtenLsn = effect.lsn;
        this.syncedLsn = effect.lsn;
        this.#reallySyncedLsn = effect.lsn;
        break;
      case 'truncate-log':
        this.#truncate(effect.lsn);
        break;
      case 'write-log':
        if (effect.beginLsn !== this.writtenLsn) throw new Error('the log is not written at its end');
        this.bytes.set(effect.wal, effect.beginLsn);
        this.writtenLsn = effect.beginLsn + effect.wal.length;
        this.#cutFromLsn = 0;
        break;
      case 'flush-log':
        this.syncedLsn = this.writtenLsn;
        break;
      case 'persist':
        this.#staleState = this.state;
        this.state = effect.state;
        break;
    }
    return this.position;
  }

  /** A crash comes while the effect is carried out: some of it is done. */
  carryOutInPart(effect: AcceptorEffect): void {
    switch (effect.kind) {
      case 'truncate-log': {
        const lsn = effect.lsn + this.#random.below(this.writtenLsn - effect.lsn + 1);
        this.#truncate(lsn);
        break;
      }
      case 'write-log': {
        const wal = effect.wal.subarray(0, this.#random.below(effect.wal.length + 1));
        this.carryOut({ ...effect, wal });
        break;
      }
      case 'flush-log':
        this.syncedLsn += this.#random.below(this.writtenLsn - this.syncedLsn + 1);
        break;
      default:
        if (this.#random.chance(0.5)) this.carryOut(effect);
    }
  }

  /** What a new process finds: all that was synced, and of the rest a part that ends with a whole record. */
  crash(): void {
    if (this.#fault === 'sync-lies') this.syncedLsn = this.#reallySyncedLsn;
    if (this.#fault === 'state-is-lost') this.state = this.#staleState;
    if (this.#fault === 'tail-comes-back' && this.#cutFromLsn > this.writtenLsn)
      this.writtenLsn = this.#cutFromLsn;
    const left =
      this.#fault === 'tail-comes-back'
        ? this.writtenLsn
        : this.syncedLsn + this.#random.below(this.writtenLsn - this.syncedLsn + 1);
    this.writtenLsn = this.#recordEnd(left);
    this.syncedLsn = this.writtenLsn;
    this.#cutFromLsn = 0;
  }

  #truncate(lsn: number): void {
    if (lsn < this.beginLsn || lsn > this.writtenLsn) throw new Error(`the log is cut at ${lsn}`);
    if (lsn < this.writtenLsn) this.cutCount++;
    this.#cutFromLsn = this.writtenLsn;
    this.#reallySyncedLsn = lsn;
    this.writtenLsn = lsn;
    this.syncedLsn = lsn;
  }

  #recordEnd(lsn: number): number {
    let end = lsn;
    while (end > this.beginLsn && !isRecordEnd(this.bytes[end - 1] as number, end)) end--;
    return end;
  }
}
