import type { Clock } from '../../io/clock.ts';
import type { Files } from '../../io/files.ts';
import type { Limiter } from '../../io/limiter.ts';
import type { ObjectStore } from '../../io/objects.ts';
import type { WalWorkspace } from '../../postgres/wal/workspace.ts';
import type { SafekeeperMetrics } from '../metrics.ts';

/** What keeping WAL in object storage needs. */
export interface Backup {
  readonly objects: ObjectStore;
  readonly nodeId: number;
  readonly files: Files;
  readonly clock: Clock;
  readonly metrics: SafekeeperMetrics;
  readonly workspace: WalWorkspace;
  /** Uploads of all timelines take a permit of it. */
  readonly uploads: Limiter;
  /** Eviction removes the local files. Without it they stay, and only count for nothing. */
  readonly deletesOffloadedWal: boolean;
}
