import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import {
  compareValues,
  key,
  type LayerValue,
  OWNER,
  writeLayer,
} from '../../../test/support/layer-samples.ts';
import { SeededRandom } from '../../../test/support/seeded-random.ts';
import { AssertionError } from '../../base/errors.ts';
import { toLsn } from '../../base/lsn.ts';
import { nodeFiles } from '../../io/node/files.ts';
import { unsyncedFiles } from '../../io/unsynced-files.ts';
import type { Key } from '../keyspace/key.ts';
import { ALL_KEYS, isInRange, type KeyRange } from '../keyspace/key-range.ts';
import { BlockCache } from '../layers/block-cache.ts';
import { LayerMap } from '../layers/layer-map/layer-map.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import { type LayerHome, TimelineLayer } from '../timeline/timeline-layer.ts';
import type { ReadableTimeline, StoredLayer } from './readable-timeline.ts';
import { scanBatch } from './scan-batch.ts';
import { scanKeys } from './scan-keys.ts';
import { ScannedBatch } from './scanned-batch.ts';

const directory = mkdtempSync(join(tmpdir(), 'varve-scan-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const files = unsyncedFiles(nodeFiles);
const context: ReadContext = { task: 'base-backup', signal: new AbortController().signal };
const HOME: LayerHome = {
  ...OWNER,
  files,
  directory,
  blocks: new BlockCache(0),
  fetch: async () => {
    throw new AssertionError('a layer is fetched that is here');
  },
  onMissing: () => undefined,
};
const LSN_FIRST = 100;
let generation = 0;

/** What happened, in the order of LSNs: values, and empty ones where something ceased to be. Half of it to one key. */
function makeHistory(random: SeededRandom, count: number): LayerValue[] {
  const relations = random.pick([2, 20, 200]);
  return Array.from({ length: count }, (_, number) => {
    const of = random.chance(0.5) ? 0 : random.below(relations);
    const bytes = random.chance(0.1) ? new Uint8Array(0) : Uint8Array.of(number, number >>> 8, of);
    return { key: key(0x61, of, 0), lsn: LSN_FIRST + number * 8, flags: VALUE_IMAGE, bytes };
  });
}

/** In the plainest way there is. */
function naiveScan(history: readonly LayerValue[], range: KeyRange, lsn: number): LayerValue[] {
  const newest = new Map<number, LayerValue>();
  for (const value of history) {
    if (value.lsn <= lsn && isInRange(range, value.key)) newest.set(value.key.field4, value);
  }
  return [...newest.values()].filter(({ bytes }) => bytes.length > 0).sort(compareValues);
}

async function addLayer(
  layers: LayerMap<StoredLayer>,
  kind: 'delta' | 'image',
  keys: KeyRange,
  lsnStart: number,
  lsnEnd: number,
  values: readonly LayerValue[],
): Promise<void> {
  const { description } = await writeLayer(files, directory, [...values].sort(compareValues), {
    kind,
    keys,
    lsnStart: toLsn(lsnStart),
    lsnEnd: toLsn(lsnEnd),
    generation: ++generation,
    blockBytes: 200,
  });
  layers.insert(new TimelineLayer(description, HOME, true));
}

/**
 * The history from a number on in layers: deltas of all keys or cut in two, and images of all keys or of a part, also
 * within deltas.
 */
async function makeLayers(
  random: SeededRandom,
  history: readonly LayerValue[],
  from: number,
): Promise<LayerMap<StoredLayer>> {
  const layers = new LayerMap<StoredLayer>();
  const halves = (): KeyRange[] => {
    const middle = key(0x61, random.below(5), 0);
    return [
      { start: ALL_KEYS.start, end: middle },
      { start: middle, end: ALL_KEYS.end },
    ];
  };
  for (let start = from, end = from; start < history.length; start = end) {
    end = Math.min(history.length, start + 1 + random.below(history.length));
    const [lsnStart, lsnEnd] = [LSN_FIRST + start * 8, LSN_FIRST + end * 8];
    const values = history.slice(start, end);
    for (const keys of random.chance(0.5) ? [ALL_KEYS] : halves()) {
      const own = values.filter((value) => isInRange(keys, value.key));
      await addLayer(layers, 'delta', keys, lsnStart, lsnEnd, own);
    }
    for (let images = random.below(3); images > 0; images--) {
      const lsn = lsnStart + random.below((end - start) * 8);
      const keys = random.chance(0.5) ? ALL_KEYS : random.pick(halves());
      const existing = naiveScan(history, keys, lsn).map((value) => ({ ...value, lsn }));
      await addLayer(layers, 'image', keys, lsn, lsn + 1, existing);
    }
  }
  return layers;
}

const makeTimeline = (
  layers: LayerMap<StoredLayer>,
  ancestor: ReadableTimeline['ancestor'],
): ReadableTimeline =>
  ({
    layers,
    ancestor,
    memoryLayers: [],
    yieldToOthers: async () => undefined,
  }) as unknown as ReadableTimeline;

const show = (of: Key, bytes: Uint8Array): string => `${of.field4}: ${Buffer.from(bytes).toString('hex')}`;

async function scanInBatches(
  timeline: ReadableTimeline,
  range: KeyRange,
  lsn: number,
  entries: number,
): Promise<string[]> {
  const batch = new ScannedBatch();
  const found: string[] = [];
  for (let start: Key | undefined = range.start; start !== undefined; ) {
    const rest = { start, end: range.end };
    start = await scanBatch(timeline, rest, lsn, { entries, valueBytes: 1e9 }, batch, context);
    for (let entry = 0; entry < batch.count; entry++) found.push(show(batch.key(entry), batch.value(entry)));
  }
  return found;
}

async function scanAtOnce(timeline: ReadableTimeline, range: KeyRange, lsn: number): Promise<string[]> {
  const values = await scanKeys(timeline, range, lsn, context);
  return values.map((value) => show(value.key, value.bytes));
}

test('scans at any LSN find what a look at the whole history finds, over layers of all kinds and an ancestor', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 1, max: 1000 }), async (seed, count) => {
      const random = new SeededRandom(seed);
      const history = makeHistory(random, count);
      const parent = makeTimeline(await makeLayers(random, history, 0), undefined);
      // The branch goes on from one of the values in its own way.
      const common = 1 + random.below(count);
      const ownHistory = history.map((value, number) => {
        if (number < common) return value;
        return { ...value, key: key(0x61, (value.key.field4 * 3) % 200, 0) };
      });
      const branch = makeTimeline(await makeLayers(random, ownHistory, common), {
        timeline: parent,
        lsn: LSN_FIRST + (common - 1) * 8,
      });
      for (let times = 0; times < 10; times++) {
        const [timeline, of] = random.pick([[parent, history] as const, [branch, ownHistory] as const]);
        const lsn = LSN_FIRST - 4 + random.below(count * 8 + 8);
        const ends = [random.below(9), random.below(300)].sort((left, right) => left - right);
        const [first, last] = ends as [number, number];
        const range = times < 4 ? ALL_KEYS : { start: key(0x61, first, 0), end: key(0x61, last, 0) };
        const expected = naiveScan(of, range, lsn).map((value) => show(value.key, value.bytes));
        expect(await scanInBatches(timeline, range, lsn, random.pick([3, 50, 1e6]))).toEqual(expected);
        expect(await scanAtOnce(timeline, range, lsn)).toEqual(expected);
      }
    }),
    { numRuns: 30 },
  );
});

test('what an image says to be gone stays gone, though a delta that spans it has forgotten the end', async () => {
  const layers = new LayerMap<StoredLayer>();
  const value = (field4: number, lsn: number): LayerValue => ({
    key: key(0x61, field4, 0),
    lsn,
    flags: VALUE_IMAGE,
    bytes: Uint8Array.of(field4),
  });
  await addLayer(layers, 'delta', ALL_KEYS, 100, 900, [value(1, 100), value(2, 108), value(3, 700)]);
  await addLayer(layers, 'image', ALL_KEYS, 500, 501, [value(2, 500)]);
  const timeline = makeTimeline(layers, undefined);
  for (const [lsn, expected] of [
    [600, ['2: 02']],
    [800, ['2: 02', '3: 03']],
  ] as const) {
    expect(await scanInBatches(timeline, ALL_KEYS, lsn, 1e6)).toEqual(expected);
    expect(await scanAtOnce(timeline, ALL_KEYS, lsn)).toEqual(expected);
  }
});
