import { z } from 'zod';
import type { TenantId, TimelineId } from '../base/ids.ts';
import { formatLsn, type Lsn } from '../base/lsn.ts';
import { timestampSchema } from '../contracts/api-values.ts';
import {
  type PageserverStatus,
  type PageserverUtilization,
  pageserverStatusSchema,
  syntheticSizeSchema,
  type TenantDetails,
  type TenantInfo,
  type TenantSyntheticSize,
  tenantDetailsSchema,
  tenantListSchema,
  utilizationSchema,
  type WaitLsnResult,
  waitLsnResultSchema,
} from '../contracts/pageserver-api.ts';
import {
  type LocationConfig,
  type LocationList,
  type LocationResult,
  locationConfigSchema,
  locationListSchema,
  locationResultSchema,
  type TenantConfigAnswer,
  type TenantConfigPatch,
  tenantConfigAnswerSchema,
} from '../contracts/pageserver-api-config.ts';
import {
  type GcResult,
  gcResultSchema,
  type LayerMapInfo,
  layerMapSchema,
} from '../contracts/pageserver-api-layers.ts';
import {
  type ArchivalState,
  type DetachBehavior,
  type DetachResult,
  detachResultSchema,
  type ImportBackupQuery,
  type ImportWalQuery,
  type LsnByTimestamp,
  type LsnLease,
  lsnByTimestampSchema,
  lsnLeaseSchema,
  type ShardTimelineKey,
  type TimelineBootstrapRequest,
  type TimelineBranchRequest,
  type TimelineInfo,
  timelineBootstrapSchema,
  timelineBranchSchema,
  timelineInfoSchema,
  timelineListSchema,
  type WholeTimelineKey,
} from '../contracts/pageserver-api-timeline.ts';
import type { TenantConfig } from '../contracts/tenant-config.ts';
import { formatTenantShardId, type TenantShardId } from '../contracts/tenant-shard-id.ts';
import { HttpClient, type HttpClientOptions } from './http-client.ts';

/** An import goes on for as long as its bytes do. */
const IMPORT_TIMEOUT_MS = 24 * 3600_000;
/** Beside what is waited for. */
const WAIT_SPARE_MS = 10_000;

export interface CheckpointQuery {
  readonly compacts?: boolean;
  readonly waitsForFlush?: boolean;
  readonly waitsForUpload?: boolean;
}

/** A pageserver's HTTP API: docs/pageserver-http.md. Errors are those of `HttpClient`. */
export class PageserverClient {
  readonly #client: HttpClient;

  constructor(options: HttpClientOptions) {
    this.#client = new HttpClient(options);
  }

  status(signal: AbortSignal): Promise<PageserverStatus> {
    return this.#client.getJson({ method: 'GET', path: '/v1/status', signal }, pageserverStatusSchema);
  }

  utilization(signal: AbortSignal): Promise<PageserverUtilization> {
    return this.#client.getJson({ method: 'GET', path: '/v1/utilization', signal }, utilizationSchema);
  }

  listTenants(signal: AbortSignal): Promise<TenantInfo[]> {
    return this.#client.getJson({ method: 'GET', path: '/v1/tenant', signal }, tenantListSchema);
  }

  tenant(shard: TenantShardId, signal: AbortSignal): Promise<TenantDetails> {
    return this.#client.getJson({ method: 'GET', path: shardPath(shard), signal }, tenantDetailsSchema);
  }

  async deleteTenant(shard: TenantShardId, signal: AbortSignal): Promise<void> {
    await this.#client.send({ method: 'DELETE', path: shardPath(shard), signal });
  }

  locations(signal: AbortSignal): Promise<LocationList> {
    return this.#client.getJson({ method: 'GET', path: '/v1/location_config', signal }, locationListSchema);
  }

  /** null: it is being changed. */
  location(shard: TenantShardId, signal: AbortSignal): Promise<LocationConfig | null> {
    const path = `/v1/location_config/${formatTenantShardId(shard)}`;
    return this.#client.getJson({ method: 'GET', path, signal }, locationConfigSchema.nullable());
  }

