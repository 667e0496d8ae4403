import type { GiveReport } from './shim-connection.ts';

/** Above this part of the budget blocks are given back, until what is used is down to the second. */
const HIGH_PART = 0.9;
const LOW_PART = 0.8;
/** Writing is as fast as ever below this one. */
const RELEASE_PART = 0.98;
/** The evictor looks again when this part of what is left was added, but not for less than some blocks. */
const WAKE_PART = 0.5;
const WAKE_BYTES_MIN = 512 * 1024;

export interface BudgetDecision {
  readonly giveBytes: number;
  readonly wakeBytes: number;
  /** What is to be given back is newer than what storage was said to have: it may have more by now. */
  readonly wantsNewerLsn: boolean;
  readonly isPressed: boolean;
  /** WAL is to be written slowly, and what of it is not needed any more is to go. */
  readonly slowsWal: boolean;
  /** It has been so for longer than anybody should wait. */
  readonly isFull: boolean;
}

/** What is to be done about what the local directory takes. */
export class BudgetPolicy {
  readonly #budgetBytes: number;
  readonly #waitMs: number;
  #slowedSinceMs: number | undefined;

  /** @param waitMs how long writing is slowed before the directory counts as full */
  constructor(budgetBytes: number, waitMs: number) {
    this.#budgetBytes = budgetBytes;
    this.#waitMs = waitMs;
  }

  decide({ usedBytes, isShort, isBehind }: GiveReport, nowMs: number): BudgetDecision {
    const budgetBytes = this.#budgetBytes;
    const highBytes = budgetBytes * HIGH_PART;
    const isOver = usedBytes > highBytes;
    if (this.#slowedSinceMs === undefined) {
      if (usedBytes > budgetBytes) this.#slowedSinceMs = nowMs;
    } else if (usedBytes <= budgetBytes * RELEASE_PART) {
      this.#slowedSinceMs = undefined;
    }
    const leftBytes = isOver ? budgetBytes - budgetBytes * LOW_PART : highBytes - usedBytes;
    return {
      giveBytes: isOver ? Math.ceil(usedBytes - budgetBytes * LOW_PART) : 0,
      wakeBytes: Math.max(WAKE_BYTES_MIN, Math.floor(leftBytes * WAKE_PART)),
      wantsNewerLsn: isOver && (isBehind || isShort || usedBytes > budgetBytes),
      isPressed: isOver && (isShort || usedBytes > budgetBytes),
      slowsWal: this.#slowedSinceMs !== undefined,
      isFull: this.#slowedSinceMs !== undefined && nowMs - this.#slowedSinceMs >= this.#waitMs,
    };
  }
}
