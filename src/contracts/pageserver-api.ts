import { z } from 'zod';
import { lsnSchema, timelineIdSchema, timestampSchema, wholeNumberSchema } from './api-values.ts';
import { tenantShardIdSchema } from './tenant-shard-id.ts';

/**
 * What goes over a pageserver's HTTP API of the service and of tenants. Field names are those on the wire, which are
 * Neon's; values are decoded. `z.output` of a schema is the type that the program works with.
 */

export const pageserverStatusSchema = z.object({ id: wholeNumberSchema }).meta({ id: 'PageserverStatus' });
export type PageserverStatus = z.output<typeof pageserverStatusSchema>;

export const utilizationSchema = z
  .object({
    disk_usage_bytes: wholeNumberSchema.describe('Of layer files that are on the disk'),
    free_space_bytes: wholeNumberSchema,
    disk_wanted_bytes: wholeNumberSchema.describe('Of all layers, were all of them on the disk'),
    disk_usable_pct: z.number(),
    shard_count: wholeNumberSchema,
    captured_at: timestampSchema,
  })
  .meta({ id: 'PageserverUtilization' });
export type PageserverUtilization = z.output<typeof utilizationSchema>;

const brokenSchema = z.object({ reason: z.string(), backtrace: z.string() });

export const tenantStateSchema = z.union([
  z.object({ slug: z.enum(['Attaching', 'Activating', 'Active', 'Stopping']) }),
  z.object({ slug: z.literal('Broken'), data: brokenSchema }),
]);
export type TenantState = z.output<typeof tenantStateSchema>;

export const tenantInfoSchema = z
  .object({
    id: tenantShardIdSchema,
    state: tenantStateSchema,
    current_physical_size: wholeNumberSchema.nullish().describe('Bytes of layers'),
    attachment_status: z.union([
      z.object({ slug: z.enum(['maybe', 'attached']) }),
      z.object({ slug: z.literal('failed'), data: z.object({ reason: z.string() }) }),
    ]),
    generation: wholeNumberSchema.nullish(),
    gc_blocking: z.string().nullish().describe('Why no garbage is collected'),
  })
  .meta({ id: 'TenantInfo' });
export type TenantInfo = z.output<typeof tenantInfoSchema>;

export const tenantListSchema = z.array(tenantInfoSchema);

export const tenantDetailsSchema = tenantInfoSchema
  .extend({ timelines: z.array(timelineIdSchema) })
  .meta({ id: 'TenantDetails' });
export type TenantDetails = z.output<typeof tenantDetailsSchema>;

const payment = z.enum(['snapshot', 'wal', 'none']);

export const syntheticSizeSchema = z
  .object({
    id: tenantShardIdSchema,
    size: wholeNumberSchema.describe('The least number of bytes from which the history can be made'),
    segment_sizes: z.array(
      z.object({
        timeline_id: timelineIdSchema,
        parent: wholeNumberSchema.nullable().describe('Index of the point that it follows from'),
        lsn: lsnSchema,
        logical_size: wholeNumberSchema.nullable().describe('null where the point cannot be read any more'),
        is_needed: z.boolean(),
        method: payment.describe('How the point is paid for'),
      }),
    ),
  })
  .meta({ id: 'SyntheticSize' });
export type TenantSyntheticSize = z.output<typeof syntheticSizeSchema>;

const WAIT_SECONDS_MAX = 3600;
const NANOS_MAX = 999_999_999;

/** Beside `timeout` each key is a timeline's id. */
export const waitLsnSchema = z
  .object({
    timeout: z.object({
      secs: z.int().min(0).max(WAIT_SECONDS_MAX),
      nanos: z.int().min(0).max(NANOS_MAX),
    }),
  })
  .catchall(lsnSchema)
  .meta({ id: 'WaitLsnRequest' });

/** How many of the timelines have reached what was waited for. */
export const waitLsnResultSchema = z.enum(['all', 'some', 'none']);
export type WaitLsnResult = z.output<typeof waitLsnResultSchema>;
