import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';
import { VarveError } from '../base/errors.ts';

const bytes = z.int().nonnegative();
const count = z.int().nonnegative();

/** Humantime, as it was written: it goes out as it came in. */
const duration = z.string().superRefine((text, context) => {
  try {
    parseDuration(text);
  } catch (error) {
    if (!(error instanceof VarveError)) throw error;
    context.addIssue({ code: 'custom', message: error.reason });
  }
});

const evictionPolicy = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('NoEviction') }),
  z.strictObject({ kind: z.literal('LayerAccessThreshold'), period: duration, threshold: duration }),
  z.strictObject({ kind: z.literal('OnlyImitiate'), period: duration, threshold: duration }),
]);

const throttle = z.strictObject({
  task_kinds: z.array(z.string()),
  initial: count,
  refill_interval: duration,
  refill_amount: count.min(1),
  max: count,
});

/**
 * What somebody has set for one tenant, by Neon's names (pageserver_api, config.rs). What is not named is as the pageserver
 * has it. A name that Neon does not have is refused; which of these do something here, docs/formats/tenant-config.md says.
 */
export const tenantConfigSchema = z
  .strictObject({
    checkpoint_distance: bytes.min(1),
    checkpoint_timeout: duration,
    compaction_target_size: bytes.min(1),
    compaction_period: duration,
    compaction_threshold: count.min(1),
    compaction_upper_limit: count,
    compaction_algorithm: z.strictObject({ kind: z.enum(['legacy', 'tiered']) }),
    compaction_shard_ancestor: z.boolean(),
    compaction_l0_first: z.boolean(),
    compaction_l0_semaphore: z.boolean(),
    l0_flush_delay_threshold: count,
    l0_flush_stall_threshold: count,
    gc_horizon: bytes,
    gc_period: duration,
    image_creation_threshold: count.min(1),
    image_layer_force_creation_period: duration,
    pitr_interval: duration,
    walreceiver_connect_timeout: duration,
    lagging_wal_timeout: duration,
    max_lsn_wal_lag: bytes.min(1),
    eviction_policy: evictionPolicy,
    min_resident_size_override: bytes,
    evictions_low_residence_duration_metric_threshold: duration,
    heatmap_period: duration,
    lazy_slru_download: z.boolean(),
    timeline_get_throttle: throttle,
    image_layer_creation_check_threshold: count.max(255),
    image_creation_preempt_threshold: count,
    lsn_lease_length: duration,
    lsn_lease_length_for_ts: duration,
    timeline_offloading: z.boolean(),
    rel_size_v2_enabled: z.boolean(),
    gc_compaction_enabled: z.boolean(),
    gc_compaction_verification: z.boolean(),
    gc_compaction_initial_threshold_kb: count,
    gc_compaction_ratio_percent: count,
    sampling_ratio: z.tuple([count, count]),
    relsize_snapshot_cache_capacity: count,
    basebackup_cache_enabled: z.boolean(),
  })
  .partial()
  .meta({
    id: 'TenantConfig',
    description: 'What is set for one tenant; the rest is as the pageserver has it',
  });

export type TenantConfig = z.output<typeof tenantConfigSchema>;
