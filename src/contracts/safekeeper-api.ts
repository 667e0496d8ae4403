import { z } from 'zod';
import {
  flagSchema,
  lsnSchema,
  tenantIdSchema,
  timelineIdSchema,
  u64Schema,
  wholeNumberSchema,
} from './api-values.ts';
import { membershipSchema, pageserverFeedbackSchema } from './safekeeper-api-values.ts';

/**
 * What goes over a safekeeper's HTTP API. Field names are those on the wire, which are Neon's; values are decoded.
 * `z.output` of a schema is the type that the program works with.
 */

export const timelineKeySchema = z
  .object({ tenant_id: tenantIdSchema, timeline_id: timelineIdSchema })
  .meta({ id: 'TimelineKey' });
export type TimelineKey = z.output<typeof timelineKeySchema>;

export const tenantKeySchema = z.object({ tenant_id: tenantIdSchema });

export const safekeeperStatusSchema = z.object({ id: wholeNumberSchema }).meta({ id: 'SafekeeperStatus' });
export type SafekeeperStatus = z.output<typeof safekeeperStatusSchema>;

export const utilizationSchema = z
  .object({ timeline_count: wholeNumberSchema })
  .meta({ id: 'SafekeeperUtilization' });
export type SafekeeperUtilization = z.output<typeof utilizationSchema>;

export const filesystemUsageSchema = z
  .object({ data_dir: z.string(), capacity_bytes: wholeNumberSchema, usage_bytes: wholeNumberSchema })
  .meta({ id: 'FilesystemUsage' });
export type FilesystemUsage = z.output<typeof filesystemUsageSchema>;

/** xlog_internal.h, DEFAULT_XLOG_SEG_SIZE. */
export const SEGMENT_BYTES_DEFAULT = 16 * 1024 * 1024;
const SEGMENT_BYTES_MIN = 1024 * 1024;
const SEGMENT_BYTES_MAX = 1024 * 1024 * 1024;

/** xlog_internal.h, IsValidWalSegSize. */
const segmentBytesSchema = z
  .int()
  .min(SEGMENT_BYTES_MIN)
  .max(SEGMENT_BYTES_MAX)
  .refine((bytes) => (bytes & (bytes - 1)) === 0, 'a power of two is expected');

export const timelineCreateSchema = z
  .strictObject({
    tenant_id: tenantIdSchema,
    timeline_id: timelineIdSchema,
    mconf: membershipSchema,
    pg_version: wholeNumberSchema.describe('The full number, such as 170011'),
    system_id: u64Schema.optional().describe('0 where it is not known yet'),
    wal_seg_size: segmentBytesSchema.optional().describe('16 MiB where it is left out'),
    start_lsn: lsnSchema,
    commit_lsn: lsnSchema.optional().describe('start_lsn where it is left out'),
  })
  .meta({ id: 'TimelineCreateRequest' });
export type TimelineCreateRequest = z.output<typeof timelineCreateSchema>;

export const timelineListSchema = z.array(timelineKeySchema);

export const termStartSchema = z.object({ term: wholeNumberSchema, lsn: lsnSchema });

const acceptorStateSchema = z.object({
  term: wholeNumberSchema,
  epoch: wholeNumberSchema.describe('Term of the last WAL that is flushed'),
  term_history: z.array(termStartSchema),
});

export const serverInfoSchema = z.object({
  pg_version: wholeNumberSchema,
  system_id: u64Schema,
  wal_seg_size: wholeNumberSchema,
});

const peerInfoSchema = z.object({
  sk_id: wholeNumberSchema,
  term: wholeNumberSchema,
  last_log_term: wholeNumberSchema,
  flush_lsn: lsnSchema,
  commit_lsn: lsnSchema,
  local_start_lsn: lsnSchema,
  pg_connstr: z.string(),
  http_connstr: z.string(),
  https_connstr: z.string().nullish(),
});

const standbyFeedbackSchema = z.object({
  reply: z.object({
    write_lsn: lsnSchema,
    flush_lsn: lsnSchema,
    apply_lsn: lsnSchema,
    reply_ts: z.union([z.int(), z.bigint()]).describe('Microseconds since 2000-01-01 UTC'),
    reply_requested: z.boolean(),
  }),
  hs_feedback: z.object({
    ts: z.union([z.int(), z.bigint()]).describe('Microseconds since 2000-01-01 UTC'),
    xmin: u64Schema,
    catalog_xmin: u64Schema,
  }),
});

const walSenderSchema = z.object({
  ttid: timelineKeySchema,
  shard: z.string().nullish().describe('As NNCC: number and count'),
  addr: z.string(),
  conn_id: wholeNumberSchema,
  appname: z.string().nullish(),
  feedback: z.union([
    z.strictObject({ Pageserver: pageserverFeedbackSchema }),
    z.strictObject({ Standby: standbyFeedbackSchema }),
  ]),
});

