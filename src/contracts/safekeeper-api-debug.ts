import { z } from 'zod';
import {
  lsnSchema,
  tenantIdSchema,
  timelineIdSchema,
  timestampSchema,
  wholeNumberSchema,
} from './api-values.ts';
import { serverInfoSchema, termStartSchema, timelineKeySchema } from './safekeeper-api.ts';
import { membershipSchema } from './safekeeper-api-values.ts';

/** What goes over the parts of a safekeeper's HTTP API that are for looking inside and for repairing by hand. */

const partialSegmentSchema = z.object({
  status: z.enum(['InProgress', 'Uploaded', 'Deleting']),
  name: z.string(),
  commit_lsn: lsnSchema,
  flush_lsn: lsnSchema,
  term: wholeNumberSchema,
});

/** What may be changed by hand: positions, and what is known of the bucket. Never what was voted for. */
const patchableShape = {
  timeline_start_lsn: lsnSchema,
  local_start_lsn: lsnSchema,
  commit_lsn: lsnSchema,
  backup_lsn: lsnSchema,
  peer_horizon_lsn: lsnSchema,
  remote_consistent_lsn: lsnSchema,
  partial_backup: z.object({ segments: z.array(partialSegmentSchema) }),
  eviction_state: z.union([z.literal('Present'), z.strictObject({ Offloaded: lsnSchema })]),
};

export const controlFileSchema = z
  .object({
    ...timelineKeySchema.shape,
    mconf: membershipSchema,
    acceptor_state: z.object({
      term: wholeNumberSchema,
      term_history: z.array(termStartSchema).optional().describe('Left out of a dump that is told so'),
    }),
    server: serverInfoSchema,
    ...patchableShape,
    creation_ts: timestampSchema,
  })
  .meta({ id: 'ControlFile' });
export type ControlFile = z.output<typeof controlFileSchema>;

export const CONTROL_FILE_FIELDS = Object.keys(patchableShape) as (keyof typeof patchableShape)[];

export const controlFilePatchSchema = z
  .strictObject({
    updates: z.object(patchableShape).partial(),
    apply_fields: z.array(z.enum(CONTROL_FILE_FIELDS)).describe('Which of the updates count'),
  })
  .meta({ id: 'ControlFilePatch' });
export type ControlFileUpdates = z.output<typeof controlFilePatchSchema>['updates'];

export const controlFilePatchResultSchema = z
  .object({ old_control_file: controlFileSchema, new_control_file: controlFileSchema })
  .meta({ id: 'ControlFilePatchResult' });
export type ControlFilePatchResult = z.output<typeof controlFilePatchResultSchema>;

const memorySchema = z.object({
  is_cancelled: z.boolean(),
  peers_info_len: wholeNumberSchema,
  walsenders: wholeNumberSchema,
  wal_backup_active: z.boolean(),
  active: z.boolean(),
  num_computes: wholeNumberSchema,
  last_removed_segno: wholeNumberSchema,
  epoch_start_lsn: lsnSchema,
  mem_state: z.object({
    commit_lsn: lsnSchema,
    backup_lsn: lsnSchema,
    peer_horizon_lsn: lsnSchema,
    remote_consistent_lsn: lsnSchema,
  }),
  mgr_status: z.string(),
  write_lsn: lsnSchema,
  write_record_lsn: lsnSchema,
  flush_lsn: lsnSchema,
  file_open: z.boolean(),
});

const diskFileSchema = z.object({
  name: z.string(),
  size: wholeNumberSchema,
  created: timestampSchema.optional(),
  modified: timestampSchema.optional(),
  start_zeroes: wholeNumberSchema.describe('Bytes of zero at its beginning'),
  end_zeroes: wholeNumberSchema.describe('Bytes of zero at its end'),
});

const timelineDumpSchema = z.object({
  ...timelineKeySchema.shape,
  control_file: controlFileSchema.optional(),
  memory: memorySchema.optional(),
  disk_content: z.object({ files: z.array(diskFileSchema) }).optional(),
  wal_last_modified: timestampSchema.optional(),
});

export const debugDumpSchema = z
  .object({
    start_time: timestampSchema,
    finish_time: timestampSchema,
    timelines: z.array(timelineDumpSchema),
    timelines_count: wholeNumberSchema,
    config: z.object({
      id: wholeNumberSchema,
      workdir: z.string(),
      listen_pg_addr: z.string(),
      listen_http_addr: z.string(),
      no_sync: z.boolean(),
      max_offloader_lag_bytes: wholeNumberSchema,
      wal_backup_enabled: z.boolean(),
    }),
  })
  .meta({ id: 'DebugDump' });
export type DebugDump = z.output<typeof debugDumpSchema>;

const dumpFlag = z.enum(['true', 'false']).optional();

export const debugDumpQuerySchema = z.strictObject({
  dump_all: dumpFlag,
  dump_control_file: dumpFlag,
  dump_memory: dumpFlag,
  dump_disk_content: dumpFlag,
  dump_term_history: dumpFlag,
  dump_wal_last_modified: dumpFlag,
  tenant_id: tenantIdSchema.optional(),
  timeline_id: timelineIdSchema.optional(),
});
