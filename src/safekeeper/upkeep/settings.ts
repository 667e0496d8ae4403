/** How a safekeeper keeps its house. */
export interface UpkeepSettings {
  /** The unfinished segment of a timeline that has not changed for so long is uploaded. */
  readonly partialBackupTimeoutMs: number;
  /** So many uploads may be under way at once, of all timelines together. */
  readonly backupParallelJobs: number;
  /** WAL that has been brought back, or was there at the start, is not evicted before so long. */
  readonly evictionMinResidentMs: number;
  /** Eviction removes local files. Without it they stay, to be looked at. */
  readonly deleteOffloadedWal: boolean;
  /** A control file is at most so long behind what is known in memory. */
  readonly controlFileSaveIntervalMs: number;
  /** A timeline that nobody has used for so long is let go of. */
  readonly idleTimeoutMs: number;
}

const MINUTE_MS = 60_000;

export const UPKEEP_DEFAULTS: UpkeepSettings = {
  partialBackupTimeoutMs: 15 * MINUTE_MS,
  backupParallelJobs: 5,
  evictionMinResidentMs: 15 * MINUTE_MS,
  deleteOffloadedWal: true,
  controlFileSaveIntervalMs: 5 * MINUTE_MS,
  idleTimeoutMs: MINUTE_MS,
};
