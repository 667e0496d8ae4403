import { fileURLToPath } from 'node:url';
import type { TimelineId } from '../../src/base/ids.ts';
import { CommandProcess } from '../../test/support/command-process.ts';
import type { StockPostgres } from '../../test/support/stock-postgres.ts';
import { reconfigure, startStandby } from '../safekeeper/stock-servers.ts';
import type { Storage } from '../start/storage.ts';
import { type Spread, spreadOf } from '../support/measure.ts';
import type { LoadClientCommands, LoadResult, LoadScript } from './client-messages.ts';
import { type LoadedServer, loadedStock, makeStock, startLoadedCompute } from './loaded-servers.ts';
import { createTables } from './tables.ts';

const CLIENTS_MAIN = fileURLToPath(new URL('../load-clients.ts', import.meta.url));
/** A standby takes the WAL from here on. */
const KEPT_WAL = '4GB';

export interface TransactionOptions {
  readonly repeats: number;
  readonly seconds: number;
  readonly scale: number;
  readonly clients: readonly number[];
  readonly pgBin: string | undefined;
}

/** One kind of server under one load. */
export interface TransactionResult {
  readonly name: string;
  readonly clients: number;
  readonly transactionsPerS: Spread;
  /** The median of the runs' percentiles. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly clientCpuUs: number;
  /** Beside the server that it is compared to, of the same round: the median. */
  readonly ratio: number;
  readonly agentBytes: number;
}

interface Contestant {
  readonly name: string;
  readonly server: LoadedServer;
  /** Done before each of its turns. */
  readonly arrange?: () => Promise<void>;
}

/** Reads of rows by their keys, when all pages have been read, beside the stock server. */
export async function measureSelects(
  storage: Storage,
  timelineId: TimelineId,
  stock: StockPostgres,
  options: TransactionOptions,
): Promise<TransactionResult[]> {
  await using compute = await startLoadedCompute(storage, timelineId);
  const contestants = [
    { name: 'stock', server: loadedStock(stock) },
    { name: 'compute', server: compute },
  ];
  for (const { server } of contestants) await readAll(server);
  return await compete(contestants, { kind: 'select', scale: options.scale }, options);
}

async function readAll(server: LoadedServer): Promise<void> {
  const client = await server.connect();
  await client.query('SELECT count(*) FROM accounts');
  await client.query('SET enable_seqscan = off');
  await client.query('SELECT count(*) FROM accounts WHERE aid > 0');
  await client.end();
}

/** Transactions like TPC-B's, beside a stock server alone and one with a synchronous standby, all with their syncs. */
export async function measureTpcb(
  storage: Storage,
  timelineId: TimelineId,
  options: TransactionOptions,
): Promise<TransactionResult[]> {
  await using alone = await makeTpcb(options);
  await using primary = await makeTpcb(options);
  await using _standby = await startStandby(primary, true);
  await using compute = await startLoadedCompute(storage, timelineId);
  await readAll(compute);
  const writesPages = (full_page_writes: boolean): Promise<void> =>
    reconfigure(primary, { full_page_writes });
  const contestants = [
    {
      name: 'stock, standby',
      server: loadedStock(primary),
      arrange: () => writesPages(true),
    },
    {
      name: 'stock, standby, full_page_writes off',
      server: loadedStock(primary),
      arrange: () => writesPages(false),
    },
    { name: 'stock alone', server: loadedStock(alone) },
    { name: 'compute, 3 safekeepers', server: compute },
  ];
  return await compete(contestants, { kind: 'tpcb', scale: options.scale }, options);
}

async function makeTpcb({ scale, pgBin }: TransactionOptions): Promise<StockPostgres> {
  const server = await makeStock({ fsync: true, wal_keep_size: KEPT_WAL }, pgBin);
  try {
    const client = await server.connect();
    await createTables(client, scale);
    await client.end();
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

/** The first one is what the others are compared to. */
async function compete(
  contestants: readonly Contestant[],
  script: LoadScript,
  { repeats, seconds, clients }: TransactionOptions,
): Promise<TransactionResult[]> {
  await using process = new CommandProcess<LoadClientCommands>(CLIENTS_MAIN);
  const results: TransactionResult[] = [];
  for (const count of clients) {
    const runs = contestants.map((): LoadResult[] => []);
    // The first round is for whatever has to become warm, and does not count.
    for (let round = -1; round < repeats; round++) {
      for (const [index, { server, arrange }] of contestants.entries()) {
        await arrange?.();
        const { path } = server;
        const times = { warmUpMs: seconds * 500, measuredMs: seconds * 1000 };
        const run = await process.ask('run', { path, clients: count, script, ...times });
        if (round >= 0) runs[index]?.push(run);
      }
    }
    for (const [index, { name, server }] of contestants.entries()) {
      const agentBytes = await server.agentBytes();
      results.push(summarize(name, count, runs[index] as LoadResult[], runs[0] as LoadResult[], agentBytes));
    }
  }
  return results;
}

function summarize(
  name: string,
  clients: number,
  runs: readonly LoadResult[],
  references: readonly LoadResult[],
  agentBytes: number,
): TransactionResult {
  const medianOf = (values: readonly number[]): number => spreadOf(values).median;
  return {
    name,
    clients,
    transactionsPerS: spreadOf(runs.map(({ transactionsPerS }) => transactionsPerS)),
    p50Us: medianOf(runs.map(({ p50Us }) => p50Us)),
    p99Us: medianOf(runs.map(({ p99Us }) => p99Us)),
    clientCpuUs: medianOf(runs.map((run) => run.clientCpuUs)),
    ratio: medianOf(
      runs.map((run, round) => run.transactionsPerS / (references[round] as LoadResult).transactionsPerS),
    ),
    agentBytes,
  };
}
