import { VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import type { Clock } from '../io/clock.ts';
import { pause } from '../io/retry-delay.ts';
import type { Logger } from '../observe/log.ts';

/** Looked at so often. */
const INTERVAL_MS = 15_000;
/** It is not moved for less: each move asks for a lease. */
const STEP_BYTES = 16 * 1024 * 1024;

/** What moves. */
export interface MovedByPosition {
  /** Keeps what is read at the new LSN, before it is read there. @throws VarveError; the old one is kept then */
  readonly lease: { moveTo(lsn: Lsn): Promise<void> };
  readonly pages: { moveTo(lsn: Lsn): void };
}

/** How far storage is. */
export interface StorageProgress {
  /** A quorum has all below. */
  readonly commitLsn: Lsn;
  readonly pageserverProgress: { readonly lastReceivedLsn: Lsn } | undefined;
}

/**
 * The LSN at which a primary's blocks are read that are not there. One that it has not read yet is the same at every LSN from the
 * start to the end of what is committed, since whoever changes one has read it before; one that was given back is the same at
 * every LSN from where it was given back. So the LSN moves up with storage, and the history behind it can be collected
 * however long the server runs.
 */
export class ReadPosition implements AsyncDisposable {
  readonly #moved: MovedByPosition;
  readonly #progress: StorageProgress;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #life = new AbortController();
  readonly #running: Promise<void>;
  #lsn: Lsn;
  #moving: Promise<void> | undefined;

  constructor(lsn: Lsn, moved: MovedByPosition, progress: StorageProgress, clock: Clock, logger: Logger) {
    this.#lsn = lsn;
    this.#moved = moved;
    this.#progress = progress;
    this.#clock = clock;
    this.#logger = logger;
    this.#running = this.#run();
  }

  get lsn(): Lsn {
    return this.#lsn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort();
    await this.#running;
    await this.#moving;
  }

  async #run(): Promise<void> {
    const { signal } = this.#life;
    for (;;) {
      await pause(this.#clock, INTERVAL_MS, signal);
      if (signal.aborted) return;
      await this.#moveBy(STEP_BYTES);
    }
  }

  /** Moves as far as storage is, however little that is. */
  moveNow(): Promise<void> {
    return this.#moveBy(1);
  }

  /** One at a time: the LSN goes up only. */
  #moveBy(leastBytes: number): Promise<void> {
    this.#moving ??= this.#move(leastBytes).finally(() => {
      this.#moving = undefined;
    });
    return this.#moving;
  }

  async #move(leastBytes: number): Promise<void> {
    const { commitLsn, pageserverProgress } = this.#progress;
    // No read is to wait for what the pageserver has not got.
    const lsn = Math.min(commitLsn, pageserverProgress?.lastReceivedLsn ?? 0) as Lsn;
    if (lsn < this.#lsn + leastBytes) return;
    try {
      await this.#moved.lease.moveTo(lsn);
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
      if (this.#life.signal.aborted) return;
      // The lease that there is goes on, and whether it can be renewed is its own affair.
      this.#logger.warn('Pages are read at an old LSN for longer', { lsn: formatLsn(this.#lsn), error });
      return;
    }
    this.#moved.pages.moveTo(lsn);
    this.#lsn = lsn;
  }
}
