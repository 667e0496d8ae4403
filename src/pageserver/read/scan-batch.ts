import { throwIfCancelled } from '../../io/cancelled.ts';
import { compareEncodedKeys, type Key, readKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { isRetired, RETIRED_MAX } from '../layers/retired-layer.ts';
import type { ReadableTimeline } from './readable-timeline.ts';
import { ENDED, LACKING, MemorySource, READY, type ScanSource, StoredSource } from './scan-sources.ts';
import type { ScannedBatch } from './scanned-batch.ts';
import { findVisibleLayers } from './visible-layers.ts';

/** Others get their turn after so many. */
const KEYS_A_TURN = 4000;

export interface ScanLimits {
  readonly entries: number;
  /** Of the values together. The first value comes however long it is. */
  readonly valueBytes: number;
}

/**
 * The first keys of a range that existed at `lsn`, in order, with what they held. Not for keys of pages: each value must
 * be an image. Gives the key from which on the rest may be asked for, or undefined where there is no rest. Between two
 * calls nothing is held, so whoever goes through a long range may take its time.
 * @throws CorruptionError; what reading layers fails of
 */
export async function scanBatch(
  timeline: ReadableTimeline,
  range: KeyRange,
  lsn: number,
  limits: ScanLimits,
  batch: ScannedBatch,
  context: ReadContext,
): Promise<Key | undefined> {
  for (let retired = 0; ; ) {
    try {
      batch.clear();
      return await scanLayersOfNow(timeline, range, lsn, limits, batch, context);
    } catch (error) {
      // An open layer has become a file meanwhile. Of one that is closing nothing more is loaded, even for who holds it.
      if (!isRetired(error) || ++retired > RETIRED_MAX) throw error;
    }
  }
}

async function scanLayersOfNow(
  timeline: ReadableTimeline,
  range: KeyRange,
  lsn: number,
  limits: ScanLimits,
  batch: ScannedBatch,
  context: ReadContext,
): Promise<Key | undefined> {
  // Layers that are compacted or collected meanwhile change no answer: those of now are held, and suffice.
  const { memory, stored } = findVisibleLayers(timeline, range, lsn);
  using holds = new DisposableStack();
  for (const { layer } of [...memory, ...stored]) holds.use(layer.hold());
  await using opened = new AsyncDisposableStack();
  const sources: ScanSource[] = [];
  for (const { layer, lsnEnd, parts } of memory) {
    sources.push(await MemorySource.read(layer, lsnEnd, parts, context));
  }
  for (const { layer, lsnEnd, parts } of stored) {
    sources.push(opened.use(new StoredSource(layer, lsnEnd, parts, context)));
  }
  return await merge(timeline, sources, limits, batch, context);
}

async function merge(
  timeline: ReadableTimeline,
  sources: readonly ScanSource[],
  limits: ScanLimits,
  batch: ScannedBatch,
  context: ReadContext,
): Promise<Key | undefined> {
  const live: ScanSource[] = [];
  for (const source of sources) if (await isReady(source)) live.push(source);
  let visited = 0;
  while (live.length > 0) {
    const newest = newestOfLowest(live);
    await passOlder(live, newest);
    const next = lowestOfOthers(live, newest);
    let isLive = true;
    // Mostly many keys of one source come before the next key of any other one.
    do {
      if (++visited % KEYS_A_TURN === 0) {
        await timeline.yieldToOthers();
        throwIfCancelled(context.signal);
      }
      if (newest.length > 0) {
        const isFull = batch.count >= limits.entries || batch.valueBytes + newest.length > limits.valueBytes;
        if (isFull && batch.count > 0) return readKey(newest.keyView, 0);
        batch.append(newest.keyView, 0, newest.lsn, newest.bytes, newest.offset, newest.length);
      }
      const state = newest.advance();
      isLive = state === READY || (state === LACKING && (await isLoaded(newest)));
    } while (isLive && (next === undefined || compareSources(newest, next) < 0));
    if (!isLive) live.splice(live.indexOf(newest), 1);
  }
  return undefined;
}

async function isReady(source: ScanSource): Promise<boolean> {
  const state = source.advance();
  return state === LACKING ? await isLoaded(source) : state !== ENDED;
}

/** Loads until the source is at its next key. */
async function isLoaded(source: ScanSource): Promise<boolean> {
  for (;;) {
    await source.load();
    const state = source.advance();
    if (state !== LACKING) return state !== ENDED;
  }
}

/** Moves on the sources that stand on the key of `newest` as well. */
async function passOlder(live: ScanSource[], newest: ScanSource): Promise<void> {
  for (let index = live.length - 1; index >= 0; index--) {
    const source = live[index] as ScanSource;
    if (source === newest || compareSources(source, newest) !== 0) continue;
    if (!(await isReady(source))) live.splice(index, 1);
  }
}

/** The one with the lowest key but for `newest`; undefined where there is no other. */
function lowestOfOthers(live: readonly ScanSource[], newest: ScanSource): ScanSource | undefined {
  let lowest: ScanSource | undefined;
  for (const source of live) {
    if (source === newest) continue;
    if (lowest === undefined || compareSources(source, lowest) < 0) lowest = source;
  }
  return lowest;
}

const compareSources = (left: ScanSource, right: ScanSource): number =>
  compareEncodedKeys(left.keyView, 0, right.keyView, 0);

/** Of the sources that stand on the lowest key, the one with the highest LSN; of several the last. */
function newestOfLowest(live: readonly ScanSource[]): ScanSource {
  let best = live[0] as ScanSource;
  for (let index = 1; index < live.length; index++) {
    const source = live[index] as ScanSource;
    const order = compareSources(source, best);
    if (order < 0 || (order === 0 && source.lsn >= best.lsn)) best = source;
  }
  return best;
}
