import { StartSetDecoder } from '../src/contracts/start-set-decoder.ts';
import { nodeFiles } from '../src/io/node/files.ts';
import { KIND_RELATION_SIZE, kindRange } from '../src/pageserver/keyspace/keys.ts';
import type { ReadContext } from '../src/pageserver/layers/read-context.ts';
import { streamStartSet } from '../src/pageserver/start-set/stream-start-set.ts';
import type { ActiveTimeline } from '../src/pageserver/tenant/active-timeline.ts';
import { POSTGRES_17 } from '../src/postgres/versions/version.ts';
import { StockPostgres } from '../test/support/stock-postgres.ts';
import { MAIN, StorageWorld } from '../test/support/storage-world.ts';
import { createRelations, growRelation } from './startset/many-relations.ts';
import { type Spread, spreadOf, threadMs } from './support/measure.ts';
import { NO_UPKEEP } from './support/pageserver-bed.ts';
import { collectGarbage } from './support/process-usage.ts';
import { formatNumber, formatTable } from './support/table.ts';

/** What is measured: out of memory, out of layer files, and as the first thing after a restart. */
export interface StartSetShape {
  readonly relations: number;
  /** Of one of the relations, each of which came by itself. */
  readonly blocks: number;
}

/** A table of 7.6 GiB may have grown block by block. */
export const startSetShapes = (scale: number): StartSetShape[] => [
  { relations: 10_000 * scale, blocks: 0 },
  { relations: 10_000 * scale, blocks: 1_000_000 * scale },
  { relations: 100_000 * scale, blocks: 0 },
];

export interface StartSetBenchOptions {
  readonly repeats: number;
  readonly shapes: readonly StartSetShape[];
  readonly pgBin: string | undefined;
}

export interface StartSetRow {
  readonly name: string;
  readonly forks: number;
  readonly bytes: number;
  /** Until the server may be started: all but the list of relations. */
  readonly readyMs: Spread;
  readonly listMs: Spread;
  readonly loopMs: Spread;
  /** Memory that grew while a whole set was made, at its highest between two chunks. */
  readonly peakBytes: number;
  /** The same relations by a scan that gives all at once. */
  readonly scanMs: number;
}

const READ: ReadContext = { task: 'base-backup', signal: new AbortController().signal };

/** Start sets of clusters with many relations, and with one that has grown block by block. */
export async function measureStartSet(
  options: StartSetBenchOptions,
  progress: (text: string) => void,
): Promise<StartSetRow[]> {
  const rows: StartSetRow[] = [];
  await using server = await StockPostgres.create({
    major: 17,
    ...(options.pgBin === undefined ? {} : { pgBin: options.pgBin }),
  });
  for (const { relations, blocks } of options.shapes) {
    const name = blocks === 0 ? `${relations}` : `${relations}, one of ${blocks} blocks`;
    progress(`startset: ${name}`);
    await using world = await StorageWorld.open({ settings: NO_UPKEEP });
    const tenant = await world.storage.attach(world.tenantId);
    const active = await tenant.createTimeline(MAIN, {
      files: nodeFiles,
      directory: server.dataDirectory,
      version: POSTGRES_17,
    });
    await createRelations(active, server.dataDirectory, relations);
    if (blocks > 0) await growRelation(active, blocks);
    rows.push(await measureRow(`${name}, open layer`, () => active, options.repeats));
    await active.timeline.flush();
    rows.push(await measureRow(`${name}, layer files`, () => active, options.repeats));
    const restarted = async (): Promise<ActiveTimeline> => {
      await world.stop();
      await world.start();
      return world.tenant.timeline(MAIN);
    };
    rows.push(await measureRow(`${name}, after a restart`, restarted, options.repeats));
  }
  return rows;
}

async function measureRow(
  name: string,
  open: () => ActiveTimeline | Promise<ActiveTimeline>,
  repeats: number,
): Promise<StartSetRow> {
  const runs: Awaited<ReturnType<typeof runOnce>>[] = [];
  for (let run = 0; run < repeats; run++) runs.push(await runOnce(await open()));
  const active = await open();
  const start = performance.now();
  await active.reads.scan(kindRange(KIND_RELATION_SIZE), active.timeline.lastRecordLsn, READ);
  const [first] = runs as [(typeof runs)[number]];
  return {
    name,
    forks: first.forks,
    bytes: first.bytes,
    readyMs: spreadOf(runs.map(({ readyMs }) => readyMs)),
    listMs: spreadOf(runs.map(({ listMs }) => listMs)),
    loopMs: spreadOf(runs.map(({ loopMs }) => loopMs)),
    peakBytes: Math.max(...runs.map(({ peakBytes }) => peakBytes)),
    scanMs: performance.now() - start,
  };
}

async function runOnce(active: ActiveTimeline): Promise<{
  readyMs: number;
  listMs: number;
  loopMs: number;
  bytes: number;
  forks: number;
  peakBytes: number;
}> {
  collectGarbage();
  const before = usedBytes();
  const chunks: Uint8Array[] = [];
  const ready = readyFinder();
  let peakBytes = 0;
  let bytes = 0;
  let readyMs = 0;
  const loopStart = threadMs();
  const start = performance.now();
  for await (const chunk of streamStartSet(active, { lsn: undefined, form: 'primary' }, READ)) {
    if (readyMs === 0 && ready(chunk)) readyMs = performance.now() - start;
    chunks.push(chunk);
    bytes += chunk.length;
    peakBytes = Math.max(peakBytes, usedBytes() - before - bytes);
  }
  const wholeMs = performance.now() - start;
  const loopMs = threadMs() - loopStart;
  const decoder = new StartSetDecoder();
  let forks = 0;
  for (const chunk of chunks) {
    for (const item of decoder.push(chunk)) if (item.kind === 'forks') forks += item.forks.length;
  }
  decoder.finish();
  return { readyMs, listMs: wholeMs - readyMs, loopMs, bytes, forks, peakBytes };
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Tells of each chunk whether all has come that is needed for a start. */
function readyFinder(): (chunk: Uint8Array) => boolean {
  const decoder = new StartSetDecoder();
  return (chunk) => {
    let isReady = false;
    for (const { kind } of decoder.push(chunk)) isReady ||= kind === 'ready';
    return isReady;
  };
}

export function formatStartSet(rows: readonly StartSetRow[]): string {
  const header = [
    'start set of relations',
    'forks',
    'KiB',
    'ready ms',
    'list ms',
    'p10',
    'p90',
    'loop CPU ms',
  ];
  return formatTable(
    [...header, 'peak MiB', 'scan at once ms'],
    rows.map(({ name, forks, bytes, readyMs, listMs, loopMs, peakBytes, scanMs }) => [
      name,
      String(forks),
      formatNumber(bytes / 1024),
      formatNumber(readyMs.median),
      formatNumber(listMs.median),
      formatNumber(listMs.p10),
      formatNumber(listMs.p90),
      formatNumber(loopMs.median),
      formatNumber(peakBytes / 2 ** 20),
      formatNumber(scanMs),
    ]),
  );
}
