import { type BusyResult, measureBusy } from './getpage/busy.ts';
import { type MemoryStage, measureMemory } from './getpage/memory.ts';
import { measureRates, type RateResult } from './getpage/rates.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface GetpageOptions {
  /** The recording is below it, or is made there. */
  readonly recordings: string;
  readonly segmentSizeMiB: number;
  /** Measures each rate for so long, in so many turns with the bare server. */
  readonly seconds: number;
  readonly repeats: number;
  /** How long pages are read while there is ingest. */
  readonly busySeconds: number;
  /** A little of everything, to see whether it runs. */
  readonly isQuick: boolean;
  /** Only the parts whose names contain this. */
  readonly only: string;
}

export interface GetpageResult {
  readonly rates: readonly RateResult[];
  readonly busy: readonly BusyResult[];
  readonly memory: readonly MemoryStage[];
}

const RATES = ['hot', 'redo', 'cold'] as const;
const KIBIBYTE = 1024;
const MEBIBYTE: number = 1024 * KIBIBYTE;

/** Pages by the page service, over TCP, asked for by a process of its own. */
export async function measureGetpage(
  options: GetpageOptions,
  progress: (text: string) => void,
): Promise<GetpageResult> {
  const isWanted = (name: string): boolean => name.includes(options.only);
  const rates = await measureRates(RATES.filter(isWanted), options, progress);
  let busy: BusyResult[] = [];
  if (isWanted('ingest')) {
    progress('getpage: ingest');
    busy = await measureBusy(options, options.busySeconds);
  }
  let memory: MemoryStage[] = [];
  if (isWanted('idle')) {
    progress('getpage: idle');
    const counts = options.isQuick
      ? { timelines: 100, connections: 50 }
      : { timelines: 10_000, connections: 1000 };
    memory = await measureMemory(options, counts);
  }
  return { rates, busy, memory };
}

export function formatGetpage({ rates, busy, memory }: GetpageResult): string {
  return [
    ...(rates.length === 0 ? [] : [formatRates(rates)]),
    ...(busy.length === 0 ? [] : [formatBusy(busy)]),
    ...(memory.length === 0 ? [] : [formatMemory(memory)]),
  ].join('\n\n');
}

function formatRates(results: readonly RateResult[]): string {
  const rows = results.map(
    ({ name, connections, depth, valuesPerPage, pagesPerS, load, bare, goal, ...cpu }) => [
      name,
      `${connections} × ${depth}`,
      formatNumber(valuesPerPage),
      formatNumber(pagesPerS.median / 1000),
      formatNumber(pagesPerS.p10 / 1000),
      formatNumber(pagesPerS.p90 / 1000),
      formatNumber(load.p50Us),
      formatNumber(load.p95Us),
      formatNumber(load.p99Us),
      formatNumber(load.p999Us),
      formatNumber(cpu.loopCpuUs),
      formatNumber(cpu.allCpuUs),
      formatNumber(1000 / cpu.loopCpuUs),
      formatNumber(load.clientCpuUs),
      formatNumber(bare.pagesPerS.median / 1000),
      formatNumber(pagesPerS.median / bare.pagesPerS.median),
      formatNumber(bare.loopCpuUs / cpu.loopCpuUs),
      goal,
    ],
  );
  const times = ['p50 µs', 'p95', 'p99', 'p99.9'];
  const cpu = ['loop CPU µs', 'all CPU µs', 'k per loop CPU s', 'client CPU µs'];
  const header = ['getpage', 'connections × depth', 'values', 'k/s', 'p10', 'p90', ...times, ...cpu];
  const table = formatTable([...header, 'bare k/s', 'ratio', 'CPU ratio', 'goal'], rows);
  return `${table}\nbare: a server of the same run that answers from memory, with nothing behind it`;
}

function formatBusy(results: readonly BusyResult[]): string {
  const rows = results.flatMap(({ depth, calm, busy, ingestMegabytesPerS }) =>
    [calm, busy].map((load) => [
      load === calm ? 'calm' : 'while WAL is taken in',
      `1 × ${depth}`,
      load === calm ? '–' : formatNumber(ingestMegabytesPerS),
      formatNumber(load.pagesPerS / 1000),
      formatNumber(load.p50Us),
      formatNumber(load.p95Us),
      formatNumber(load.p99Us),
      formatNumber(load.p999Us),
      formatNumber(load.maxUs),
      load === calm ? '' : 'p99 ≤ 5 ms',
    ]),
  );
  const header = [
    'getpage',
    'connections × depth',
    'WAL MB/s',
    'k/s',
    'p50 µs',
    'p95',
    'p99',
    'p99.9',
    'max',
  ];
  return formatTable([...header, 'goal'], rows);
}

function formatMemory(stages: readonly MemoryStage[]): string {
  const rows = stages.map(({ name, usage, rssBytesEach, heldBytesEach }) => [
    name,
    formatNumber(usage.rssBytes / MEBIBYTE),
    formatNumber(usage.heapBytes / MEBIBYTE),
    formatNumber(usage.bufferBytes / MEBIBYTE),
    formatNumber(rssBytesEach / KIBIBYTE),
    formatNumber(heldBytesEach / KIBIBYTE),
  ]);
  const header = ['memory', 'RSS MiB', 'heap MiB', 'buffers MiB', 'RSS KiB each', 'held KiB each'];
  return formatTable(header, rows);
}
