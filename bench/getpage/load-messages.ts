import type { ProcessUsage } from '../support/process-usage.ts';
import type { Percentiles } from './latencies.ts';

/** Pages that are asked for, again and again in this order: tablespace, database, relation, fork and block of each. */
export type PageList = Int32Array;
export const PAGE_LIST_FIELDS = 5;

export interface Target {
  readonly port: number;
  readonly tenantId: string;
  readonly timelineId: string;
}

export interface Load extends Target {
  readonly pages: PageList;
  readonly lsn: number;
  readonly connections: number;
  /** Requests in flight of each connection. */
  readonly depth: number;
  /** Before it measures, it asks for so long, and for each page once. */
  readonly warmUpMs: number;
  readonly measuredMs: number;
}

export interface LoadResult extends Percentiles {
  readonly pages: number;
  /** With those before and after the measured ones. */
  readonly allPages: number;
  readonly pagesPerS: number;
  /** Of all threads of the process that asks, for each page. */
  readonly clientCpuUs: number;
}

/** What the process that asks can be told. */
export interface LoadCommands {
  run: { argument: Load; answer: LoadResult };
  /** Opens connections that ask for nothing, and keeps them. */
  connect: { argument: Target & { readonly count: number }; answer: undefined };
  disconnect: { argument: undefined; answer: undefined };
  usage: { argument: { readonly collects: boolean }; answer: ProcessUsage };
  /** Starts a server that answers out of memory, in this process. Gives its port. */
  serveBare: { argument: undefined; answer: number };
}
