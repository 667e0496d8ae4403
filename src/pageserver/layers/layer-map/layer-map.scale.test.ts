import { expect, test } from 'vitest';
import { drawnKey, drawnRange } from '../../../../test/support/layer-drawing.ts';
import { SeededRandom } from '../../../../test/support/seeded-random.ts';
import type { Lsn } from '../../../base/lsn.ts';
import { ALL_KEYS, type KeyRange } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import { LayerMap, type NextLayer } from './layer-map.ts';

const MANY = 100_000;

interface Area {
  readonly kind?: 'delta' | 'image';
  readonly keys: KeyRange;
  readonly lsn: number;
  readonly height?: number;
}

/** The n-th layer of so many. */
type Shape = (index: number, count: number, random: SeededRandom) => Area;

const shapes: Readonly<Record<string, Shape>> = {
  'stacked on one key range': (index) => ({ keys: drawnRange(10, 20), lsn: 8 * index, height: 8 }),
  'level 0 only': (index) => ({ keys: ALL_KEYS, lsn: 8 * index, height: 8 }),
  'stacked images': (index) => ({ kind: 'image', keys: drawnRange(10, 20), lsn: 8 * index }),
  'narrow, at one LSN': (index) => ({ keys: drawnRange(10 * index, 10 * index + 10), lsn: 8, height: 8 }),
  'narrow images': (index) => ({ kind: 'image', keys: drawnRange(10 * index, 10 * index + 10), lsn: 8 }),
  'a mixture': (index, count, random) => {
    const column = random.below(count);
    const width = random.chance(0.1) ? 1 + random.below(count) : 1 + random.below(100);
    const keys = random.chance(0.01) ? ALL_KEYS : drawnRange(column, column + width);
    return {
      kind: random.chance(0.3) ? 'image' : 'delta',
      keys,
      lsn: 8 * index,
      height: 1 + random.below(64),
    };
  },
};

function makeLayers(shape: Shape, count: number, random: SeededRandom): LayerDescription[] {
  const layers = Array.from({ length: count }, (_, index): LayerDescription => {
    const { kind = 'delta', keys, lsn, height = 1 } = shape(index, count, random);
    const lsnEnd = (lsn + (kind === 'image' ? 1 : height)) as Lsn;
    return { kind, keys, lsnStart: lsn as Lsn, lsnEnd, generation: 1, sizeBytes: 1 };
  });
  return random.shuffle(layers);
}

const nanoseconds = (work: () => void): number => {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6;
};

/** The fastest of several rounds of lookups, at random keys and LSNs of the layers. */
function lookupNs(map: LayerMap<LayerDescription>, layers: readonly LayerDescription[]): number {
  const random = new SeededRandom(7);
  const probes = Array.from({ length: 4096 }, () => {
    const layer = random.pick(layers);
    return { key: layer.keys === ALL_KEYS ? drawnKey(5) : layer.keys.start, lsnEnd: layer.lsnEnd };
  });
  const next: NextLayer<LayerDescription> = { layer: undefined, lsnStart: 0 };
  let fastest = Number.POSITIVE_INFINITY;
  let found = 0;
  for (let round = 0; round < 8; round++) {
    const spent = nanoseconds(() => {
      for (const { key, lsnEnd } of probes) if (map.next(key, lsnEnd, next)) found++;
    });
    fastest = Math.min(fastest, spent / probes.length);
  }
  expect(found).toBe(8 * probes.length);
  return fastest;
}

interface Spent {
  readonly meanNs: number;
  /** Of all but one in ten: among those are the scheduler of a busy machine and collections of garbage. */
  readonly slowNs: number;
  readonly worstNs: number;
}

/** Does the work on each thing, and says how long one took. */
function timeEach<T>(things: readonly T[], work: (thing: T) => void): Spent {
  const spent = new Float64Array(things.length);
  for (const [index, thing] of things.entries()) spent[index] = nanoseconds(() => work(thing));
  const meanNs = spent.reduce((sum, each) => sum + each, 0) / things.length;
  spent.sort();
  const slowNs = spent[Math.floor(things.length * 0.9)] as number;
  return { meanNs, slowNs, worstNs: spent.at(-1) as number };
}

const micros = (ns: number): string => `${(ns / 1000).toFixed(1)} µs`;

for (const [name, shape] of Object.entries(shapes)) {
  test(`${MANY} layers, ${name}: lookups stay quick, and no change takes long`, { timeout: 60_000 }, () => {
    const random = new SeededRandom(1);
    const few = makeLayers(shape, 10, random);
    const small = new LayerMap<LayerDescription>();
    for (const layer of few) small.insert(layer);
    const many = makeLayers(shape, MANY, random);
    const map = new LayerMap<LayerDescription>();
    const inserts = timeEach(many, (layer) => map.insert(layer));
    const beforeNs = lookupNs(map, many);
    let isMore = true;
    const pieces = timeEach(Array.from({ length: 20_000 }), () => {
      if (isMore) isMore = map.advance();
    });
    expect(isMore).toBe(false);
    const smallNs = lookupNs(small, few);
    const manyNs = lookupNs(map, many);
    // 10 000 go and come, as a compaction might have it.
    const changed = random.shuffle(many).slice(0, 10_000);
    const removals = timeEach(changed, (layer) => map.remove(layer));
    for (const layer of changed) map.insert(layer);
    const afterNs = lookupNs(map, many);
    process.stdout.write(
      `${name}: lookup ${smallNs.toFixed(0)} ns at 10, ${manyNs.toFixed(0)} ns at ${MANY} ` +
        `(${(manyNs / smallNs).toFixed(1)} times; ${beforeNs.toFixed(0)} ns while merging, ` +
        `${afterNs.toFixed(0)} ns after 10 000 changes); ` +
        `insert ${micros(inserts.meanNs)}, slow ${micros(inserts.slowNs)}, worst ${micros(inserts.worstNs)}; ` +
        `remove ${micros(removals.meanNs)}, slow ${micros(removals.slowNs)}, worst ${micros(removals.worstNs)}; ` +
        `advance slow ${micros(pieces.slowNs)}, worst ${micros(pieces.worstNs)}\n`,
    );
    // Loose: a list searched layer by layer would be thousands of times slower.
    expect(manyNs / smallNs).toBeLessThan(400);
    expect(Math.max(beforeNs, afterNs) / smallNs).toBeLessThan(800);
    expect(Math.max(inserts.slowNs, removals.slowNs, pieces.slowNs)).toBeLessThan(2e6);
  });
}
