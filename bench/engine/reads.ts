import type { Key } from '../../src/pageserver/keyspace/key.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { Page } from '../../src/postgres/page/page.ts';
import { processMs, repeat, type Spread, spreadOf, threadMs } from '../support/measure.ts';
import { NO_UPKEEP, PageserverBed, takeWal } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';
import { allPages, countValues, READ, shuffled, TARGETS } from './read-bed.ts';

export interface ReadOptions {
  readonly seconds: number;
  readonly repeats: number;
}

export interface ReadResult {
  readonly name: string;
  readonly pages: number;
  /** Pages that are read at the same time. */
  readonly atOnce: number;
  readonly valuesPerPage: number;
  /** Of the event loop's thread, for each page. */
  readonly loopUs: Spread;
  readonly elapsedUs: Spread;
  /** Of all threads, for each page. */
  readonly allUs: number;
}

const MEBIBYTE = 1024 * 1024;
/** What a page needs beside its base, in the measurement of redo. */
const WANTED_RECORDS = { least: 8, most: 12 };
const PAGES_MAX = 20_000;
/** Pages that stay in the processor's caches with all that is needed to make them. */
const FEW_PAGES = 64;
const CONCURRENCIES: readonly number[] = [1, 16, 64];

/** Pages of which one is kept at a time: each that is read is made anew. */
export const NO_PAGE_CACHE = 1;
export const AMPLE_BLOCK_CACHE: number = 2048 * MEBIBYTE;

/** Reads without any I/O. */
export async function measureWarmReads(recording: Recording, options: ReadOptions): Promise<ReadResult[]> {
  const wal = recording.readWal();
  const settings = { ...NO_UPKEEP, openLayerBytes: 4096 * MEBIBYTE };
  const results: ReadResult[] = [];
  {
    await using bed = await PageserverBed.open({
      settings,
      blockCacheBytes: AMPLE_BLOCK_CACHE,
      pageCacheBytes: 1024 * MEBIBYTE,
    });
    const active = await bed.importRecording(recording);
    await takeWal(active, recording, wal);
    const keys = shuffled(await allPages(active)).slice(0, PAGES_MAX);
    await countValues(active, keys);
    results.push(measureNow('hot page', active, keys, 0, options));
    results.push(await measureBatches('hot page, as TimelineReads.pages', active, keys, 64, options));
  }
  await using bed = await PageserverBed.open({
    settings,
    blockCacheBytes: AMPLE_BLOCK_CACHE,
    pageCacheBytes: NO_PAGE_CACHE,
  });
  const active = await bed.importRecording(recording);
  await takeWal(active, recording, wal);
  results.push(...(await measureRedoReads('open layer', active, options)));
  await active.timeline.flush();
  results.push(...(await measureRedoReads('layer files', active, options)));
  return results;
}

/** Reads without any I/O of pages that need an image and some ten plain inserts: of the recording of REDO_INSERTS. */
export async function measureInsertReads(recording: Recording, options: ReadOptions): Promise<ReadResult[]> {
  await using bed = await PageserverBed.open({
    settings: { ...NO_UPKEEP, openLayerBytes: 4096 * MEBIBYTE },
    blockCacheBytes: AMPLE_BLOCK_CACHE,
    pageCacheBytes: NO_PAGE_CACHE,
  });
  const active = await bed.importRecording(recording);
  await takeWal(active, recording, recording.readWal());
  const inOpenLayer = await measureRedoReads('open layer', active, options, 'inserts');
  await active.timeline.flush();
  return [...inOpenLayer, ...(await measureRedoReads('layer files', active, options, 'inserts'))];
}

/** Pages without a record, and with about ten, whose values are all in memory. */
async function measureRedoReads(
  where: string,
  active: ActiveTimeline,
  options: ReadOptions,
  what = 'redo',
): Promise<ReadResult[]> {
  const keys = shuffled(await allPages(active)).slice(0, PAGES_MAX);
  const counts = await countValues(active, keys);
  const pick = (least: number, most: number): Key[] =>
    keys.filter((_, index) => (counts[index] as number) >= least && (counts[index] as number) <= most);
  const meanCount = (least: number, most: number): number => {
    const picked = counts.filter((count) => count >= least && count <= most);
    return picked.reduce((sum, count) => sum + count, 0) / picked.length;
  };
  const results: ReadResult[] = [];
  const images = pick(1, 1);
  if (images.length > 0) results.push(measureNow(`${where}: image`, active, images, 1, options));
  const [least, most] = [WANTED_RECORDS.least + 1, WANTED_RECORDS.most + 1];
  const changed = pick(least, most);
  if (changed.length === 0) return results;
  const values = meanCount(least, most);
  results.push(measureNow(`${where}: ${what}`, active, changed, values, options));
  const few = changed.slice(0, FEW_PAGES);
  results.push(measureNow(`${where}: ${what}, of few pages`, active, few, values, options));
  return results;
}

