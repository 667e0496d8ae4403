import { formatDuration, parseDuration } from '../../base/duration.ts';
import type { TenantConfig } from '../../contracts/tenant-config.ts';
import type { TimelineSettings } from '../timeline/settings.ts';

const orElse = (text: string | undefined, otherMs: number): number =>
  text === undefined ? otherMs : parseDuration(text);

const isOn = (period: string | undefined, other: boolean): boolean =>
  period === undefined ? other : parseDuration(period) > 0;

/** How the timelines of a tenant behave: as the pageserver has it, but for what is set for the tenant. */
export function settingsOf(base: TimelineSettings, config: TenantConfig): TimelineSettings {
  return {
    ...base,
    openLayerBytes: config.checkpoint_distance ?? base.openLayerBytes,
    openLayerAgeMs: orElse(config.checkpoint_timeout, base.openLayerAgeMs),
    targetBytes: config.compaction_target_size ?? base.targetBytes,
    compactionThreshold: config.compaction_threshold ?? base.compactionThreshold,
    imageThreshold: config.image_creation_threshold ?? base.imageThreshold,
    historyBytes: config.gc_horizon ?? base.historyBytes,
    historyMs: orElse(config.pitr_interval, base.historyMs),
    leaseMs: orElse(config.lsn_lease_length, base.leaseMs),
    timestampLeaseMs: orElse(config.lsn_lease_length_for_ts, base.timestampLeaseMs),
    isCompacting: isOn(config.compaction_period, base.isCompacting),
    isCollecting: isOn(config.gc_period, base.isCollecting),
  };
}

/** The names of what something depends on here, with what holds. */
export function effectiveConfig(settings: TimelineSettings, config: TenantConfig): TenantConfig {
  return {
    checkpoint_distance: settings.openLayerBytes,
    checkpoint_timeout: formatDuration(settings.openLayerAgeMs),
    compaction_target_size: settings.targetBytes,
    compaction_threshold: settings.compactionThreshold,
    image_creation_threshold: settings.imageThreshold,
    gc_horizon: settings.historyBytes,
    pitr_interval: formatDuration(settings.historyMs),
    lsn_lease_length: formatDuration(settings.leaseMs),
    lsn_lease_length_for_ts: formatDuration(settings.timestampLeaseMs),
    ...config,
  };
}
