import type { FilesEngine } from '../../src/io/node/files-engine.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import type { ProcessUsage } from '../support/process-usage.ts';
import type { PageList, Target } from './load-messages.ts';

/** A storage engine with one timeline, made of a recording, behind a page service. */
export interface OpenHost {
  /** Below it are the recordings. */
  readonly recordings: string;
  readonly isQuick: boolean;
  readonly segmentSizeMiB: number;
  readonly engine: FilesEngine['name'];
  readonly settings: Partial<TimelineSettings>;
  readonly blockCacheBytes: number;
  readonly pageCacheBytes: number;
  /** All values are in layer files before the first read. */
  readonly isFlushed: boolean;
}

/** Pages as they are at the timeline's end. */
export interface PickedPages {
  readonly pages: PageList;
  readonly lsn: number;
  /** How many records and images one is made of. */
  readonly valuesPerPage: number;
}

export interface IngestAmount {
  readonly bytes: number;
  readonly ms: number;
}

/** `any` page; one that needs about ten records; one that needs an image and no record. */
export type PageKind = 'any' | 'redo' | 'image';

export interface HostCommands {
  open: { argument: OpenHost; answer: Target };
  pick: { argument: { readonly kind: PageKind; readonly pagesMax: number }; answer: PickedPages };
  /** Takes WAL into one branch after another, as fast as it goes, until it is stopped. */
  startIngest: { argument: undefined; answer: undefined };
  stopIngest: { argument: undefined; answer: IngestAmount };
  /** Makes branches that nobody uses, and starts the storage again, so that only what they are at rest is there. */
  makeIdleTimelines: { argument: { readonly count: number }; answer: Target };
  /** After a garbage collection, where `collects`. */
  usage: { argument: { readonly collects: boolean }; answer: ProcessUsage };
}
