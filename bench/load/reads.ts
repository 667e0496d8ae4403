import { fileURLToPath } from 'node:url';
import type { Client } from 'pg';
import type { TimelineId } from '../../src/base/ids.ts';
import { CommandProcess } from '../../test/support/command-process.ts';
import type { StockPostgres } from '../../test/support/stock-postgres.ts';
import { prepareByCompute } from '../start/clusters.ts';
import { type Storage, timelineIdOf } from '../start/storage.ts';
import { type Spread, spreadOf } from '../support/measure.ts';
import { DelayingProxy } from './delaying-proxy.ts';
import type { HopCommands } from './hop-messages.ts';
import {
  LOADED_SETTINGS,
  type LoadedServer,
  loadedStock,
  makeStock,
  startLoadedCompute,
} from './loaded-servers.ts';
import { createTables } from './tables.ts';

export interface ReadOptions {
  readonly repeats: number;
  /** Of accounts like those of TPC-B, 100 000 to one. */
  readonly scale: number;
  /** Of the table that is scanned. */
  readonly scannedBytes: number;
  /** Pages that are read one by one. */
  readonly pages: number;
  readonly pgBin: string | undefined;
}

/** What is read in a server that has just been started, and has none of it in memory. */
export interface ReadResult {
  readonly name: string;
  /** Of one page, as the server itself measures it. */
  readonly pageP50Us: number;
  readonly pageP99Us: number;
  /** Beside the stock server's, whose files are in the page cache. */
  readonly scan: { readonly megabytesPerS: Spread; readonly ratio: number } | undefined;
}

const HOPS_MAIN = fileURLToPath(new URL('../load-hops.ts', import.meta.url));
const DELAY_MS = 0.5;
const MEGABYTE = 1_000_000;
const ROWS_AT_ONCE = 50_000;
const ROWS_OF_PAGE = 4;
const BLOCK_BYTES = 8192;
/** A prime, and more than may be read ahead. */
const STRIDE_BLOCKS = 7919;
const PAGES_WARM_UP = 20;

const TIMELINE = timelineIdOf('load');

/** Makes the tables of the load in storage, and of a stock server. */
export async function prepareLoad(storage: Storage, options: ReadOptions): Promise<TimelineId> {
  const name = `load-${options.scale}-${options.scannedBytes / MEGABYTE}`;
  await storage.prepareOnce(name, async () => {
    await storage.createTimeline(TIMELINE);
    await prepareByCompute(storage, TIMELINE, LOADED_SETTINGS, (client) => makeTables(client, options));
  });
  return TIMELINE;
}

export async function prepareStock(options: ReadOptions): Promise<StockPostgres> {
  const server = await makeStock({ fsync: false }, options.pgBin);
  const client = await server.connect();
  try {
    await makeTables(client, options);
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  } finally {
    await client.end();
  }
}

async function makeTables(client: Client, { scale, scannedBytes }: ReadOptions): Promise<void> {
  await createTables(client, scale);
  await client.query('CREATE TABLE scanned (id bigint, payload text)');
  await client.query('ALTER TABLE scanned ALTER COLUMN payload SET STORAGE plain');
  const rows = Math.ceil(scannedBytes / BLOCK_BYTES) * ROWS_OF_PAGE;
  for (let made = 0; made < rows; made += ROWS_AT_ONCE) {
    const last = Math.min(rows, made + ROWS_AT_ONCE) - 1;
    await client.query(
      `INSERT INTO scanned SELECT i, repeat('x', 1900) FROM generate_series(${made}::bigint, ${last}) i`,
    );
  }
  await client.query('VACUUM (FREEZE, ANALYZE) scanned');
}

