import type { TimelineId } from '../../base/ids.ts';
import type { Readiness } from '../../contracts/health-api.ts';
import type {
  DetachBehavior,
  DetachResult,
  ImportBackupQuery,
  ImportWalQuery,
} from '../../contracts/pageserver-api-timeline.ts';
import type { WalReceiverState } from '../ingest/receiver/receiver-state.ts';
import type { ActiveTimeline } from '../tenant/active-timeline.ts';
import type { Tenant } from '../tenant/tenant.ts';
import type { Timeline } from '../timeline/timeline.ts';

/** What brings timelines their WAL. */
export interface ReceiverNews {
  /** undefined where nobody receives it. */
  stateOf(timeline: Timeline): WalReceiverState | undefined;
}

/**
 * What a pageserver can do beside what its storage does by itself. What is left out cannot be done, and has no route. All of
 * it runs to its end, whoever has gone, but for what takes a signal.
 */
export interface AdministrationExtensions {
  readonly receivers?: ReceiverNews;
  /** What else has to happen before the pageserver is ready. */
  readonly missing?: () => Readiness['missing'];
  readonly detachAncestor?: (
    tenant: Tenant,
    timelineId: TimelineId,
    behavior: DetachBehavior,
  ) => Promise<DetachResult>;
  /** Nothing is left where it fails. */
  readonly importBaseBackup?: (
    tenant: Tenant,
    timelineId: TimelineId,
    query: ImportBackupQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly importWal?: (
    active: ActiveTimeline,
    query: ImportWalQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly gcBlocking?: GcBlocking;
}

/** Keeps garbage from being collected, also after a restart. */
export interface GcBlocking {
  block(active: ActiveTimeline): Promise<void>;
  unblock(active: ActiveTimeline): Promise<void>;
  isBlocked(timeline: Timeline): boolean;
}
