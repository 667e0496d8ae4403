import { BadRequestError, VarveError } from '../../base/errors.ts';
import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type {
  TenantDetails,
  TenantInfo,
  TenantState,
  TenantSyntheticSize,
  WaitLsnResult,
} from '../../contracts/pageserver-api.ts';
import type {
  LocationConfig,
  LocationList,
  LocationResult,
  TenantConfigAnswer,
  TenantConfigPatch,
} from '../../contracts/pageserver-api-config.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import { isWholeTenant, type TenantShardId, wholeTenant } from '../../contracts/tenant-shard-id.ts';
import { Limiter } from '../../io/limiter.ts';
import type { AttachOptions } from '../tenant/attached-tenants.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { TenantStatus } from '../tenant/tenant-slot.ts';
import { computeTenantSize } from '../tenant-size.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { waitForLsn } from '../timeline/timeline-reads.ts';
import type { SetLocationOptions, TenantAdministration } from './administration.ts';
import type { AdministrationExtensions } from './extensions.ts';
import { attachedMode, checkLocation } from './location.ts';
import { type TenantAccess, timelineOf } from './tenant-access.ts';

const never: AbortSignal = new AbortController().signal;

/** The tenants of a storage, as the HTTP API shows and changes them. */
export class StorageTenantAdministration implements TenantAdministration {
  readonly #nodeId: number;
  readonly #access: TenantAccess;
  readonly #extensions: AdministrationExtensions;
  /** A patch reads what is set, and sets it anew: of a tenant one at a time. */
  readonly #patches = new WeakMap<Tenant, Limiter>();

  constructor(nodeId: number, access: TenantAccess, extensions: AdministrationExtensions) {
    this.#nodeId = nodeId;
    this.#access = access;
    this.#extensions = extensions;
  }

  list(): TenantInfo[] {
    return this.#access.storage.tenantStatuses.map((status) => this.#info(status));
  }

  details(shard: TenantShardId): TenantDetails {
    const status = this.#access.status(shard);
    const timelines = this.#activeTenant(status)?.timelines ?? [];
    return {
      ...this.#info(status),
      timelines: timelines.map(({ timeline }) => timeline.timelineId),
    };
  }

