import { join } from 'node:path';
import { formatNumber, formatTable } from '../support/table.ts';
import { HostProcess } from './host-process.ts';

export interface IdleResult {
  readonly timelines: number;
  /** Of the process with an empty safekeeper. */
  readonly baseRssMiB: number;
  readonly makeMs: number;
  /** Starting a safekeeper that has them all. */
  readonly startMs: number;
  readonly stages: readonly IdleStage[];
}

export interface IdleStage {
  readonly name: string;
  /** Above the base. */
  readonly rssMiB: number;
  readonly bytesPerTimeline: number;
  readonly heapBytesPerTimeline: number;
  /** What brought the timelines there. */
  readonly ms: number;
}

/** What timelines that nobody uses cost in memory. */
export async function measureIdle(directory: string, timelines: number): Promise<IdleResult> {
  const nodeId = 1;
  const place = { nodeId, directory: join(directory, 'idle'), sync: 'real' } as const;
  const argument = { nodeId, count: timelines };
  let makeMs: number;
  {
    await using maker = new HostProcess();
    await maker.ask('startSafekeeper', place);
    makeMs = (await maker.ask('makeTimelines', argument)).ms;
  }
  await using host = new HostProcess();
  await host.ask('startSafekeeper', { ...place, directory: join(directory, 'empty'), nodeId: 2 });
  const base = await host.ask('usage', { collects: true });
  const stages: IdleStage[] = [];
  const note = async (name: string, ms: number): Promise<void> => {
    const now = await host.ask('usage', { collects: true });
    stages.push({
      name,
      ms,
      rssMiB: (now.rssBytes - base.rssBytes) / 2 ** 20,
      bytesPerTimeline: (now.rssBytes - base.rssBytes) / timelines,
      heapBytesPerTimeline: (now.heapBytes - base.heapBytes) / timelines,
    });
  };
  const { ms: startMs } = await host.ask('startSafekeeper', place);
  await note('after a start', startMs);
  const used = await host.ask('useTimelines', argument);
  await note('all in memory', used.ms);
  const letGo = await host.ask('letGoTimelines', argument);
  await note('used, and let go of', letGo.ms);
  return { timelines, baseRssMiB: base.rssBytes / 2 ** 20, makeMs, startMs, stages };
}

export function formatIdle(result: IdleResult): string {
  const { timelines, baseRssMiB, makeMs, stages } = result;
  const rows = stages.map(({ name, ms, rssMiB, bytesPerTimeline, heapBytesPerTimeline }) => [
    name,
    formatNumber(ms),
    formatNumber((ms * 1000) / timelines),
    formatNumber(rssMiB),
    formatNumber(bytesPerTimeline),
    formatNumber(heapBytesPerTimeline),
  ]);
  const table = formatTable(
    [`${timelines} timelines`, 'ms', 'µs each', 'RSS MiB above base', 'bytes each', 'of them heap'],
    rows,
  );
  return `${table}\nbase: ${formatNumber(baseRssMiB)} MiB; making them: ${formatNumber(makeMs)} ms, with all syncs`;
}
