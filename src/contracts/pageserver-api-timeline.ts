import { z } from 'zod';
import {
  flagSchema,
  lsnSchema,
  tenantIdSchema,
  timelineIdSchema,
  timestampSchema,
  u64Schema,
  wholeNumberSchema,
} from './api-values.ts';
import { queryNumber } from './pageserver-api-config.ts';
import { tenantShardIdSchema } from './tenant-shard-id.ts';

/** What goes over a pageserver's HTTP API of timelines. */

export const shardTimelineSchema = z.object({
  tenant_shard_id: tenantShardIdSchema,
  timeline_id: timelineIdSchema,
});
/** A timeline, by the shard of its tenant. */
export type ShardTimelineKey = z.output<typeof shardTimelineSchema>;

/** For what is done to a tenant as a whole. */
export const wholeTimelineSchema = z.object({ tenant_id: tenantIdSchema, timeline_id: timelineIdSchema });
export type WholeTimelineKey = z.output<typeof wholeTimelineSchema>;

const POSTGRES_MAJOR_MAX = 99;
const majorSchema = z.int().min(1).max(POSTGRES_MAJOR_MAX);

const branchSchema = z.strictObject({
  new_timeline_id: timelineIdSchema,
  ancestor_timeline_id: timelineIdSchema,
  ancestor_start_lsn: lsnSchema.nullish().describe("The ancestor's last record where it is left out"),
  ancestor_start_time: timestampSchema
    .nullish()
    .describe('Not with an LSN: the branch has what was committed up to this time'),
  read_only: z.literal(false).nullish(),
  pg_version: majorSchema.nullish().describe("Passed over: it is the ancestor's"),
});

const bootstrapSchema = z.strictObject({
  new_timeline_id: timelineIdSchema,
  pg_version: majorSchema.nullish().describe('17 where it is left out'),
});

export const timelineBranchSchema = branchSchema.meta({ id: 'TimelineCreateBranch' });
export const timelineBootstrapSchema = bootstrapSchema.meta({ id: 'TimelineCreateBootstrap' });
/** As in Neon the fields tell which it is. */
export const timelineCreateSchema = z
  .union([timelineBranchSchema, timelineBootstrapSchema])
  .meta({ id: 'TimelineCreateRequest' });
export type TimelineBranchRequest = z.output<typeof timelineBranchSchema>;
export type TimelineBootstrapRequest = z.output<typeof timelineBootstrapSchema>;

export const timelineQuerySchema = z.object({
  'include-non-incremental-logical-size': flagSchema.optional(),
  'force-await-initial-logical-size': flagSchema.optional(),
});

const timelineStateSchema = z.union([
  z.enum(['Loading', 'Active', 'Stopping']),
  z.strictObject({ Broken: z.object({ reason: z.string(), backtrace: z.string() }) }),
]);

export const timelineInfoSchema = z
  .object({
    tenant_id: tenantShardIdSchema,
    timeline_id: timelineIdSchema,
    ancestor_timeline_id: timelineIdSchema.nullish(),
    ancestor_lsn: lsnSchema.nullish(),
    last_record_lsn: lsnSchema,
    prev_record_lsn: lsnSchema.nullish(),
    applied_gc_cutoff_lsn: lsnSchema.describe('Reads below fail'),
    min_readable_lsn: lsnSchema.describe('The oldest LSN that a new branch or lease may have'),
    disk_consistent_lsn: lsnSchema,
    remote_consistent_lsn: lsnSchema.describe('With all that waits to be uploaded'),
    remote_consistent_lsn_visible: lsnSchema.describe('What safekeepers are told'),
    initdb_lsn: lsnSchema,
    current_logical_size: wholeNumberSchema,
    current_logical_size_is_accurate: z.boolean().describe('Whether it is that of the last record'),
    current_physical_size: wholeNumberSchema.nullish().describe('Bytes of layers'),
    current_logical_size_non_incremental: wholeNumberSchema.nullish(),
    pitr_history_size: wholeNumberSchema.describe('Bytes of WAL that can be read at'),
    within_ancestor_pitr: z.boolean(),
    wal_source_connstr: z.string().nullish(),
    last_received_msg_lsn: lsnSchema.nullish(),
    last_received_msg_ts: wholeNumberSchema.nullish().describe('Microseconds since 1970-01-01 UTC'),
    pg_version: wholeNumberSchema,
    system_identifier: u64Schema.describe('Of the cluster whose WAL it is'),
    wal_segment_size: wholeNumberSchema,
    state: timelineStateSchema,
    walreceiver_status: z.string(),
    is_archived: z.boolean().nullish(),
    ingest_stopped: z.string().nullish().describe('Why no WAL is taken in any more'),
    poisoned_records: wholeNumberSchema.optional().describe('Records whose pages cannot be read'),
  })
  .meta({ id: 'TimelineInfo' });