  /** @param flushMs how long what is in memory may take to be uploaded, before the tenant is detached */
  setLocation(
    shard: TenantShardId,
    location: LocationConfig,
    flushMs: number,
    signal: AbortSignal,
  ): Promise<LocationResult | null> {
    return this.#client.getJson(
      {
        method: 'PUT',
        path: `${shardPath(shard)}/location_config`,
        query: { flush_ms: String(Math.round(flushMs)) },
        body: z.encode(locationConfigSchema, location),
        signal,
      },
      locationResultSchema.nullable(),
    );
  }

  config(shard: TenantShardId, signal: AbortSignal): Promise<TenantConfigAnswer> {
    const path = `${shardPath(shard)}/config`;
    return this.#client.getJson({ method: 'GET', path, signal }, tenantConfigAnswerSchema);
  }

  async putConfig(tenantId: TenantId, config: TenantConfig, signal: AbortSignal): Promise<void> {
    const body = { tenant_id: tenantId, ...config };
    await this.#client.send({ method: 'PUT', path: '/v1/tenant/config', body, signal });
  }

  async patchConfig(tenantId: TenantId, patch: TenantConfigPatch, signal: AbortSignal): Promise<void> {
    const body = { tenant_id: tenantId, ...patch };
    await this.#client.send({ method: 'PATCH', path: '/v1/tenant/config', body, signal });
  }

  syntheticSize(shard: TenantShardId, signal: AbortSignal): Promise<TenantSyntheticSize> {
    const path = `${shardPath(shard)}/synthetic_size`;
    return this.#client.getJson({ method: 'GET', path, signal }, syntheticSizeSchema);
  }

  waitLsn(
    shard: TenantShardId,
    lsns: ReadonlyMap<TimelineId, Lsn>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<WaitLsnResult> {
    const timeout = {
      secs: Math.floor(timeoutMs / 1000),
      nanos: Math.floor((timeoutMs % 1000) * 1e6),
    };
    const wanted = Object.fromEntries([...lsns].map(([timelineId, lsn]) => [timelineId, formatLsn(lsn)]));
    return this.#client.getJson(
      {
        method: 'POST',
        path: `${shardPath(shard)}/wait_lsn`,
        body: { ...wanted, timeout },
        timeoutMs: timeoutMs + WAIT_SPARE_MS,
        signal,
      },
      waitLsnResultSchema,
    );
  }

  createBranch(
    shard: TenantShardId,
    request: TimelineBranchRequest,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const body = z.encode(timelineBranchSchema, request);
    return this.#client.getJson(
      { method: 'POST', path: `${shardPath(shard)}/timeline`, body, signal },
      timelineInfoSchema,
    );
  }

  createTimeline(
    shard: TenantShardId,
    request: TimelineBootstrapRequest,
    signal: AbortSignal,
  ): Promise<TimelineInfo> {
    const body = z.encode(timelineBootstrapSchema, request);
    return this.#client.getJson(
      { method: 'POST', path: `${shardPath(shard)}/timeline`, body, signal },
      timelineInfoSchema,
    );
  }

  listTimelines(shard: TenantShardId, signal: AbortSignal): Promise<TimelineInfo[]> {
    const path = `${shardPath(shard)}/timeline`;
    return this.#client.getJson({ method: 'GET', path, signal }, timelineListSchema);
  }

  timeline(key: ShardTimelineKey, signal: AbortSignal): Promise<TimelineInfo> {
    return this.#client.getJson({ method: 'GET', path: timelinePath(key), signal }, timelineInfoSchema);
  }

  /** It is gone when this, repeated, throws not-found / TIMELINE_NOT_FOUND. */
  async deleteTimeline(key: ShardTimelineKey, signal: AbortSignal): Promise<void> {
    await this.#client.send({ method: 'DELETE', path: timelinePath(key), signal });
  }

  async setArchival(key: ShardTimelineKey, state: ArchivalState, signal: AbortSignal): Promise<void> {
    const path = `${timelinePath(key)}/archival_config`;
    await this.#client.send({ method: 'PUT', path, body: { state }, signal });
  }

  detachAncestor(
    key: ShardTimelineKey,
    behavior: DetachBehavior,
    signal: AbortSignal,
  ): Promise<DetachResult> {
    const path = `${timelinePath(key)}/detach_ancestor`;
    return this.#client.getJson(
      { method: 'PUT', path, query: { detach_behavior: behavior }, signal },
      detachResultSchema,
    );
  }

  /** @param timeMs milliseconds since 1970 */
  lsnByTimestamp(
    key: ShardTimelineKey,
    timeMs: number,
    withLease: boolean,
    signal: AbortSignal,
  ): Promise<LsnByTimestamp> {
    const query = { timestamp: z.encode(timestampSchema, timeMs), with_lease: String(withLease) };
    const path = `${timelinePath(key)}/get_lsn_by_timestamp`;
    return this.#client.getJson({ method: 'GET', path, query, signal }, lsnByTimestampSchema);
  }

  /** Milliseconds since 1970. */
  timestampOfLsn(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<number> {
    const path = `${timelinePath(key)}/get_timestamp_of_lsn`;
    const query = { lsn: formatLsn(lsn) };
    return this.#client.getJson({ method: 'GET', path, query, signal }, timestampSchema);
  }

  leaseLsn(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<LsnLease> {
    const path = `${timelinePath(key)}/lsn_lease`;
    const body = { lsn: formatLsn(lsn) };
    return this.#client.getJson({ method: 'POST', path, body, signal }, lsnLeaseSchema);
  }

  layers(key: ShardTimelineKey, signal: AbortSignal): Promise<LayerMapInfo> {
    const path = `${timelinePath(key)}/layer`;
    return this.#client.getJson({ method: 'GET', path, signal }, layerMapSchema);
  }

  /** @param horizonBytes as it is configured, if not given */
  collectGarbage(
    key: ShardTimelineKey,
    horizonBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<GcResult> {
    const path = `${timelinePath(key)}/do_gc`;
    const body = horizonBytes === undefined ? {} : { gc_horizon: horizonBytes };
    return this.#client.getJson({ method: 'PUT', path, body, signal }, gcResultSchema);
  }

  async checkpoint(key: ShardTimelineKey, query: CheckpointQuery, signal: AbortSignal): Promise<void> {
    await this.#client.send({
      method: 'PUT',
      path: `${timelinePath(key)}/checkpoint`,
      query: {
        compact: query.compacts?.toString(),
        wait_until_flushed: query.waitsForFlush?.toString(),
        wait_until_uploaded: query.waitsForUpload?.toString(),
      },
      signal,
    });
  }

  async importBaseBackup(
    key: WholeTimelineKey,
    query: ImportBackupQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#client.send({
      method: 'PUT',
      path: `/v1/tenant/${key.tenant_id}/timeline/${key.timeline_id}/import_basebackup`,
      query: {
        base_lsn: formatLsn(query.base_lsn),
        end_lsn: formatLsn(query.end_lsn),
        pg_version: String(query.pg_version),
      },
      upload: tar,
      timeoutMs: IMPORT_TIMEOUT_MS,
      signal,
    });
  }

  async importWal(
    key: WholeTimelineKey,
    query: ImportWalQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#client.send({
      method: 'PUT',
      path: `/v1/tenant/${key.tenant_id}/timeline/${key.timeline_id}/import_wal`,
      query: { start_lsn: formatLsn(query.start_lsn), end_lsn: formatLsn(query.end_lsn) },
      upload: tar,
      timeoutMs: IMPORT_TIMEOUT_MS,
      signal,
    });
  }
}

const shardPath = (shard: TenantShardId): string => `/v1/tenant/${formatTenantShardId(shard)}`;

const timelinePath = ({ tenant_shard_id, timeline_id }: ShardTimelineKey): string =>
  `${shardPath(tenant_shard_id)}/timeline/${timeline_id}`;