/** One after another, without a promise. */
export function measureNow(
  name: string,
  { timeline }: ActiveTimeline,
  keys: readonly Key[],
  valuesPerPage: number,
  { seconds, repeats }: ReadOptions,
): ReadResult {
  const lsn = timeline.lastRecordLsn;
  let elapsedMs = 0;
  let allMs = 0;
  let passes = 0;
  const pass = (): number => {
    const start = { ms: performance.now(), loopMs: threadMs(), allMs: processMs() };
    for (let index = 0; index < keys.length; index++) {
      const target = TARGETS[index % TARGETS.length] as Page;
      if (!timeline.pageReader.readNow(keys[index] as Key, lsn, target, READ))
        throw new Error('a page is not in memory');
    }
    elapsedMs += performance.now() - start.ms;
    allMs += processMs() - start.allMs;
    passes++;
    return threadMs() - start.loopMs;
  };
  const ms = repeat({ seconds, repeatsMin: repeats, warmUps: 3 }, pass);
  const perPage = (of: Spread): Spread => scale(of, 1000 / keys.length);
  const elapsed = spreadOf([elapsedMs / passes]);
  const allUs = (allMs * 1000) / passes / keys.length;
  return {
    name,
    pages: keys.length,
    atOnce: 1,
    valuesPerPage,
    loopUs: perPage(ms),
    elapsedUs: perPage(elapsed),
    allUs,
  };
}

/** By TimelineReads, as many in one request as are given. */
async function measureBatches(
  name: string,
  active: ActiveTimeline,
  keys: readonly Key[],
  atOnce: number,
  options: ReadOptions,
): Promise<ReadResult> {
  const lsn = active.timeline.lastRecordLsn;
  return measureAwaited(name, keys.length, atOnce, 0, options, async () => {
    for (let at = 0; at < keys.length; at += atOnce) {
      const requests = keys
        .slice(at, at + atOnce)
        .map((key, index) => ({ key, lsn, target: TARGETS[index % TARGETS.length] as Page }));
      await active.reads.pages(requests, READ);
    }
  });
}

/** Single pages that are in no cache of ours, so many at a time. */
export async function measureColdReads(
  recording: Recording,
  engine: 'portable' | 'direct',
  options: ReadOptions,
): Promise<ReadResult[]> {
  const wal = recording.readWal();
  const settings = {
    ...NO_UPKEEP,
    compactionThreshold: 2,
    openLayerBytes: 4096 * MEBIBYTE,
    targetBytes: 32 * MEBIBYTE,
  };
  // Room for the roots and leaves of layers, and little else.
  await using bed = await PageserverBed.open({
    engine,
    settings,
    blockCacheBytes: 4 * MEBIBYTE,
    pageCacheBytes: NO_PAGE_CACHE,
  });
  const active = await bed.importRecording(recording);
  await takeWal(active, recording, wal);
  await active.timeline.flush();
  const keys = shuffled(await allPages(active)).slice(0, PAGES_MAX);
  const counts = await countValues(active, keys);
  const images = keys.filter((_, index) => counts[index] === 1);
  const results: ReadResult[] = [];
  for (const atOnce of CONCURRENCIES) {
    results.push(await measureCold(`cold, ${engine}: image`, active, images, atOnce, 1, options));
  }
  const changed = keys.filter((_, index) => (counts[index] as number) > 1);
  const values = counts.filter((count) => count > 1).reduce((sum, count) => sum + count, 0) / changed.length;
  if (changed.length > 0) {
    results.push(
      await measureCold(`cold, ${engine}: redo`, active, changed.slice(0, 4000), 16, values, options),
    );
  }
  return results;
}

function measureCold(
  name: string,
  { timeline }: ActiveTimeline,
  keys: readonly Key[],
  atOnce: number,
  valuesPerPage: number,
  options: ReadOptions,
): Promise<ReadResult> {
  const lsn = timeline.lastRecordLsn;
  let next = 0;
  const work = async (worker: number): Promise<void> => {
    while (next < keys.length) {
      await timeline.pageReader.readPage(keys[next++] as Key, lsn, TARGETS[worker] as Page, READ);
    }
  };
  return measureAwaited(name, keys.length, atOnce, valuesPerPage, options, async () => {
    next = 0;
    await Promise.all(Array.from({ length: atOnce }, (_, worker) => work(worker)));
  });
}

async function measureAwaited(
  name: string,
  pages: number,
  atOnce: number,
  valuesPerPage: number,
  { seconds, repeats }: ReadOptions,
  pass: () => Promise<void>,
): Promise<ReadResult> {
  const loop: number[] = [];
  const elapsed: number[] = [];
  let allMs = 0;
  await pass();
  const endMs = performance.now() + seconds * 1000;
  while (loop.length < repeats || performance.now() < endMs) {
    const start = { ms: performance.now(), loopMs: threadMs(), allMs: processMs() };
    await pass();
    loop.push(threadMs() - start.loopMs);
    elapsed.push(performance.now() - start.ms);
    allMs += processMs() - start.allMs;
  }
  const factor = 1000 / pages;
  const allUs = (allMs * factor) / loop.length;
  const [loopUs, elapsedUs] = [scale(spreadOf(loop), factor), scale(spreadOf(elapsed), factor)];
  return { name, pages, atOnce, valuesPerPage, loopUs, elapsedUs, allUs };
}

const scale = ({ median, p10, p90, repeats }: Spread, factor: number): Spread => ({
  median: median * factor,
  p10: p10 * factor,
  p90: p90 * factor,
  repeats,
});