/** In turns: a stock server that was restarted, a compute, and one whose pageserver is further away. */
export async function measureReads(
  storage: Storage,
  timelineId: TimelineId,
  stock: StockPostgres,
  options: ReadOptions,
): Promise<ReadResult[]> {
  await using proxy = await DelayingProxy.start(storage.pageserverPort, DELAY_MS);
  const kinds: readonly [string, () => Promise<LoadedServer>][] = [
    ['stock, from the page cache', () => restarted(stock)],
    ['compute', () => startLoadedCompute(storage, timelineId)],
    [`compute, pageserver ${DELAY_MS} ms further`, () => startLoadedCompute(storage, timelineId, proxy.port)],
  ];
  const measured = kinds.map(([name]) => ({ name, pagesUs: [] as number[], scans: [] as number[] }));
  for (let round = 0; round < options.repeats; round++) {
    for (const [index, [, start]] of kinds.entries()) {
      await using server = await start();
      const client = await server.connect();
      measured[index]?.pagesUs.push(...(await readPages(client, options.pages)));
      measured[index]?.scans.push(await scan(client));
      await client.end();
    }
  }
  const hops = await measureHops(options);
  const [stockScans] = measured.map(({ scans }) => spreadOf(scans).median);
  const results = measured.map(({ name, pagesUs, scans }): ReadResult => {
    const scanMegabytesPerS = spreadOf(scans);
    const scanRatio = scanMegabytesPerS.median / (stockScans as number);
    return { name, ...percentilesOf(pagesUs), scan: { megabytesPerS: scanMegabytesPerS, ratio: scanRatio } };
  });
  return [...results, { name: 'the way alone, no page', ...percentilesOf(hops), scan: undefined }];
}

function percentilesOf(timesUs: readonly number[]): Pick<ReadResult, 'pageP50Us' | 'pageP99Us'> {
  const sorted = timesUs.toSorted((left, right) => left - right);
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] as number;
  return { pageP50Us: at(0.5), pageP99Us: at(0.99) };
}

/** As many bytes through as many processes, of Node.js like those of a page, which do nothing else. */
async function measureHops({ repeats, pages }: ReadOptions): Promise<number[]> {
  await using answering = new CommandProcess<HopCommands>(HOPS_MAIN);
  await using relaying = new CommandProcess<HopCommands>(HOPS_MAIN);
  await using asking = new CommandProcess<HopCommands>(HOPS_MAIN);
  const port = await relaying.ask('relay', await answering.ask('answer', undefined));
  const times: number[] = [];
  for (let round = 0; round < repeats; round++)
    times.push(...(await asking.ask('ask', { port, count: pages })).slice(PAGES_WARM_UP));
  return times;
}

async function restarted(stock: StockPostgres): Promise<LoadedServer> {
  await stock.stop();
  await stock.start();
  return loadedStock(stock);
}

/** How long the server waits for each of some pages that are far from each other, in microseconds. */
async function readPages(client: Client, count: number): Promise<number[]> {
  await client.query('SET track_io_timing = on');
  const { rows } = await client.query("SELECT pg_relation_size('accounts') / 8192 AS blocks");
  const blocks = Number(rows[0].blocks);
  const times: number[] = [];
  for (let index = 0; index < Math.min(count, blocks / 2); index++) {
    const block = (index * STRIDE_BLOCKS) % blocks;
    const explained = await client.query(
      `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT 1 FROM accounts WHERE ctid = '(${block},1)'`,
    );
    const plan = explained.rows[0]['QUERY PLAN'][0].Plan;
    if (plan['Shared Read Blocks'] !== 1) throw new Error(`block ${block} was in memory already`);
    if (index >= PAGES_WARM_UP) times.push(plan['Shared I/O Read Time'] * 1000);
  }
  await client.query('SET track_io_timing = off');
  return times;
}

/** Megabytes that are read in a second. */
async function scan(client: Client): Promise<number> {
  const { rows } = await client.query("SELECT pg_relation_size('scanned') AS bytes");
  const beganAtMs = performance.now();
  await client.query('SELECT count(*) FROM scanned');
  return Number(rows[0].bytes) / MEGABYTE / ((performance.now() - beganAtMs) / 1000);
}
