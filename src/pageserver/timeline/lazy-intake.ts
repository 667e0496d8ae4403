import { CorruptionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { IntakePositions, WalIntake } from '../ingest/wal-intake.ts';
import type { Timeline } from './timeline.ts';
import { TimelineIntake } from './timeline-intake.ts';

/**
 * A timeline's way in for WAL that costs nothing while none comes: what ingest has to know is read when the first bytes
 * come, and forgotten by `release`.
 */
export class LazyIntake implements WalIntake {
  readonly #timeline: Timeline;
  readonly #onStarted: () => void;
  #intake: TimelineIntake | undefined;
  #isTaking = false;

  /** @param onStarted called when something is held that `release` would let go of. Must be quick and not throw */
  constructor(timeline: Timeline, onStarted: () => void) {
    this.#timeline = timeline;
    this.#onStarted = onStarted;
  }

  /** What ingest has to know is in memory. */
  get isStarted(): boolean {
    return this.#intake !== undefined;
  }

  get position(): Lsn {
    return this.#intake?.position ?? this.#timeline.lastRecordLsn;
  }

  get positions(): IntakePositions {
    return this.#timeline.positions;
  }

  get isStopped(): boolean {
    return this.#timeline.ingestStop !== undefined;
  }

  /** As TimelineIntake.start, and take. Where what is stored is damaged that ingest has to know, the timeline stops. */
  async take(bytes: Uint8Array): Promise<void> {
    this.#isTaking = true;
    try {
      this.#intake ??= await this.#start();
      await this.#intake.take(bytes);
    } catch (error) {
      // An intake goes on after WAL that was damaged on its way. After all else the next one reads anew what there is.
      const goesOn = error instanceof CorruptionError && this.#timeline.ingestStop === undefined;
      if (!goesOn) this.#intake = undefined;
      throw error;
    } finally {
      this.#isTaking = false;
    }
  }

  /**
   * Lets go of what is held, unless WAL is being taken. To be called while no source is connected only: of a record that
   * has come in part the beginning has to come again.
   */
  release(): void {
    if (!this.#isTaking) this.#intake = undefined;
  }

  async #start(): Promise<TimelineIntake> {
    try {
      const intake = await TimelineIntake.start(this.#timeline);
      this.#onStarted();
      return intake;
    } catch (error) {
      // No source of WAL can help. Whoever waits for it is told why.
      if (error instanceof CorruptionError) this.#timeline.stopIngest(error);
      throw error;
    }
  }
}
