import type { ShardTimelineKey } from '../../contracts/pageserver-api-timeline.ts';
import type { TenantShardId } from '../../contracts/tenant-shard-id.ts';
import type { Resource } from '../../contracts/token.ts';

export const SHARD_PATH = '/v1/tenant/{tenant_shard_id}';
export const TIMELINE_PATH = `${SHARD_PATH}/timeline/{timeline_id}`;

/** What a token must open for a request that names a tenant's shard. */
export function ofShard({ tenant_shard_id }: { readonly tenant_shard_id: TenantShardId }): Resource {
  return { tenantId: tenant_shard_id.tenantId };
}

/** What a token must open for a request that names a timeline. */
export function ofTimeline({ tenant_shard_id, timeline_id }: ShardTimelineKey): Resource {
  return { tenantId: tenant_shard_id.tenantId, timelineId: timeline_id };
}
