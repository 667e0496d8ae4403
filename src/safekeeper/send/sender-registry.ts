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
  readonly hotStandbyFeedback: HotStandbyFeedback | undefined;
}

export interface SenderPlace extends Disposable {
  update(change: Partial<SenderState>): void;
}

const NO_HOT_STANDBY: HotStandbyFeedback = { time: 0n, xmin: 0n, catalogXmin: 0n };
const lower = (left: bigint, right: bigint): bigint =>
  left === 0n ? right : right === 0n || left < right ? left : right;

/** Who reads one timeline's WAL from this safekeeper at present. */
export class SenderRegistry {
  readonly #senders = new Map<number, SenderState>();

  /** @param connectionId of the safekeeper's process, so no other sender has it */
  register(connectionId: number, peer: string, applicationName: string): SenderPlace {
    this.#senders.set(connectionId, {
      connectionId,
      peer,
      applicationName,
      sentLsn: INVALID_LSN,
      pageserverFeedback: undefined,
      standby: undefined,
      hotStandbyFeedback: undefined,
    });
    return {
      update: (change) => {
        const state = this.#senders.get(connectionId);
        if (state !== undefined) this.#senders.set(connectionId, { ...state, ...change });
      },
      [Symbol.dispose]: () => void this.#senders.delete(connectionId),
    };
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
