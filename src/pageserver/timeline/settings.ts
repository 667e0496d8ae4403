import { BadRequestError } from '../../base/errors.ts';

/** How a timeline's storage behaves. The names in brackets are those of Neon's tenant configuration. */
export interface TimelineSettings {
  /** The open layer is frozen when its file has this size (checkpoint_distance). */
  readonly openLayerBytes: number;
  /** … or when its oldest value is this old (checkpoint_timeout). */
  readonly openLayerAgeMs: number;
  /** With so many frozen layers that are not yet files, ingest waits. Reads never do. */
  readonly frozenLayersMax: number;
  /** Layers that compaction makes are about this large (compaction_target_size). */
  readonly targetBytes: number;
  /** So many level-0 layers are compacted together (compaction_threshold). */
  readonly compactionThreshold: number;
  /** So many delta layers above the newest image layer make a new image layer worth while (image_creation_threshold). */
  readonly imageThreshold: number;
  /** So many delta layers over one key below the garbage cutoff make it worth while to rewrite them. */
  readonly bottomThreshold: number;
  /** Records of the last so many bytes of WAL can be read at (gc_horizon). */
  readonly historyBytes: number;
  /** … and those of the last so many milliseconds (pitr_interval). */
  readonly historyMs: number;
  /** How long a read waits for an LSN that is still to come (wait_lsn_timeout). */
  readonly lsnWaitMs: number;
  /** How long a lease of an LSN lasts; and for so long after a start nothing is collected (lsn_lease_length). */
  readonly leaseMs: number;
  /** … and one of an LSN that was looked up by its time (lsn_lease_length_for_ts). */
  readonly timestampLeaseMs: number;
  /** Whether layers are merged and images made (compaction_period is not 0). */
  readonly isCompacting: boolean;
  /** Whether history is forgotten (gc_period is not 0). */
  readonly isCollecting: boolean;
  /** zstd in layer files. Off is for benchmarks and tests. */
  readonly isCompressed: boolean;
}

export const TIMELINE_DEFAULTS: TimelineSettings = {
  openLayerBytes: 256 * 1024 * 1024,
  openLayerAgeMs: 10 * 60_000,
  frozenLayersMax: 3,
  targetBytes: 128 * 1024 * 1024,
  compactionThreshold: 10,
  imageThreshold: 3,
  bottomThreshold: 3,
  historyBytes: 64 * 1024 * 1024,
  historyMs: 7 * 24 * 3600_000,
  lsnWaitMs: 300_000,
  leaseMs: 10 * 60_000,
  timestampLeaseMs: 60_000,
  isCompacting: true,
  isCollecting: true,
  isCompressed: true,
};

/** The lowest value that makes sense of each. */
const LOWEST: Readonly<Record<Exclude<keyof TimelineSettings, `is${string}`>, number>> = {
  openLayerBytes: 1,
  openLayerAgeMs: 0,
  frozenLayersMax: 1,
  targetBytes: 1,
  compactionThreshold: 1,
  imageThreshold: 1,
  // What has been rewritten would be rewritten again.
  bottomThreshold: 2,
  historyBytes: 0,
  historyMs: 0,
  lsnWaitMs: 0,
  leaseMs: 0,
  timestampLeaseMs: 0,
};

/** @throws BadRequestError BAD_SETTING, with the setting's name */
export function checkSettings(settings: TimelineSettings): void {
  for (const [name, lowest] of Object.entries(LOWEST)) {
    const value = settings[name as keyof typeof LOWEST];
    if (value >= lowest) continue;
    throw new BadRequestError('BAD_SETTING', `${name} cannot be ${value}: it is at least ${lowest}`);
  }
}
