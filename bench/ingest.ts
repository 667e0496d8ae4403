import { measureReceive, type ReceiveResult } from './ingest/receive.ts';
import { type BusyResult, measureBusy, measureTake, type TakeResult } from './ingest/take.ts';
import type { LoopDelays } from './support/loop-watch.ts';
import type { Recording } from './support/recording.ts';
import { measureStockRecovery, type StockRecovery } from './support/stock-recovery.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface IngestOptions {
  readonly repeats: number;
  readonly pgBin: string | undefined;
}

export interface IngestResult {
  readonly workload: string;
  readonly take: TakeResult;
  readonly receive: ReceiveResult;
  readonly busy: BusyResult;
  readonly stock: StockRecovery;
}

const STOCK_REPEATS = 3;

/** Taking in one recording's WAL, and stock PostgreSQL's recovery with it. */
export async function measureIngest(
  recording: Recording,
  { repeats, pgBin }: IngestOptions,
): Promise<IngestResult> {
  const take = await measureTake(recording, repeats);
  const receive = await measureReceive(recording, repeats);
  const busy = await measureBusy(recording);
  const stock = await measureStockRecovery(recording, Math.min(repeats, STOCK_REPEATS), pgBin);
  return { workload: recording.name, take, receive, busy, stock };
}

const perSecond = (bytes: number, ms: number): string => formatNumber(bytes / 1000 / ms);

export function formatIngest(results: readonly IngestResult[]): string {
  const speeds = results.map(({ workload, take, receive, stock }) => [
    workload,
    formatNumber(take.bytes / 1e6),
    formatNumber(take.values / 1e6),
    perSecond(take.bytes, take.loopMs.median),
    perSecond(take.bytes, take.elapsedMs.median),
    perSecond(receive.bytes, receive.loopMs.median),
    perSecond(receive.bytes, receive.elapsedMs.median),
    formatNumber((take.allMs.median * 1e6) / take.bytes),
    perSecond(take.bytes, stock.userMs.median),
    perSecond(take.bytes, stock.elapsedMs.median),
    formatNumber(stock.userMs.median / take.loopMs.median),
  ]);
  const speedHeader = [
    'ingest',
    'MB',
    'M values',
    'memory: MB per loop CPU s',
    'MB/s',
    'socket: MB per loop CPU s',
  ];
  const speedTable = formatTable(
    [...speedHeader, 'MB/s', 'all CPU ms/MB', 'stock MB per user CPU s', 'stock MB/s', 'CPU ratio'],
    speeds,
  );
  const costs = results.map(({ workload, take, busy }) => [
    workload,
    formatNumber(take.indexBytesPerValue),
    formatNumber(take.layerBytes / take.bytes),
    formatNumber(take.rssMiB),
    perSecond(busy.bytes, busy.loopMs),
    ...formatDelays(busy.delays),
    ...formatDelays(busy.calm),
  ]);
  const delays = ['loop p99 ms', 'max', 'GCs', 'longest'];
  const costHeader = ['ingest', 'index B/value', 'layer B/WAL B', 'rss MiB', 'busy: MB per loop CPU s'];
  const costTable = formatTable([...costHeader, ...delays, 'calm: p99 ms', ...delays.slice(1)], costs);
  return `${speedTable}\n\n${costTable}\n${NOTES}`;
}

const NOTES = [
  'all CPU: of all threads until the WAL is in a layer file and in the bucket; CPU ratio: user CPU of stock recovery by loop CPU of ours',
  'busy: while layers are flushed, synced and compacted; calm: a loop that only waits, on the same machine',
].join('\n');

const formatDelays = ({ p99Ms, maxMs, collections, longestCollectionMs }: LoopDelays): string[] => [
  formatNumber(p99Ms),
  formatNumber(maxMs),
  String(collections),
  formatNumber(longestCollectionMs),
];
