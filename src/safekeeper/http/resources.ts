import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Resource } from '../../contracts/token.ts';

export const TIMELINE_PATH = '/v1/tenant/{tenant_id}/timeline/{timeline_id}';

/** What a token must open for a request that names a tenant. */
export function ofTenant({ tenant_id }: { readonly tenant_id: TenantId }): Resource {
  return { tenantId: tenant_id };
}

/** What a token must open for a request that names a timeline. */
export function ofTimeline(key: {
  readonly tenant_id: TenantId;
  readonly timeline_id: TimelineId;
}): Resource {
  return { tenantId: key.tenant_id, timelineId: key.timeline_id };
}
