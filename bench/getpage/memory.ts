import { setTimeout } from 'node:timers/promises';
import type { ProcessUsage } from '../support/process-usage.ts';
import { type BedOptions, type HostProcess, OPEN, openBed } from './getpage-bed.ts';

/** What a collection has emptied V8 gives back to the system by and by: most of it within so long. */
const RELEASE_MS = 15_000;

/** What is there of a page service's process while nothing happens. */
export interface MemoryStage {
  readonly name: string;
  /** Timelines or connections that this stage has more than the one before. */
  readonly added: number;
  readonly usage: ProcessUsage;
  /** More than the stage before. */
  readonly rssBytesEach: number;
  readonly heldBytesEach: number;
}

export interface MemoryCounts {
  readonly timelines: number;
  readonly connections: number;
}

/** Timelines that nobody uses, and connections that ask for nothing, on top of them. */
export async function measureMemory(
  options: BedOptions,
  { timelines, connections }: MemoryCounts,
): Promise<MemoryStage[]> {
  await using bed = await openBed({ ...OPEN.busy(options), isFlushed: true });
  const { host, load } = bed;
  const read = (name: string, added: number, before: MemoryStage | undefined): Promise<MemoryStage> =>
    readStage(host, name, added, before, options.isQuick ? 0 : RELEASE_MS);
  // Once with hardly any, after the same restart.
  await host.ask('makeIdleTimelines', { count: 1 });
  const stages: MemoryStage[] = [await read('started with two timelines', 0, undefined)];
  const target = await host.ask('makeIdleTimelines', { count: timelines });
  stages.push(await read(`${timelines} idle timelines more`, timelines, stages.at(-1)));
  await load.ask('connect', { ...target, count: connections });
  stages.push(await read(`${connections} idle connections more`, connections, stages.at(-1)));
  await load.ask('disconnect', undefined);
  return stages;
}

async function readStage(
  host: HostProcess,
  name: string,
  added: number,
  before: MemoryStage | undefined,
  releaseMs: number,
): Promise<MemoryStage> {
  const collected = await host.ask('usage', { collects: true });
  await setTimeout(releaseMs);
  const { rssBytes: idleRssBytes } = await host.ask('usage', { collects: false });
  const usage = { ...collected, rssBytes: idleRssBytes };
  const each = (bytes: (of: ProcessUsage) => number): number =>
    before === undefined || added === 0 ? Number.NaN : (bytes(usage) - bytes(before.usage)) / added;
  return {
    name,
    added,
    usage,
    rssBytesEach: each(({ rssBytes }) => rssBytes),
    heldBytesEach: each(({ heapBytes, bufferBytes }) => heapBytes + bufferBytes),
  };
}
