import { CorruptionError, VarveError } from '../../base/errors.ts';
import type { TimelineId } from '../../base/ids.ts';
import type { ShardTimelineKey } from '../../contracts/pageserver-api-timeline.ts';
import { formatTenantShardId, isWholeTenant, type TenantShardId } from '../../contracts/tenant-shard-id.ts';
import type { PageStorage } from '../storage.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { TenantStatus } from '../tenant/tenant-slot.ts';

/** As Neon's clients expect it. */
const ACTIVE_WAIT_MS = 5000;

/**
 * Looks tenants and timelines up for the HTTP API. A tenant that is here is never said to be missing: what it is broken by
 * may be a file that is not there, and whoever hears that would attach the tenant elsewhere.
 */
export class TenantAccess {
  readonly storage: PageStorage;
  readonly #activeWaitMs: number;

  /** @param activeWaitMs how long a tenant is waited for that is being attached */
  constructor(storage: PageStorage, activeWaitMs: number = ACTIVE_WAIT_MS) {
    this.storage = storage;
    this.#activeWaitMs = activeWaitMs;
  }

  /** undefined: it is not attached here. Shards of a tenant never are. */
  findStatus(shard: TenantShardId): TenantStatus | undefined {
    return isWholeTenant(shard) ? this.storage.statusOf(shard.tenantId) : undefined;
  }

  /** @throws VarveError ‘not-found’ / TENANT_NOT_FOUND */
  status(shard: TenantShardId): TenantStatus {
    const status = this.findStatus(shard);
    if (status === undefined) throw shardNotFound(shard);
    return status;
  }

  /**
   * Waits a while for one that is being attached.
   * @throws VarveError ‘not-found’ / TENANT_NOT_FOUND; ‘unavailable’ / TENANT_NOT_ACTIVE; CorruptionError TENANT_BROKEN;
   *   ‘cancelled’
   */
  async tenant(shard: TenantShardId, signal: AbortSignal): Promise<Tenant> {
    this.status(shard);
    try {
      return await this.storage.activeTenant(shard.tenantId, signal, this.#activeWaitMs);
    } catch (error) {
      // It may have become so meanwhile.
      const reason = this.findStatus(shard)?.error;
      throw reason === undefined ? error : tenantBroken(reason);
    }
  }

  /** @throws as `tenant`; VarveError ‘not-found’ / TIMELINE_NOT_FOUND; CorruptionError TIMELINE_BROKEN */
  async timeline(key: ShardTimelineKey, signal: AbortSignal): Promise<ActiveTimeline> {
    return timelineOf(await this.tenant(key.tenant_shard_id, signal), key.timeline_id);
  }
}

/** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND; CorruptionError TIMELINE_BROKEN */
export function timelineOf(tenant: Tenant, timelineId: TimelineId): ActiveTimeline {
  const broken = tenant.brokenTimelines.find((other) => other.timelineId === timelineId);
  if (broken === undefined) return tenant.timeline(timelineId);
  throw new CorruptionError(
    'TIMELINE_BROKEN',
    `timeline is broken: ${broken.error.reason}`,
    broken.error.place,
    broken.error,
  );
}

const tenantBroken = (reason: VarveError): CorruptionError =>
  new CorruptionError('TENANT_BROKEN', `tenant is broken: ${reason.reason}`, reason.place, reason);

const shardNotFound = (shard: TenantShardId): VarveError =>
  new VarveError(
    'not-found',
    'TENANT_NOT_FOUND',
    `tenant ${formatTenantShardId(shard)} is not attached here`,
  );
