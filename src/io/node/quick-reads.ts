/** A longer read may take too long even where the system has all of it in memory. */
export const QUICK_READ_BYTES_MAX: number = 128 * 1024;
/** A turn of the event loop in which so much was spent on reads that were done at once does no more of them. */
const TURN_MS = 0.5;
/** A read that takes longer has waited for a disk, if the system has read from one meanwhile, or else for the processor. */
const SLOW_MS = 0.2;
/** And one that takes this long has, whatever the system says: of some file systems it does not know. */
const STALLED_MS = 20;
/** So many reads after a slow one are left to other threads, and twice as many each time that the next is slow, too. */
const RESTED_READS_MIN = 64;
const RESTED_READS_MAX = 4096;

/**
 * Says which reads of files are done at once, on the event loop's thread. Where the operating system has the bytes in
 * memory that costs a tenth of what it costs to have another thread do it, and where it has not, the loop stands still for
 * as long as the disk takes. Nothing says which it will be; but what was read last says what to expect. So where reads
 * wait for a disk the loop waits with one in RESTED_READS_MAX of them.
 */
export class QuickReads {
  readonly #nowMs: () => number;
  readonly #onNextTurn: (call: () => void) => void;
  readonly #diskReads: () => number;
  #isInTurn = false;
  #spentMs = 0;
  #startMs = 0;
  #diskReadsSeen: number;
  #restedReads = 0;
  #restedReadsNext = RESTED_READS_MIN;

  /**
   * @param onNextTurn calls when all that is ready to run has run
   * @param diskReads changes when this process has read from a disk
   */
  constructor(nowMs: () => number, onNextTurn: (call: () => void) => void, diskReads: () => number) {
    this.#nowMs = nowMs;
    this.#onNextTurn = onNextTurn;
    this.#diskReads = diskReads;
    this.#diskReadsSeen = diskReads();
  }

  /** Whether to read at once: then `end` is to be called right after it. */
  begin(lengthBytes: number): boolean {
    if (lengthBytes > QUICK_READ_BYTES_MAX) return false;
    if (this.#restedReads > 0) {
      this.#restedReads--;
      return false;
    }
    if (!this.#isInTurn) {
      this.#isInTurn = true;
      this.#spentMs = 0;
      this.#onNextTurn(this.#endTurn);
    } else if (this.#spentMs > TURN_MS) return false;
    this.#startMs = this.#nowMs();
    return true;
  }

  end(): void {
    const tookMs = this.#nowMs() - this.#startMs;
    this.#spentMs += tookMs;
    if (tookMs <= SLOW_MS || !this.#hasWaitedForDisk(tookMs)) {
      this.#restedReadsNext = RESTED_READS_MIN;
      return;
    }
    this.#restedReads = this.#restedReadsNext;
    this.#restedReadsNext = Math.min(RESTED_READS_MAX, this.#restedReadsNext * 2);
  }

  #hasWaitedForDisk(tookMs: number): boolean {
    const before = this.#diskReadsSeen;
    this.#diskReadsSeen = this.#diskReads();
    return this.#diskReadsSeen !== before || tookMs > STALLED_MS;
  }

  readonly #endTurn = (): void => {
    this.#isInTurn = false;
  };
}
