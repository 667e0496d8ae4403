import { VarveError } from '../base/errors.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import { pause } from '../io/retry-delay.ts';
import { connectPageService } from '../page-client/connect-page-service.ts';
import { leaseLsn } from '../page-client/page-commands.ts';
import type { ComputeDoors, ComputeOptions } from './options.ts';
import { pageServiceOptions } from './page-service-options.ts';

type Doors = Pick<ComputeDoors, 'sockets' | 'clock' | 'random' | 'logger'>;
type Access = Pick<ComputeOptions, 'tenantId' | 'timelineId' | 'pageserver' | 'mode'>;

/** It is renewed when so much of its time has gone by. */
const RENEWED_AFTER = 1 / 3;
const RETRY_MS = 1000;

/** Keeps an LSN readable for as long as it is open: garbage collection leaves what it sees. */
export class LsnLease {
  /** Resolves when it could not be renewed in time: what is read from now on may be gone. */
  readonly lost: Promise<VarveError>;
  readonly #access: Access;
  #lsn: Lsn;
  readonly #doors: Doors;
  readonly #life = new AbortController();
  readonly #renewing: Promise<void>;
  #validUntilMs: number;
  #resolveLost: (error: VarveError) => void = () => undefined;

  private constructor(access: Access, lsn: Lsn, doors: Doors, validUntilMs: number) {
    this.#access = access;
    this.#lsn = lsn;
    this.#doors = doors;
    this.#validUntilMs = validUntilMs;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#renewing = this.#renew();
  }

  /** @throws VarveError ‘precondition’ / LSN_NOT_KEPT where history at that LSN is gone; what the page service fails of */
  static async take(access: Access, lsn: Lsn, doors: Doors, signal: AbortSignal): Promise<LsnLease> {
    return new LsnLease(access, lsn, doors, await ask(access, lsn, doors, signal));
  }

  /** Keeps another LSN, from when this resolves on. The one before stays readable for as long as its time goes on. @throws as take */
  async moveTo(lsn: Lsn): Promise<void> {
    const validUntilMs = await ask(this.#access, lsn, this.#doors, this.#life.signal);
    this.#lsn = lsn;
    this.#validUntilMs = validUntilMs;
  }

  /** It ends by itself some minutes later. */
  async close(): Promise<void> {
    this.#life.abort();
    await this.#renewing;
  }

  async #renew(): Promise<void> {
    const { clock, logger } = this.#doors;
    const { signal } = this.#life;
    let delayMs = this.#delayMs();
    for (;;) {
      await pause(clock, delayMs, signal);
      if (signal.aborted) return;
      try {
        const lsn = this.#lsn;
        const validUntilMs = await ask(this.#access, lsn, this.#doors, signal);
        // It may have moved meanwhile, and been asked for there.
        if (this.#lsn === lsn) this.#validUntilMs = validUntilMs;
        delayMs = this.#delayMs();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
        logger.warn('The lease could not be renewed', { lsn: formatLsn(this.#lsn), reason: error.message });
        if (error.kind !== 'unavailable' || clock.wallMs() >= this.#validUntilMs) {
          this.#resolveLost(this.#lostError(error));
          return;
        }
        delayMs = RETRY_MS;
      }
    }
  }

  /** What is as of one LSN cannot be had any more where that is gone; others begin at another one. */
  #lostError(error: VarveError): VarveError {
    if (this.#access.mode.kind === 'read-only') return error;
    const reason = `the lease could not be renewed in time: ${error.reason}`;
    return new VarveError('unavailable', 'LEASE_LOST', reason, { lsn: this.#lsn }, error);
  }

  #delayMs(): number {
    return Math.max(RETRY_MS, (this.#validUntilMs - this.#doors.clock.wallMs()) * RENEWED_AFTER);
  }
}

/** Until when it holds. */
async function ask(access: Access, lsn: Lsn, doors: Doors, signal: AbortSignal): Promise<number> {
  const connection = await connectPageService(doors, pageServiceOptions(access, signal));
  try {
    const validUntilMs = await leaseLsn(connection, access, lsn);
    if (validUntilMs !== undefined) return validUntilMs;
  } finally {
    await connection.close();
  }
  throw new VarveError('precondition', 'LSN_NOT_KEPT', 'the history of the branch begins later than this', {
    lsn,
  });
}
