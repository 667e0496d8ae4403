import { INVALID_LSN, type Lsn } from '../../base/lsn.ts';
import type { HotStandbyFeedback } from '../../contracts/acceptor-messages.ts';
import type { PageserverFeedback } from '../../contracts/pageserver-feedback.ts';

/** One who reads a timeline's WAL from here, and what it has said of itself. */
export interface SenderState {
  readonly connectionId: number;
  readonly peer: string;
  readonly applicationName: string;
  readonly sentLsn: Lsn;
  readonly pageserverFeedback: PageserverFeedback | undefined;
  readonly standby: { readonly writeLsn: Lsn; readonly flushLsn: Lsn; readonly applyLsn: Lsn } | undefined;
  /** What was committed when it came, if it takes what is committed: it counts as a standby from when it has applied that. */
  readonly joinedLsn: Lsn | undefined;
  /** When it has said something last, by the monotonic clock. */
  readonly heardAtMs: number;
  readonly hotStandbyFeedback: HotStandbyFeedback | undefined;
}

export interface SenderPlace extends Disposable {
  update(change: Partial<SenderState>): void;
}

/** A standby that has said nothing for so long holds up nobody: while it has all, it is asked every second. */
const STANDBY_SILENCE_MS = 10_000;

const NO_HOT_STANDBY: HotStandbyFeedback = { time: 0n, xmin: 0n, catalogXmin: 0n };
const lower = (left: bigint, right: bigint): bigint =>
  left === 0n ? right : right === 0n || left < right ? left : right;

/** Who reads one timeline's WAL from this safekeeper at present. */
export class SenderRegistry {
  readonly #senders = new Map<number, SenderState>();
  readonly #standbyListeners = new Set<() => void>();

  /** @param connectionId of the safekeeper's process, so no other sender has it */
  register(connectionId: number, peer: string, applicationName: string): SenderPlace {
    this.#senders.set(connectionId, {
      connectionId,
      peer,
      applicationName,
      sentLsn: INVALID_LSN,
      pageserverFeedback: undefined,
      standby: undefined,
      joinedLsn: undefined,
      heardAtMs: 0,
      hotStandbyFeedback: undefined,
    });
    return {
      update: (change) => {
        const state = this.#senders.get(connectionId);
        if (state === undefined) return;
        this.#senders.set(connectionId, { ...state, ...change });
        if (change.standby !== undefined) this.#tellOfStandbys();
      },
      [Symbol.dispose]: () => {
        this.#senders.delete(connectionId);
        this.#tellOfStandbys();
      },
    };
  }

  /** The listener is called when a standby has applied more, or is gone. It must be quick and not throw. */
  onStandby(listener: () => void): Disposable {
    this.#standbyListeners.add(listener);
    return { [Symbol.dispose]: () => void this.#standbyListeners.delete(listener) };
  }

  #tellOfStandbys(): void {
    for (const listener of this.#standbyListeners) listener();
  }

  /**
   * What all standbys have applied; undefined where there is none. One counts from when it has caught up, as in PostgreSQL
   * (syncrep.c, SyncRepGetCandidateStandbys), until it is gone or silent. Pageservers and receivers of WAL apply nothing.
   */
  standbyApplyLsn(nowMs: number): Lsn | undefined {
    let least: Lsn | undefined;
    for (const { standby, joinedLsn, heardAtMs, pageserverFeedback } of this.#senders.values()) {
      if (standby === undefined || joinedLsn === undefined || pageserverFeedback !== undefined) continue;
      const { applyLsn } = standby;
      if (applyLsn === INVALID_LSN || applyLsn < joinedLsn || nowMs - heardAtMs >= STANDBY_SILENCE_MS)
        continue;
      if (least === undefined || applyLsn < least) least = applyLsn;
    }
    return least;
  }

  list(): SenderState[] {
    return [...this.#senders.values()];
  }

  get count(): number {
    return this.#senders.size;
  }

  /** Of all standbys together: the lowest xmins that any of them needs, and the latest time. */
  get hotStandbyFeedback(): HotStandbyFeedback {
    let combined = NO_HOT_STANDBY;
    for (const { hotStandbyFeedback } of this.#senders.values()) {
      if (hotStandbyFeedback === undefined) continue;
      const { time, xmin, catalogXmin } = hotStandbyFeedback;
      combined = {
        time: time > combined.time ? time : combined.time,
        xmin: lower(combined.xmin, xmin),
        catalogXmin: lower(combined.catalogXmin, catalogXmin),
      };
    }
    return combined;
  }
}