const walSenderStateSchema = z
  .union([z.strictObject({ Vanilla: walSenderSchema }), z.strictObject({ Interpreted: walSenderSchema })])
  .meta({ id: 'WalSenderState' });

const walReceiverStateSchema = z
  .object({
    conn_id: wholeNumberSchema.nullable().describe("null for the safekeeper's own recovery"),
    status: z.enum(['Voting', 'Streaming']),
  })
  .meta({ id: 'WalReceiverState' });

export const timelineStatusSchema = z
  .object({
    ...timelineKeySchema.shape,
    mconf: membershipSchema,
    acceptor_state: acceptorStateSchema,
    pg_info: serverInfoSchema,
    flush_lsn: lsnSchema,
    timeline_start_lsn: lsnSchema,
    local_start_lsn: lsnSchema,
    commit_lsn: lsnSchema,
    backup_lsn: lsnSchema,
    peer_horizon_lsn: lsnSchema,
    remote_consistent_lsn: lsnSchema,
    peers: z.array(peerInfoSchema),
    walsenders: z.array(walSenderStateSchema),
    walreceivers: z.array(walReceiverStateSchema),
  })
  .meta({ id: 'TimelineStatus' });
export type TimelineStatus = z.output<typeof timelineStatusSchema>;

/** A query's flag: `true` or `false`. */
export const deleteQuerySchema = z.object({ only_local: flagSchema.optional() });

export const timelineDeleteResultSchema = z
  .object({ dir_existed: z.boolean() })
  .meta({ id: 'TimelineDeleteResult' });
export type TimelineDeleteResult = z.output<typeof timelineDeleteResultSchema>;

/** By timeline id. */
export const tenantDeleteResultSchema = z.record(z.string(), timelineDeleteResultSchema);
export type TenantDeleteResult = z.output<typeof tenantDeleteResultSchema>;

const HOSTS_MAX = 32;

export const pullTimelineSchema = z
  .object({
    ...timelineKeySchema.shape,
    http_hosts: z
      .array(z.url({ protocol: /^https?$/ }))
      .min(1)
      .max(HOSTS_MAX),
    mconf: membershipSchema.nullish(),
  })
  .meta({ id: 'PullTimelineRequest' });
export type PullTimelineRequest = z.output<typeof pullTimelineSchema>;

export const pullTimelineResultSchema = z
  .object({ safekeeper_host: z.string().nullable().describe('null where the timeline was here already') })
  .meta({ id: 'PullTimelineResult' });
export type PullTimelineResult = z.output<typeof pullTimelineResultSchema>;

export const membershipRequestSchema = z.object({ mconf: membershipSchema });

export const membershipSwitchResultSchema = z
  .object({
    previous_conf: membershipSchema,
    current_conf: membershipSchema,
    last_log_term: wholeNumberSchema,
    flush_lsn: lsnSchema,
  })
  .meta({ id: 'MembershipSwitchResult' });
export type MembershipSwitchResult = z.output<typeof membershipSwitchResultSchema>;

export const timelineCopySchema = z
  .strictObject({ target_timeline_id: timelineIdSchema, until_lsn: lsnSchema })
  .meta({ id: 'TimelineCopyRequest' });

export const digestQuerySchema = z.object({ from_lsn: lsnSchema, until_lsn: lsnSchema });
export type DigestRange = z.output<typeof digestQuerySchema>;

export const digestSchema = z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }).meta({ id: 'Digest' });
export type TimelineDigest = z.output<typeof digestSchema>;

export const termBumpSchema = z.object({ term: wholeNumberSchema.nullish() });

export const termBumpResultSchema = z
  .object({ previous_term: wholeNumberSchema, current_term: wholeNumberSchema })
  .meta({ id: 'TermBumpResult' });
export type TermBumpResult = z.output<typeof termBumpResultSchema>;

/** Names of the partial segments that were forgotten. */
export const partialResetResultSchema = z.array(z.string());

/** What a peer tells of a timeline. */
export const safekeeperTimelineInfoSchema = z
  .object({
    safekeeper_id: wholeNumberSchema.default(0),
    term: wholeNumberSchema.default(0),
    last_log_term: wholeNumberSchema.default(0),
    flush_lsn: lsnSchema,
    commit_lsn: lsnSchema,
    backup_lsn: lsnSchema,
    remote_consistent_lsn: lsnSchema,
    peer_horizon_lsn: lsnSchema,
    local_start_lsn: lsnSchema,
    standby_horizon: lsnSchema.optional(),
    safekeeper_connstr: z.string().nullish(),
    http_connstr: z.string().nullish(),
    https_connstr: z.string().nullish(),
  })
  .meta({ id: 'SafekeeperTimelineInfo' });
export type SafekeeperTimelineInfo = z.output<typeof safekeeperTimelineInfoSchema>;
