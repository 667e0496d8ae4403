import type { Lsn } from '../base/lsn.ts';
import type { WalPageExpectations } from '../postgres/wal/wal-page-checker.ts';
import { RecordGuard } from './record-guard.ts';
import type { WalSink } from './wal-source.ts';
import type { WalWindow } from './wal-window.ts';

/** What is kept in memory although nobody needs it now: a safekeeper that was away shortly asks for it. */
const RETAINED_BYTES: number = 4 * 1024 * 1024;

export interface WalIntakeHandler {
  /** More WAL may be sent: once for all that came in one go. */
  onSafe(safeLsn: Lsn): void;
  /** There is no room. Gives memory back, if that is possible, by `letGo`. */
  onFull(): void;
  /** There is room again, after the source was held. */
  onRoom(): void;
}

/** Takes a source's WAL into memory, and lets nothing pass that storage could not replay. */
export class WalIntake implements WalSink {
  readonly window: WalWindow;
  readonly #guard: RecordGuard;
  readonly #handler: WalIntakeHandler;
  #isTellingPlanned = false;
  #isHeld = false;
  #receivedBytes = 0;

  /** @param window where the WAL goes; it is empty */
  constructor(window: WalWindow, expectations: WalPageExpectations, handler: WalIntakeHandler) {
    this.window = window;
    this.#guard = new RecordGuard(window.endLsn, expectations);
    this.#handler = handler;
  }

  /**
   * All below may be sent: whole units of 8 bytes. A safekeeper that restarts takes the zeros behind a record's last byte
   * for what aligns it, and would else have more than it was sent.
   */
  get safeLsn(): Lsn {
    const { safeLsn } = this.#guard;
    return (safeLsn - (safeLsn % 8)) as Lsn;
  }

  /** End of the last whole record. */
  get recordEndLsn(): Lsn {
    return this.#guard.recordEndLsn;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** @throws UnknownRecordError, CorruptionError: before any byte of the record in question may be sent */
  write(chunk: Uint8Array): boolean {
    this.#guard.take(chunk);
    this.window.append(chunk);
    this.#receivedBytes += chunk.length;
    this.#planTelling();
    if (!this.window.isFull) return true;
    this.#handler.onFull();
    this.#isHeld = this.window.isFull;
    return !this.#isHeld;
  }

  /**
   * Gives memory back: what nobody needs, but for the latest; and where that is not enough all that is committed, which
   * safekeepers that are too slow get from others.
   */
  letGo(neededLsn: Lsn, commitLsn: Lsn): void {
    const { window } = this;
    const retainedBytes = Math.min(RETAINED_BYTES, window.limitBytes / 2);
    window.letGo(Math.min(neededLsn, Math.max(window.heldFromLsn, window.endLsn - retainedBytes)) as Lsn);
    if (window.isFull) window.letGo(Math.min(commitLsn, window.endLsn) as Lsn);
    if (!this.#isHeld || window.isFull) return;
    this.#isHeld = false;
    this.#handler.onRoom();
  }

  #planTelling(): void {
    if (this.#isTellingPlanned) return;
    this.#isTellingPlanned = true;
    queueMicrotask(() => {
      this.#isTellingPlanned = false;
      this.#handler.onSafe(this.safeLsn);
    });
  }
}
