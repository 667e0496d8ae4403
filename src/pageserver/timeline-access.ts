import type { TenantId, TimelineId } from '../base/ids.ts';
import type { ActiveTimeline } from './tenant/active-timeline.ts';

/** What the front door and HTTP look timelines up by. */
export interface TimelineAccess {
  /**
   * Waits a bounded time for a tenant that is being attached.
   * @throws VarveError ‘not-found’ / TENANT_NOT_FOUND, TIMELINE_NOT_FOUND, never of a tenant that is here; ‘unavailable’ /
   *   TENANT_NOT_ACTIVE; ‘cancelled’; what a broken tenant or timeline is broken by
   */
  timeline(tenantId: TenantId, timelineId: TimelineId, signal: AbortSignal): Promise<ActiveTimeline>;
}
