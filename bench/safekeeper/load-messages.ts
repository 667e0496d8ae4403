import type { ClientConfig } from 'pg';

/** Clients that insert one row after another, each row a transaction of its own. */
export interface LoadRequest {
  readonly config: ClientConfig;
  readonly clients: number;
  readonly warmUpMs: number;
  readonly measuredMs: number;
}

export interface LoadResult {
  readonly commits: number;
  readonly commitsPerS: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Transactions before the measured ones, too. */
  readonly allCommits: number;
}
