import type { Lsn } from '../../../src/base/lsn.ts';
import { cancelledError } from '../../../src/io/cancelled.ts';
import type { Clock } from '../../../src/io/clock.ts';
import { pause } from '../../../src/io/retry-delay.ts';
import type { WalSink, WalSource } from '../../../src/proposer/wal-source.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { ServerWal } from './server-wal.ts';

/** How a server writes; drawn for each, so that some write much and others little. */
export interface WritingHabits {
  readonly intervalMs: number;
  readonly recordsMax: number;
  readonly recordBytesMax: number;
  /** How often a record is as long as several pages. */
  readonly longRecordChance: number;
}

const LONG_RECORD_BYTES = 30_000;

export function drawHabits(random: SeededRandom): WritingHabits {
  return {
    intervalMs: random.pick([3, 10, 25, 60]),
    recordsMax: random.pick([1, 3, 8]),
    recordBytesMax: random.pick([50, 300, 1500]),
    longRecordChance: random.chance(0.3) ? 0.05 : 0.002,
  };
}

/** A server that writes records all the time, given to its proposer in pieces that may end anywhere. */
export class SyntheticSource implements WalSource {
  commitLsn = 0;
  readonly #wal: ServerWal;
  readonly #clock: Clock;
  readonly #random: SeededRandom;
  readonly #habits: WritingHabits;
  #isHeld = false;

  constructor(wal: ServerWal, clock: Clock, random: SeededRandom, habits: WritingHabits) {
    this.#wal = wal;
    this.#clock = clock;
    this.#random = random;
    this.#habits = habits;
  }

  get writtenLsn(): Lsn {
    return this.#wal.endLsn as Lsn;
  }

  async run(startLsn: Lsn, sink: WalSink, signal: AbortSignal): Promise<void> {
    let given: number = startLsn;
    while (!signal.aborted) {
      if (!this.#isHeld) {
        this.#wal.write(this.#drawLengths());
        const end = this.#random.chance(0.2)
          ? given + 1 + this.#random.below(this.#wal.endLsn - given)
          : this.#wal.endLsn;
        this.#isHeld = !sink.write(this.#wal.bytes(given, end).slice());
        given = end;
      }
      await pause(this.#clock, this.#habits.intervalMs * this.#random.between(0.2, 1.8), signal);
    }
    throw cancelledError(signal);
  }

  resume(): void {
    this.#isHeld = false;
  }

  committed(commitLsn: Lsn): void {
    this.commitLsn = commitLsn;
  }

  applied(): void {
    // No standby follows here.
  }

  hotStandbyFeedback(): void {
    // Nobody has any for it here.
  }

  #drawLengths(): number[] {
    const { recordsMax, recordBytesMax, longRecordChance } = this.#habits;
    const lengths: number[] = [];
    for (let count = 1 + this.#random.below(recordsMax); count > 0; count--) {
      const isLong = this.#random.chance(longRecordChance);
      lengths.push(this.#random.below(isLong ? LONG_RECORD_BYTES : recordBytesMax));
    }
    return lengths;
  }
}
