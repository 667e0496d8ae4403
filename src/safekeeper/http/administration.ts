import type { TenantId, TimelineId } from '../../base/ids.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { MembershipConfiguration } from '../../contracts/membership.ts';
import type {
  DigestRange,
  FilesystemUsage,
  MembershipSwitchResult,
  PullTimelineRequest,
  PullTimelineResult,
  SafekeeperStatus,
  SafekeeperTimelineInfo,
  SafekeeperUtilization,
  TenantDeleteResult,
  TermBumpResult,
  TimelineCreateRequest,
  TimelineDeleteResult,
  TimelineDigest,
  TimelineKey,
  TimelineStatus,
} from '../../contracts/safekeeper-api.ts';
import type {
  ControlFilePatchResult,
  ControlFileUpdates,
  DebugDump,
} from '../../contracts/safekeeper-api-debug.ts';

/** A request to create a timeline, with what has defaults filled in. */
export type CreateTimeline = TimelineCreateRequest & {
  readonly wal_seg_size: number;
  readonly commit_lsn: Lsn;
  readonly system_id: bigint;
};

/** What a debug dump shows, and of what. */
export interface DebugDumpOptions {
  readonly controlFile: boolean;
  readonly memory: boolean;
  readonly diskContent: boolean;
  readonly termHistory: boolean;
  readonly walLastModified: boolean;
  readonly tenantId: TenantId | undefined;
  readonly timelineId: TimelineId | undefined;
}

/**
 * What the HTTP API lets be done to a safekeeper. Tokens and the form of requests have been checked before. Beside
 * the errors that are named here, all methods with a timeline's key throw `not-found` / TIMELINE_NOT_FOUND, or
 * TIMELINE_DELETED where a tombstone is left, and all throw `cancelled` once the service shuts down.
 *
 * What takes a signal may stop when it is given; everything else runs to its end, whoever has gone.
 */
export interface SafekeeperAdministration {
  status(): SafekeeperStatus;
  utilization(): Promise<SafekeeperUtilization>;
  filesystemUsage(): Promise<FilesystemUsage>;

  /** Does nothing where it exists. Throws not-found / TIMELINE_DELETED where it existed once. */
  createTimeline(request: CreateTimeline): Promise<void>;
  /** Those that are not deleted, in no order. */
  listTimelines(): Promise<TimelineKey[]>;
  timelineStatus(key: TimelineKey): Promise<TimelineStatus>;
  /** Of a timeline that is not there: nothing existed. */
  deleteTimeline(key: TimelineKey, options: DeleteOptions): Promise<TimelineDeleteResult>;
  deleteTenant(tenantId: TenantId, options: DeleteOptions): Promise<TenantDeleteResult>;

  /**
   * Copies a timeline from the best of its other safekeepers. Throws `bad-request` where this one is not in the
   * configuration, `conflict` / STALE_GENERATION where a host knows a newer one, `unavailable` where too few answer.
   */
  pullTimeline(request: PullTimelineRequest, signal: AbortSignal): Promise<PullTimelineResult>;
  /** A tar stream of control file and WAL. Resolves when it is known that there is something to send. */
  snapshot(key: TimelineKey, destinationId: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Throws `precondition` / NOT_A_MEMBER, `conflict` / STALE_GENERATION. */
  setMembership(key: TimelineKey, configuration: MembershipConfiguration): Promise<MembershipSwitchResult>;
  /** Throws `precondition` / STILL_A_MEMBER, `conflict` / STALE_GENERATION. */
  excludeTimeline(key: TimelineKey, configuration: MembershipConfiguration): Promise<TimelineDeleteResult>;
  /** Does nothing where the target is there already. */
  copyTimeline(
    source: TimelineKey,
    targetTimelineId: TimelineId,
    untilLsn: Lsn,
    signal: AbortSignal,
  ): Promise<void>;

  /** Sets the fields that are there. The result must hold the order of positions, or `bad-request` is thrown. */
  patchControlFile(key: TimelineKey, updates: ControlFileUpdates): Promise<ControlFilePatchResult>;
  /** On return the control file on disk says what is known in memory. */
  checkpoint(key: TimelineKey): Promise<void>;
  digest(key: TimelineKey, range: DigestRange, signal: AbortSignal): Promise<TimelineDigest>;
  /** Forgets the partial segments in the bucket, and gives their names. Brings evicted WAL back first. */
  resetPartialBackup(key: TimelineKey): Promise<string[]>;
  /** Without a term: to the next one. A term that is not higher changes nothing. */
  bumpTerm(key: TimelineKey, term: number | undefined): Promise<TermBumpResult>;
  recordSafekeeperInfo(key: TimelineKey, info: SafekeeperTimelineInfo): Promise<void>;
  debugDump(options: DebugDumpOptions): Promise<DebugDump>;
}

export interface DeleteOptions {
  /** Leaves the WAL in the bucket alone. */
  readonly isLocalOnly: boolean;
}
