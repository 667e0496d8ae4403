import type { InitialCluster } from '../initial-layer.ts';

/** Where new clusters come from: what timelines are made of that descend from no other. */
export interface InitialClusters {
  /**
   * Makes a stopped cluster, and takes it away again when `use` is through with it.
   * @throws VarveError ‘bad-request’ / UNKNOWN_MAJOR; ‘unavailable’ / PROGRAM_FAILED; ‘cancelled’; what `use` throws
   */
  withCluster<Result>(
    major: number,
    signal: AbortSignal,
    use: (cluster: InitialCluster) => Promise<Result>,
  ): Promise<Result>;
}
