import { measureReads, prepareLoad, prepareStock, type ReadOptions, type ReadResult } from './load/reads.ts';
import {
  measureSelects,
  measureTpcb,
  type TransactionOptions,
  type TransactionResult,
} from './load/transactions.ts';
import { Storage, serverVersion } from './start/storage.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface LoadOptions extends ReadOptions, TransactionOptions {
  /** Only the parts whose names contain this: reads, select, tpcb. */
  readonly only: string;
  /** Where storage is kept from one run to the next. */
  readonly keep: string | undefined;
}

export interface LoadResult {
  /** Version of the server. */
  readonly postgres: string;
  readonly reads: readonly ReadResult[];
  readonly selects: readonly TransactionResult[];
  readonly tpcb: readonly TransactionResult[];
  /** Of the services at the end, by name. */
  readonly residentBytes: Readonly<Record<string, number>>;
}

/** 128 MB of accounts, and half a gigabyte that is scanned. */
export const SIZES = { scale: 10, scannedBytes: 512_000_000, pages: 1000, clients: [1, 16] };
export const QUICK_SIZES = { scale: 1, scannedBytes: 8_000_000, pages: 100, clients: [4] };

const MEBIBYTE: number = 1024 * 1024;

/** A server on storage under load, beside the same PostgreSQL without it. */
export async function measureLoad(
  options: LoadOptions,
  progress: (text: string) => void,
): Promise<LoadResult> {
  const isWanted = (name: string): boolean => name.includes(options.only);
  await using storage = await Storage.open(options.keep);
  progress('load: making tables');
  const timelineId = await prepareLoad(storage, options);
  let reads: ReadResult[] = [];
  let selects: TransactionResult[] = [];
  if (isWanted('reads') || isWanted('select')) {
    await using stock = await prepareStock(options);
    if (isWanted('reads')) {
      progress('load: reads');
      reads = await measureReads(storage, timelineId, stock, options);
    }
    if (isWanted('select')) {
      progress('load: select');
      selects = await measureSelects(storage, timelineId, stock, options);
    }
  }
  let tpcb: TransactionResult[] = [];
  if (isWanted('tpcb')) {
    progress('load: tpcb');
    tpcb = await measureTpcb(storage, timelineId, options);
  }
  const postgres = await serverVersion(options.pgBin);
  return { postgres, reads, selects, tpcb, residentBytes: await storage.residentBytes };
}

export function formatLoad({ reads, selects, tpcb, residentBytes }: LoadResult): string {
  const memory = Object.entries(residentBytes).map(
    ([name, bytes]) => `${name} ${formatNumber(bytes / MEBIBYTE)} MiB`,
  );
  return [
    ...(reads.length === 0 ? [] : [formatReads(reads)]),
    ...(selects.length === 0 ? [] : [formatTransactions('select by key, warm', selects, '≥ 0.97')]),
    ...(tpcb.length === 0 ? [] : [formatTransactions('like TPC-B', tpcb, '≥ 1.0')]),
    `resident: ${memory.join(', ')}`,
  ].join('\n\n');
}

function formatReads(results: readonly ReadResult[]): string {
  const header = [
    'cold reads',
    'page p50 µs',
    'p99',
    'goal p50',
    'scan MB/s',
    'p10',
    'p90',
    '÷ stock',
    'goal MB/s',
  ];
  const rows = results.map(({ name, pageP50Us, pageP99Us, scan }, index) => [
    name,
    formatNumber(pageP50Us),
    formatNumber(pageP99Us),
    index === 1 ? '≤ 60' : '',
    ...(scan === undefined ? ['', '', '', ''] : scanColumns(scan)),
    index === 0 || scan === undefined ? '' : '≥ 300',
  ]);
  return `${formatTable(header, rows)}\npage: a single one, as the server measures its read; the way alone: as many bytes from one process to a second and a third, and back`;
}

const scanColumns = ({ megabytesPerS, ratio }: NonNullable<ReadResult['scan']>): string[] =>
  [megabytesPerS.median, megabytesPerS.p10, megabytesPerS.p90, ratio].map(formatNumber);

function formatTransactions(title: string, results: readonly TransactionResult[], goal: string): string {
  const header = [
    title,
    'clients',
    'TPS',
    'p10',
    'p90',
    'p50 µs',
    'p99',
    'ratio',
    'client CPU µs',
    'agent MiB',
    'goal',
  ];
  const rows = results.map(
    ({ name, clients, transactionsPerS, p50Us, p99Us, ratio, clientCpuUs, agentBytes }) => [
      name,
      String(clients),
      formatNumber(transactionsPerS.median),
      formatNumber(transactionsPerS.p10),
      formatNumber(transactionsPerS.p90),
      formatNumber(p50Us),
      formatNumber(p99Us),
      formatNumber(ratio),
      formatNumber(clientCpuUs),
      agentBytes === 0 ? '' : formatNumber(agentBytes / MEBIBYTE),
      agentBytes === 0 ? '' : goal,
    ],
  );
  return `${formatTable(header, rows)}\nratio: to the first line with as many clients, the median of the rounds`;
}
