import type { InitialCluster } from '../initial-layer.ts';
import type { Timeline } from '../timeline/timeline.ts';

/** Where a timeline comes from that is imported. */
export interface ImportSource {
  /**
   * Brings the cluster, and its WAL if that comes along, into `directory`, which is empty, and removes nothing there.
   * @param signal given when nobody wants the timeline any more
   */
  bring(directory: string, signal: AbortSignal): Promise<InitialCluster>;
  /**
   * Takes in the WAL that the cluster needs, to the end, so that what it says can be read. Nobody else sees the timeline.
   * The directory still has what was brought.
   */
  takeWal(timeline: Timeline, cluster: InitialCluster): Promise<void>;
}
