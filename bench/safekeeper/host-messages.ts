import type { SafekeeperAddress } from '../../src/contracts/membership.ts';

/** What happens to a sync: it is done, left out, or done after so many milliseconds. */
export type SyncMode = 'real' | 'off' | number;

export interface StartSafekeeper {
  readonly nodeId: number;
  readonly directory: string;
  readonly sync: SyncMode;
}

/** A proposer that follows a stock server, for a timeline that is made for it. */
export interface StartProposer {
  readonly members: readonly SafekeeperAddress[];
  readonly tenantId: string;
  readonly timelineId: string;
  readonly socketPath: string;
  readonly user: string;
  readonly applicationName: string;
}

export interface Push {
  readonly port: number;
  readonly tenantId: string;
  readonly timelineId: string;
  /** What is to be made is the same each time that a host is asked for it. */
  readonly wal: WalToPush | GivenWal;
}

/** WAL of some cluster, from the start of a record to the end of one. */
export interface GivenWal {
  readonly bytes: Uint8Array;
  readonly startLsn: number;
  readonly systemIdentifier: bigint;
  readonly segmentBytes: number;
}

/** WAL that whoever pushes it makes itself: records of one length, up to about `totalBytes`. */
export interface WalToPush {
  readonly totalBytes: number;
  readonly recordBytes: number;
}

export interface MakeTimelines {
  readonly nodeId: number;
  readonly count: number;
}

/** What a host can be asked for, with its argument and its answer. */
export interface HostCommands {
  startSafekeeper: { argument: StartSafekeeper; answer: { readonly port: number; readonly ms: number } };
  startProposer: { argument: StartProposer; answer: undefined };
  push: { argument: Push; answer: PushResult };
  makeTimelines: { argument: MakeTimelines; answer: { readonly ms: number } };
  useTimelines: { argument: MakeTimelines; answer: { readonly ms: number } };
  letGoTimelines: { argument: MakeTimelines; answer: { readonly ms: number } };
  /** After a garbage collection, where `collects`. */
  usage: { argument: { readonly collects: boolean }; answer: HostUsage };
}

export interface PushResult {
  readonly bytes: number;
  readonly ms: number;
  /** Answers that told of WAL that had become durable. */
  readonly answers: number;
}

/** Of a host's whole process, since its start. */
export interface HostUsage {
  readonly syncs: number;
  readonly syncMs: number;
  /** Of all threads. */
  readonly cpuMs: number;
  /** Of the thread that runs the event loop. */
  readonly loopCpuMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
}
