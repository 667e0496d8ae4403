/** Why writing is to be slowed down. */
export type BackPressureReason = 'no-quorum' | 'commit-lag' | 'pageserver-lag';

export interface BackPressureLimits {
  /** WAL that no quorum has. */
  readonly commitLagBytes: number;
  /** Committed WAL that a pageserver has not received. */
  readonly receiveLagBytes: number;
  /** Committed WAL that a pageserver does not have on its disk. */
  readonly diskLagBytes: number;
}

/** As Neon's `max_replication_write_lag` and `max_replication_flush_lag`; what is not committed is held in memory. */
export const BACK_PRESSURE_LIMITS_DEFAULT: BackPressureLimits = {
  commitLagBytes: 32 * 1024 * 1024,
  receiveLagBytes: 500 * 1024 * 1024,
  diskLagBytes: 10 * 1024 * 1024 * 1024,
};

export interface BackPressureInput {
  readonly hasQuorum: boolean;
  readonly commitLagBytes: number;
  /** 0 where no pageserver has said anything. */
  readonly receiveLagBytes: number;
  readonly diskLagBytes: number;
}

/** A lag has to go down to this part of its limit before it is over. */
const RELEASE_PART = 0.75;

/**
 * Whether back-pressure is due, given what was so before.
 * @returns undefined: writing may go on
 */
export function backPressureReason(
  input: BackPressureInput,
  limits: BackPressureLimits,
  before: BackPressureReason | undefined,
): BackPressureReason | undefined {
  if (!input.hasQuorum) return 'no-quorum';
  const isOver = (lagBytes: number, limitBytes: number, reason: BackPressureReason): boolean =>
    lagBytes > limitBytes * (before === reason ? RELEASE_PART : 1);
  if (isOver(input.commitLagBytes, limits.commitLagBytes, 'commit-lag')) return 'commit-lag';
  const isPageserverLate =
    isOver(input.receiveLagBytes, limits.receiveLagBytes, 'pageserver-lag') ||
    isOver(input.diskLagBytes, limits.diskLagBytes, 'pageserver-lag');
  return isPageserverLate ? 'pageserver-lag' : undefined;
}

type BackPressureListener = (reason: BackPressureReason | undefined) => void;

/** Back-pressure as it is now, and who wants to know when that changes. */
export class BackPressure {
  readonly #limits: BackPressureLimits;
  readonly #listeners = new Set<BackPressureListener>();
  #reason: BackPressureReason | undefined;

  constructor(limits: BackPressureLimits) {
    this.#limits = limits;
  }

  get reason(): BackPressureReason | undefined {
    return this.#reason;
  }

  listen(listener: BackPressureListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  update(input: BackPressureInput): void {
    const reason = backPressureReason(input, this.#limits, this.#reason);
    if (reason === this.#reason) return;
    this.#reason = reason;
    for (const listener of this.#listeners) listener(reason);
  }
}
