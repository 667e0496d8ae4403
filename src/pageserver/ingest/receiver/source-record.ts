import { VarveError } from '../../../base/errors.ts';
import type { Lsn } from '../../../base/lsn.ts';
import type { Random } from '../../../io/random.ts';
import { RetryDelay } from '../../../io/retry-delay.ts';
import type { LeaveReason } from './choose-source.ts';

const RETRY = { minMs: 200, maxMs: 15_000 };
/** What is damaged on a disk does not heal by being read again. */
const DAMAGE_RETRY = { minMs: 10_000, maxMs: 600_000 };

export interface SourceFailure {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly code: string;
  readonly message: string;
  readonly isDamage: boolean;
}

/** How it went with one safekeeper as a source of one timeline's WAL, or with the timeline itself, whoever brings it. */
export class SourceRecord {
  readonly #delay: RetryDelay;
  readonly #damageDelay: RetryDelay;
  /** Not to be tried before then, by the clock's monotonic time. */
  retryAtMs = 0;
  lastFailure: SourceFailure | undefined;
  /** Failures since it last brought WAL. */
  failures = 0;
  /** Where the intake was when it refused what came from here last. */
  refusedLsn: Lsn | undefined;
  #damageLsn: Lsn | undefined;

  constructor(random: Random) {
    this.#delay = new RetryDelay(RETRY, random);
    this.#damageDelay = new RetryDelay(DAMAGE_RETRY, random);
  }

  /** It brought WAL that was taken. */
  succeed(): void {
    this.#delay.reset();
    this.failures = 0;
  }

  /** A connection has come to its end, in whatever way: the next one waits for a while. */
  rest(nowMs: number): void {
    this.retryAtMs = nowMs + this.#delay.nextMs();
  }

  /** @param isRefused the intake could not take what it brought, for `position` */
  fail(error: VarveError, isRefused: boolean, nowMs: number, wallMs: number, position: Lsn): void {
    const isDamage = error.kind === 'corruption';
    this.failures++;
    this.lastFailure = { atMs: wallMs, code: error.code, message: error.message, isDamage };
    if (!isDamage) {
      this.rest(nowMs);
      return;
    }
    if (isRefused) this.refusedLsn = position;
    // WAL that goes on elsewhere is another matter.
    if (this.#damageLsn !== position) this.#damageDelay.reset();
    this.#damageLsn = position;
    this.retryAtMs = nowMs + this.#damageDelay.nextMs();
  }
}

/** Whether a safekeeper was left because it failed. */
export function failureOf(reason: LeaveReason | undefined): VarveError | undefined {
  if (reason === 'silent')
    return new VarveError(
      'unavailable',
      'SOURCE_SILENT',
      'nothing was heard from the safekeeper for too long',
    );
  if (reason === 'no-progress')
    return new VarveError(
      'unavailable',
      'SOURCE_LAGS',
      'the safekeeper brings nothing, and another one has more',
    );
  return undefined;
}