  locations(): LocationList {
    return {
      tenant_shards: this.#access.storage.tenantStatuses.map((status) => [
        wholeTenant(status.tenantId),
        this.#location(status),
      ]),
    };
  }

  location(shard: TenantShardId): LocationConfig | null {
    return this.#location(this.#access.status(shard));
  }

  async setLocation(
    shard: TenantShardId,
    location: LocationConfig,
    { flushMs }: SetLocationOptions,
  ): Promise<LocationResult | null> {
    checkLocation(shard, location);
    const { storage } = this.#access;
    const { tenantId } = shard;
    const known = this.#access.findStatus(shard);
    if (location.mode === 'Detached') {
      if (known !== undefined) await storage.detach(tenantId, { flushMs });
      return null;
    }
    const generation = location.generation ?? known?.generation;
    if (location.mode !== 'AttachedSingle' && generation === undefined) {
      throw new BadRequestError('BAD_LOCATION', `to become ${location.mode} a tenant needs a generation`);
    }
    await this.#attach(shard, {
      config: location.tenant_conf,
      mode: attachedMode(location),
      flushMs,
      ...(generation === undefined ? {} : { generation }),
    });
    return { shards: [{ shard_id: shard, node_id: this.#nodeId }] };
  }

  /** That it takes long until the tenant is active is no failure: it is attached. */
  async #attach(shard: TenantShardId, options: AttachOptions): Promise<void> {
    try {
      await this.#access.storage.attach(shard.tenantId, options);
    } catch (error) {
      if (error instanceof VarveError && error.code === 'TENANT_NOT_ACTIVE') return;
      // What it is broken by is said as for all other requests.
      if (this.#access.findStatus(shard)?.error === error) await this.#access.tenant(shard, never);
      throw error;
    }
  }

  async delete(shard: TenantShardId): Promise<void> {
    if (!isWholeTenant(shard)) return;
    try {
      await this.#access.storage.deleteTenant(shard.tenantId);
    } catch (error) {
      if (!(error instanceof VarveError) || error.code !== 'TENANT_BUSY') throw error;
      throw new VarveError('unavailable', error.code, error.reason, error.place, error);
    }
  }

  async syntheticSize(shard: TenantShardId, signal: AbortSignal): Promise<TenantSyntheticSize> {
    const tenant = await this.#access.tenant(shard, signal);
    const { bytes, points } = await computeTenantSize(tenant.timelines, { task: 'administration', signal });
    return {
      id: shard,
      size: bytes,
      segment_sizes: points.map(({ timelineId, parent, lsn, logicalBytes, isNeeded, payment }) => ({
        timeline_id: timelineId as TimelineId,
        parent: parent ?? null,
        lsn: lsn as Lsn,
        logical_size: Number.isFinite(logicalBytes) ? logicalBytes : null,
        is_needed: isNeeded,
        method: payment,
      })),
    };
  }

  async waitLsn(
    shard: TenantShardId,
    lsns: ReadonlyMap<TimelineId, Lsn>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<WaitLsnResult> {
    const tenant = await this.#access.tenant(shard, signal);
    const wanted = [...lsns].map(([timelineId, lsn]) => ({ ...timelineOf(tenant, timelineId), lsn }));
    const reached = await Promise.all(
      wanted.map(({ timeline, lsn }) => hasReachedInTime(waitForLsn(timeline, lsn, timeoutMs, signal))),
    );
    const count = reached.filter(Boolean).length;
    return count === reached.length ? 'all' : count === 0 ? 'none' : 'some';
  }

  async config(shard: TenantShardId, signal: AbortSignal): Promise<TenantConfigAnswer> {
    const { config, effectiveConfig } = await this.#access.tenant(shard, signal);
    return { tenant_specific_overrides: config, effective_config: effectiveConfig };
  }

  async putConfig(tenantId: TenantId, config: TenantConfig): Promise<void> {
    const tenant = await this.#access.tenant(wholeTenant(tenantId), never);
    await this.#patchesOf(tenant).run(never, () => tenant.setConfig(config));
  }

  async patchConfig(tenantId: TenantId, patch: TenantConfigPatch): Promise<void> {
    const tenant = await this.#access.tenant(wholeTenant(tenantId), never);
    await this.#patchesOf(tenant).run(never, async () => {
      const merged = Object.entries({ ...tenant.config, ...patch }).filter(
        ([, value]) => value !== null && value !== undefined,
      );
      await tenant.setConfig(Object.fromEntries(merged) as TenantConfig);
    });
  }

  #patchesOf(tenant: Tenant): Limiter {
    let patches = this.#patches.get(tenant);
    if (patches === undefined) {
      patches = new Limiter(1);
      this.#patches.set(tenant, patches);
    }
    return patches;
  }

  #activeTenant({ tenantId, state }: TenantStatus): Tenant | undefined {
    return state === 'active' ? this.#access.storage.tenant(tenantId) : undefined;
  }

  #info(status: TenantStatus): TenantInfo {
    const tenant = this.#activeTenant(status);
    const timelines = tenant?.timelines ?? [];
    let bytes = 0;
    for (const { timeline } of timelines) for (const layer of timeline.layers) bytes += layer.sizeBytes;
    const gcBlocking = timelines.flatMap(({ timeline }) => this.#gcBlockingOf(timeline));
    return {
      id: wholeTenant(status.tenantId),
      state: stateOf(status),
      generation: status.generation,
      ...(tenant === undefined ? {} : { current_physical_size: bytes }),
      attachment_status: attachmentOf(status),
      ...(gcBlocking.length === 0 ? {} : { gc_blocking: gcBlocking.join('; ') }),
    };
  }

  /** Why no garbage of a timeline is collected. */
  #gcBlockingOf(timeline: Timeline): string[] {
    const reasons: string[] = [];
    if (this.#extensions.gcBlocking?.isBlocked(timeline) === true) reasons.push('by hand');
    if (timeline.isGettingBranches) reasons.push('until detaching it from its ancestor has been repeated');
    return reasons.map((reason) => `${timeline.timelineId}: ${reason}`);
  }

  /** null: nobody knows how it will be. */
  #location(status: TenantStatus): LocationConfig | null {
    if (status.state === 'attaching' || status.state === 'stopping') return null;
    return {
      mode: status.mode,
      generation: status.generation,
      secondary_conf: null,
      shard_number: 0,
      shard_count: 0,
      tenant_conf: this.#activeTenant(status)?.config ?? {},
    };
  }
}

async function hasReachedInTime(waiting: Promise<void>): Promise<boolean> {
  try {
    await waiting;
    return true;
  } catch (error) {
    if (error instanceof VarveError && error.code === 'LSN_NOT_REACHED') return false;
    throw error;
  }
}

const SLUGS = { attaching: 'Attaching', active: 'Active', stopping: 'Stopping' } as const;

function stateOf({ state, error }: TenantStatus): TenantState {
  if (state !== 'broken') return { slug: SLUGS[state] };
  return { slug: 'Broken', data: { reason: error?.message ?? '', backtrace: '' } };
}

function attachmentOf({ state, error }: TenantStatus): TenantInfo['attachment_status'] {
  if (state === 'broken') return { slug: 'failed', data: { reason: error?.message ?? '' } };
  return { slug: state === 'attaching' ? 'maybe' : 'attached' };
}
