import { VarveError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { LsnByTimestamp, LsnLease, ShardTimelineKey } from '../../contracts/pageserver-api-timeline.ts';
import type { HistoryAdministration } from './administration.ts';
import type { GcBlocking } from './extensions.ts';
import { fromPostgresMicros, toPostgresMicros } from './postgres-time.ts';
import type { TenantAccess } from './tenant-access.ts';

const never: AbortSignal = new AbortController().signal;

/** LSNs and times of the history of timelines, for the HTTP API. */
export class StorageHistoryAdministration implements HistoryAdministration {
  readonly blockGc?: NonNullable<HistoryAdministration['blockGc']>;
  readonly unblockGc?: NonNullable<HistoryAdministration['unblockGc']>;
  readonly #access: TenantAccess;

  constructor(access: TenantAccess, gcBlocking: GcBlocking | undefined) {
    this.#access = access;
    if (gcBlocking === undefined) return;
    this.blockGc = async (key) => gcBlocking.block(await access.timeline(key, never));
    this.unblockGc = async (key) => gcBlocking.unblock(await access.timeline(key, never));
  }

  async lsnByTimestamp(
    key: ShardTimelineKey,
    timeMs: number,
    withLease: boolean,
    signal: AbortSignal,
  ): Promise<LsnByTimestamp> {
    const { timeline, reads, upkeep } = await this.#access.timeline(key, signal);
    const context = { task: 'administration', signal } as const;
    const { kind, lsn } = await reads.lsnByTimestamp(toPostgresMicros(timeMs), context);
    if (!withLease) return { lsn, kind };
    const lengthMs = timeline.settings.timestampLeaseMs;
    const { validUntilMs } = upkeep.leaseLsn(lsn, lengthMs);
    return { lsn, kind, valid_until: validUntilMs };
  }

  async timestampOfLsn(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<number> {
    const { timeline, reads } = await this.#access.timeline(key, signal);
    if (lsn > timeline.lastRecordLsn) {
      throw new VarveError('unavailable', 'LSN_NOT_REACHED', 'the LSN is still to come', { lsn });
    }
    const micros = await reads.timestampOfLsn(lsn, { task: 'administration', signal });
    if (micros !== undefined) return fromPostgresMicros(micros);
    throw new VarveError(
      'precondition',
      'NO_COMMIT_BEFORE_LSN',
      'the timeline has no commit at or below the LSN',
      { lsn },
    );
  }

  async lease(key: ShardTimelineKey, lsn: Lsn): Promise<LsnLease> {
    const { upkeep } = await this.#access.timeline(key, never);
    try {
      return { valid_until: upkeep.leaseLsn(lsn).validUntilMs };
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'LSN_BELOW_CUTOFF') throw error;
      const reason = `invalid lsn lease request: ${error.reason}`;
      throw new VarveError(error.kind, error.code, reason, error.place, error);
    }
  }
}
