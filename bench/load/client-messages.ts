import type { Percentiles } from '../getpage/latencies.ts';

/** What each client does, one after another, as fast as it is answered. */
export type LoadScript =
  /** One row by its key. */
  | { readonly kind: 'select'; readonly scale: number }
  /** A transaction like TPC-B's, in seven statements. */
  | { readonly kind: 'tpcb'; readonly scale: number };

export interface LoadRequest {
  /** Of the server's Unix socket. */
  readonly path: string;
  readonly clients: number;
  readonly warmUpMs: number;
  readonly measuredMs: number;
  readonly script: LoadScript;
}

export interface LoadResult extends Percentiles {
  readonly transactionsPerS: number;
  /** What a transaction costs the clients themselves, on processors that they share with the server. */
  readonly clientCpuUs: number;
}

/** What the process of the clients does. */
export interface LoadClientCommands {
  run: { readonly argument: LoadRequest; readonly answer: LoadResult };
}
