import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { Readiness } from '../../contracts/health-api.ts';
import type {
  PageserverStatus,
  PageserverUtilization,
  TenantDetails,
  TenantInfo,
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
import type {
  AuxiliaryFiles,
  GcResult,
  Keyspace,
  LayerMapInfo,
  PageValue,
} from '../../contracts/pageserver-api-layers.ts';
import type {
  ArchivalState,
  DetachBehavior,
  DetachResult,
  ImportBackupQuery,
  ImportWalQuery,
  LsnByTimestamp,
  LsnLease,
  ShardTimelineKey,
  TimelineBootstrapRequest,
  TimelineBranchRequest,
  TimelineInfo,
  TimelinesAndBroken,
  WholeTimelineKey,
} from '../../contracts/pageserver-api-timeline.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import type { TenantShardId } from '../../contracts/tenant-shard-id.ts';

/**
 * What the HTTP API lets be done to a pageserver. Tokens and the form of requests have been checked before. Beside the
 * errors that are named here, all methods throw
 * - `not-found` / TENANT_NOT_FOUND, never of a tenant that is attached here in whatever state, and TIMELINE_NOT_FOUND
 * - `unavailable` / TENANT_NOT_ACTIVE: it is being attached or detached
 * - `corruption` / TENANT_BROKEN, TIMELINE_BROKEN
 * - `cancelled` once the service, the tenant or the timeline shuts down
 *
 * What takes a signal may stop when it is given; everything else runs to its end, whoever has gone. A method that is left
 * out cannot be done by this pageserver: there is no route for it.
 */
export interface PageserverAdministration {
  readonly service: ServiceAdministration;
  readonly tenants: TenantAdministration;
  readonly timelines: TimelineAdministration;
  readonly history: HistoryAdministration;
  readonly layers: LayerAdministration;
}

export interface ServiceAdministration {
  status(): PageserverStatus;
  readiness(): Readiness;
  utilization(): Promise<PageserverUtilization>;
}

export interface SetLocationOptions {
  /** How long what is in memory may take to be written and uploaded, before the tenant is detached. */
  readonly flushMs: number;
}

export interface TenantAdministration {
  list(): TenantInfo[];
  details(shard: TenantShardId): TenantDetails;
  /** How the tenants are attached. */
  locations(): LocationList;
  location(shard: TenantShardId): LocationConfig | null;
  /**
   * Attaches a tenant, changes how it is attached, or detaches it. Does nothing where it is so already.
   * @throws BadRequestError SHARDING_NOT_SUPPORTED, MODE_NOT_SUPPORTED, STALE_GENERATION, BAD_LOCATION; VarveError ‘conflict’
   *   / TENANT_BUSY while another change is under way
   */
  setLocation(
    shard: TenantShardId,
    location: LocationConfig,
    options: SetLocationOptions,
  ): Promise<LocationResult | null>;
  syntheticSize(shard: TenantShardId, signal: AbortSignal): Promise<TenantSyntheticSize>;
  /** @throws VarveError ‘not-found’ / TIMELINE_NOT_FOUND where one of the timelines is not there */
  waitLsn(
    shard: TenantShardId,
    lsns: ReadonlyMap<TimelineId, Lsn>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<WaitLsnResult>;
  config(shard: TenantShardId, signal: AbortSignal): Promise<TenantConfigAnswer>;
  putConfig(tenantId: TenantId, config: TenantConfig): Promise<void>;
  patchConfig(tenantId: TenantId, patch: TenantConfigPatch): Promise<void>;
  /** With all that the store has of it. Does nothing where nothing is left. */
  delete(shard: TenantShardId): Promise<void>;
}

export interface TimelineInfoOptions {
  /** Finds out how large the relations are now, however long it takes. */
  readonly isSizeWanted: boolean;
}

export interface TimelineAdministration {
  /**
   * Begins a timeline where another one was. Does nothing where it exists and is the same.
   * @throws VarveError ‘precondition’ / BAD_BRANCH_POINT, ANCESTOR_ARCHIVED; ‘conflict’ / TIMELINE_EXISTS,
   *   TIMELINE_BEING_CREATED; ‘unavailable’ / LSN_NOT_REACHED, TIMELINE_BUSY
   */
  branch(shard: TenantShardId, request: TimelineBranchRequest, signal: AbortSignal): Promise<TimelineInfo>;
  /** Begins a timeline of a new cluster. As `branch`; VarveError ‘precondition’ / NO_INITDB */
  bootstrap(
    shard: TenantShardId,
    request: TimelineBootstrapRequest,
    signal: AbortSignal,
  ): Promise<TimelineInfo>;
  list(shard: TenantShardId, options: TimelineInfoOptions, signal: AbortSignal): Promise<TimelinesAndBroken>;
  info(key: ShardTimelineKey, options: TimelineInfoOptions, signal: AbortSignal): Promise<TimelineInfo>;
  /**
   * Returns when it is sure that the timeline will be deleted.
   * @throws VarveError ‘precondition’ / TIMELINE_HAS_BRANCHES; ‘conflict’ / TIMELINE_BUSY
   */
  delete(key: ShardTimelineKey): Promise<void>;
  /** Does nothing where it is so. @throws VarveError ‘precondition’ / TIMELINE_HAS_UNARCHIVED_BRANCHES, ANCESTOR_IS_ARCHIVED */
  setArchival(key: ShardTimelineKey, state: ArchivalState): Promise<void>;
  /** The timeline gets what it has of its ancestors. */
  readonly detachAncestor?: (key: ShardTimelineKey, behavior: DetachBehavior) => Promise<DetachResult>;
  readonly importBaseBackup?: (
    key: WholeTimelineKey,
    query: ImportBackupQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly importWal?: (
    key: WholeTimelineKey,
    query: ImportWalQuery,
    tar: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** LSNs and times of a timeline's history. */
export interface HistoryAdministration {
  /** @param timeMs milliseconds since 1970-01-01 UTC */
  lsnByTimestamp(
    key: ShardTimelineKey,
    timeMs: number,
    withLease: boolean,
    signal: AbortSignal,
  ): Promise<LsnByTimestamp>;
  /** Milliseconds since 1970. @throws VarveError ‘precondition’ / NO_COMMIT_BEFORE_LSN, LSN_BELOW_CUTOFF */
  timestampOfLsn(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<number>;
  /** @throws VarveError ‘precondition’ / LSN_BELOW_CUTOFF; ‘unavailable’ / LSN_NOT_REACHED */
  lease(key: ShardTimelineKey, lsn: Lsn): Promise<LsnLease>;
  /** No garbage is collected until `unblockGc`, also after a restart. */
  readonly blockGc?: (key: ShardTimelineKey) => Promise<void>;
  readonly unblockGc?: (key: ShardTimelineKey) => Promise<void>;
}

export interface CheckpointOptions {
  readonly compacts: boolean;
  readonly waitsForFlush: boolean;
  readonly waitsForUpload: boolean;
}

/** What a timeline is stored in. */
export interface LayerAdministration {
  map(key: ShardTimelineKey): Promise<LayerMapInfo>;
  /** Brings a layer's file here. Returns whether it was not. @throws BadRequestError UNKNOWN_LAYER */
  fetch(key: ShardTimelineKey, name: string, signal: AbortSignal): Promise<boolean>;
  collectGarbage(key: ShardTimelineKey, horizonBytes: number | undefined): Promise<GcResult>;
  compact(
    key: ShardTimelineKey,
    options: { readonly rewritesBottom: boolean; readonly waitsForUpload: boolean },
  ): Promise<void>;
  checkpoint(key: ShardTimelineKey, options: CheckpointOptions): Promise<void>;
  keyspace(key: ShardTimelineKey, lsn: Lsn | undefined, signal: AbortSignal): Promise<Keyspace>;
  /** @param keyText 36 hexadecimal digits */
  value(
    key: ShardTimelineKey,
    keyText: string,
    lsn: Lsn | undefined,
    signal: AbortSignal,
  ): Promise<PageValue>;
  auxiliaryFiles(key: ShardTimelineKey, lsn: Lsn, signal: AbortSignal): Promise<AuxiliaryFiles>;
}
