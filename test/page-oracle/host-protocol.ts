import type { TenantId, TimelineId } from '../../src/base/ids.ts';
import { parseTenantId } from '../../src/base/ids.ts';
import type { Key } from '../../src/pageserver/keyspace/key.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import type { SlruName } from '../../src/postgres/files/slru.ts';

/**
 * What the oracle says to the process that holds the storage engine, and what that answers, over the channel that
 * node gives a forked process. Every request may be made again: what is there already is not made twice.
 */
export const ORACLE_TENANT: TenantId = parseTenantId('0a'.repeat(16));

/** The process's one argument, as JSON. */
export interface HostSettings {
  /** Holds `local` and `bucket`. */
  readonly directory: string;
  readonly settings: Partial<TimelineSettings>;
  readonly blockCacheBytes: number;
  readonly pageCacheBytes: number;
}

export const TIDY_TASKS = ['flush', 'compact', 'images', 'garbage', 'bottom', 'forget-pages'] as const;
export type TidyTask = (typeof TIDY_TASKS)[number];

export interface TimelinePlace {
  readonly timelineId: TimelineId;
  readonly lsn: number;
}

export type HostRequest =
  | { readonly do: 'create'; readonly timelineId: TimelineId; readonly directory: string }
  | {
      readonly do: 'branch';
      readonly timelineId: TimelineId;
      readonly parentId: TimelineId;
      readonly lsn: number;
    }
  | { readonly do: 'delete'; readonly timelineId: TimelineId }
  /** Brings WAL from segment files, from where the timeline is, up to exactly `lsn`, which may be within a record. */
  | { readonly do: 'feed'; readonly timelineId: TimelineId; readonly directory: string; readonly lsn: number }
  | { readonly do: 'status' }
  | ({ readonly do: 'scan'; readonly kind: number } & TimelinePlace)
  /** `count` pages from `firstKey` on. */
  | ({ readonly do: 'pages'; readonly firstKey: Key; readonly count: number } & TimelinePlace)
  | ({ readonly do: 'slru'; readonly slru: SlruName; readonly segment: number } & TimelinePlace)
  /** Names of the layers that a read visits, the newest first. */
  | ({ readonly do: 'layers'; readonly key: Key } & TimelinePlace)
  | { readonly do: 'tidy'; readonly timelineId: TimelineId; readonly task: TidyTask };

export interface TimelineStatus {
  readonly timelineId: TimelineId;
  readonly ancestor: TimelinePlace | undefined;
  readonly lastRecordLsn: number;
  readonly diskConsistentLsn: number;
  readonly remoteConsistentLsn: number;
  readonly gcCutoffLsn: number;
  readonly poisonedRecords: number;
  /** Level 0 layers, other delta layers, image layers. */
  readonly layers: readonly [number, number, number];
}

export interface ScannedEntry {
  readonly key: Key;
  readonly bytes: Uint8Array;
}

export interface PagesAnswer {
  /** One behind the other; zeros where reading has failed. */
  readonly bytes: Uint8Array;
  /** By place in `bytes`, counted in pages. */
  readonly failures: ReadonlyMap<number, string>;
}

export interface HostAnswers {
  readonly create: undefined;
  /** Where the branch begins. */
  readonly branch: number;
  readonly delete: undefined;
  /** What is remotely consistent. */
  readonly feed: number;
  readonly status: readonly TimelineStatus[];
  readonly scan: readonly ScannedEntry[];
  readonly pages: PagesAnswer;
  readonly slru: Uint8Array | undefined;
  readonly layers: readonly string[];
  /** What the task has told of itself. */
  readonly tidy: number;
}

/** Sent once, when the storage has been opened. */
export interface HostReady {
  readonly ready: true;
}

export interface HostCall {
  readonly id: number;
  readonly request: HostRequest;
}

export interface HostFailure {
  readonly message: string;
  readonly code: string;
}

export interface HostReply {
  readonly id: number;
  readonly answer?: unknown;
  readonly failure?: HostFailure;
}