export type TimelineInfo = z.output<typeof timelineInfoSchema>;

/** A timeline that cannot be served: little is known of it. */
export const brokenTimelineInfoSchema = z
  .object({
    tenant_id: tenantShardIdSchema,
    timeline_id: timelineIdSchema,
    ancestor_timeline_id: timelineIdSchema.nullish(),
    state: z.strictObject({ Broken: z.object({ reason: z.string(), backtrace: z.string() }) }),
  })
  .meta({ id: 'BrokenTimelineInfo' });
export type BrokenTimelineInfo = z.output<typeof brokenTimelineInfoSchema>;

export const timelineListSchema = z.array(timelineInfoSchema);

export const offloadedTimelineSchema = z.object({
  tenant_id: tenantShardIdSchema,
  timeline_id: timelineIdSchema,
  ancestor_timeline_id: timelineIdSchema.nullish(),
  ancestor_retain_lsn: lsnSchema.nullish(),
  archived_at: timestampSchema,
});

export const timelinesAndBrokenSchema = z
  .object({
    timelines: timelineListSchema,
    offloaded: z.array(offloadedTimelineSchema),
    broken: z.array(brokenTimelineInfoSchema).optional().describe('Those that cannot be served'),
  })
  .meta({ id: 'TimelinesAndOffloaded' });
export type TimelinesAndBroken = z.output<typeof timelinesAndBrokenSchema>;

export const archivalSchema = z
  .object({ state: z.enum(['Archived', 'Unarchived']) })
  .meta({ id: 'ArchivalConfig' });
export type ArchivalState = z.output<typeof archivalSchema>['state'];

export const detachQuerySchema = z.object({
  detach_behavior: z
    .enum(['v1', 'v2', 'no_ancestor_and_reparent', 'multi_level_and_no_reparent'])
    .default('no_ancestor_and_reparent'),
  rewrite_concurrency: queryNumber(64).optional(),
  copy_concurrency: queryNumber(64).optional(),
});
export type DetachBehavior = 'no_ancestor_and_reparent' | 'multi_level_and_no_reparent';

export const detachResultSchema = z
  .object({ reparented_timelines: z.array(timelineIdSchema) })
  .meta({ id: 'DetachAncestorResult' });
export type DetachResult = z.output<typeof detachResultSchema>;

export const timestampQuerySchema = z.object({
  timestamp: timestampSchema,
  with_lease: flagSchema.optional(),
});

export const lsnByTimestampSchema = z
  .object({
    lsn: lsnSchema,
    kind: z.enum(['present', 'future', 'past', 'nodata']),
    valid_until: timestampSchema.optional(),
  })
  .meta({ id: 'LsnByTimestamp' });
export type LsnByTimestamp = z.output<typeof lsnByTimestampSchema>;

export const lsnQuerySchema = z.object({ lsn: lsnSchema });

/** When the last commit at or below an LSN was. */
export const timestampOfLsnSchema = timestampSchema;

export const lsnLeaseRequestSchema = z.object({ lsn: lsnSchema }).meta({ id: 'LsnLeaseRequest' });

export const lsnLeaseSchema = z.object({ valid_until: timestampSchema }).meta({ id: 'LsnLease' });
export type LsnLease = z.output<typeof lsnLeaseSchema>;

export const importBackupQuerySchema = z.object({
  base_lsn: lsnSchema,
  end_lsn: lsnSchema,
  pg_version: queryNumber(POSTGRES_MAJOR_MAX),
});
export type ImportBackupQuery = z.output<typeof importBackupQuerySchema>;

export const importWalQuerySchema = z.object({ start_lsn: lsnSchema, end_lsn: lsnSchema });
export type ImportWalQuery = z.output<typeof importWalQuerySchema>;
