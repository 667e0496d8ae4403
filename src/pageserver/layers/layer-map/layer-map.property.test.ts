import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drawnKey, drawnRange } from '../../../../test/support/layer-drawing.ts';
import { SeededRandom } from '../../../../test/support/seeded-random.ts';
import type { Lsn } from '../../../base/lsn.ts';
import { ALL_KEYS, isInRange, rangesOverlap } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import { LayerMap, type NextLayer } from './layer-map.ts';

const LSNS = 60;

interface Shape {
  readonly kind: 'delta' | 'image';
  readonly all: boolean;
  readonly column: number;
  readonly width: number;
  readonly lsn: number;
  readonly height: number;
}

function makeLayer({ kind, all, column, width, lsn, height }: Shape): LayerDescription {
  return {
    kind,
    keys: all ? ALL_KEYS : drawnRange(column, column + width),
    lsnStart: lsn as Lsn,
    lsnEnd: (lsn + (kind === 'image' ? 1 : height)) as Lsn,
    generation: 1,
    sizeBytes: 1,
  };
}

const shapes = (columns: number): fc.Arbitrary<Shape> =>
  fc.record({
    kind: fc.constantFrom('delta', 'delta', 'image'),
    all: fc.boolean(),
    column: fc.nat(columns - 1),
    width: fc.integer({ min: 1, max: columns }),
    lsn: fc.nat(LSNS - 1),
    height: fc.integer({ min: 1, max: 20 }),
  });

/** `next`, by looking at all layers. */
function nextOf(layers: Iterable<LayerDescription>, column: number, lsnEnd: number): string {
  let image: LayerDescription | undefined;
  const deltas: LayerDescription[] = [];
  for (const layer of layers) {
    if (!isInRange(layer.keys, drawnKey(column)) || layer.lsnStart >= lsnEnd) continue;
    if (layer.kind === 'delta') deltas.push(layer);
    else if (image === undefined || layer.lsnStart > image.lsnStart) image = layer;
  }
  deltas.sort((left, right) => right.lsnEnd - left.lsnEnd || left.lsnStart - right.lsnStart);
  const delta = deltas[0];
  const floor = image === undefined ? 0 : image.lsnStart + 1;
  if (delta !== undefined && Math.min(delta.lsnEnd, lsnEnd) > floor) {
    return `delta ${delta.lsnStart}-${delta.lsnEnd} from ${Math.max(delta.lsnStart, floor)}`;
  }
  if (image === undefined) return 'none';
  return `image ${image.lsnStart}-${image.lsnEnd} from ${image.lsnStart}`;
}

const next: NextLayer<LayerDescription> = { layer: undefined, lsnStart: 0 };

function nextIn(map: LayerMap<LayerDescription>, column: number, lsnEnd: number): string {
  if (!map.next(drawnKey(column), lsnEnd, next)) return 'none';
  const { layer, lsnStart } = next;
  return `${layer?.kind} ${layer?.lsnStart}-${layer?.lsnEnd} from ${lsnStart}`;
}

/** All questions that a map answers, against what the list of its layers says. */
function compare(map: LayerMap<LayerDescription>, columns: number): void {
  const layers = [...map];
  for (let column = 0; column < columns; column++) {
    for (let lsnEnd = 1; lsnEnd <= LSNS + 20; lsnEnd += 3) {
      expect(nextIn(map, column, lsnEnd)).toBe(nextOf(layers, column, lsnEnd));
    }
    const at = map.layersAt(drawnKey(column), 10 as Lsn, 40);
    expect(new Set(at)).toEqual(
      new Set(layers.filter((l) => isInRange(l.keys, drawnKey(column)) && l.lsnStart < 40 && l.lsnEnd > 10)),
    );
    expect(new Set(at).size).toBe(at.length);
  }
  for (let start = 0; start < columns; start += 2) {
    const range = drawnRange(start, start + 3);
    const overlapping = map.overlapping(range, 20 as Lsn, 30);
    expect(new Set(overlapping)).toEqual(
      new Set(layers.filter((l) => rangesOverlap(l.keys, range) && l.lsnStart < 30 && l.lsnEnd > 20)),
    );
    expect(new Set(overlapping).size).toBe(overlapping.length);
    compareRanges(map, layers, start, start + 3);
  }
  expect(map.level0.length).toBe(layers.filter((l) => l.kind === 'delta' && l.keys === ALL_KEYS).length);
  expect(map.level0).toEqual([...map.level0].sort((left, right) => left.lsnStart - right.lsnStart));
}

function compareRanges(
  map: LayerMap<LayerDescription>,
  layers: readonly LayerDescription[],
  start: number,
  end: number,
): void {
  const isCovered = (column: number): boolean =>
    layers.some(
      (l) =>
        l.kind === 'image' && isInRange(l.keys, drawnKey(column)) && l.lsnStart >= 15 && l.lsnStart <= 45,
    );
  const columns = Array.from({ length: end - start }, (_, index) => start + index);
  const gaps = [...map.imageGaps(drawnRange(start, end), 15, 45)];
  expect(columns.filter((column) => gaps.some((gap) => isInRange(gap, drawnKey(column))))).toEqual(
    columns.filter((column) => !isCovered(column)),
  );
  expect(map.isCoveredByImages(drawnRange(start, end), 15, 45)).toBe(columns.every(isCovered));
  const depths = [...map.readDepths(drawnRange(start, end), 45 as Lsn)];
  expect(depths[0]?.keys.start).toEqual(drawnKey(start));
  expect(depths.at(-1)?.keys.end).toEqual(drawnKey(end));
  for (const [index, depth] of depths.entries()) {
    if (index > 0) expect(depth.keys.start).toEqual(depths[index - 1]?.keys.end);
    for (const column of columns.filter((each) => isInRange(depth.keys, drawnKey(each)))) {
      const floor = depth.image?.lsnEnd ?? 0;
      const over = layers.filter((l) => isInRange(l.keys, drawnKey(column)) && l.lsnStart <= 45);
      const images = over.filter((l) => l.kind === 'image');
      expect(floor).toBe(Math.max(0, ...images.map((l) => l.lsnEnd)));
      expect(new Set([...depth.deltas, ...depth.level0])).toEqual(
        new Set(over.filter((l) => l.kind === 'delta' && l.lsnEnd > floor)),
      );
    }
  }
}

test('a few layers, overlapping in any way: the map answers as a list would', () => {
  fc.assert(
    fc.property(
      fc.array(shapes(8), { maxLength: 12 }),
      fc.array(fc.nat(11), { maxLength: 4 }),
      (made, removals) => {
        const map = new LayerMap<LayerDescription>();
        const layers = made.map(makeLayer);
        for (const layer of layers) map.insert(layer);
        for (const index of new Set(removals)) {
          const layer = layers[index];
          if (layer !== undefined) map.remove(layer);
        }
        compare(map, 8);
      },
    ),
    { numRuns: 150 },
  );
});

test('hundreds of layers that come and go, while tiers are merged: the map answers as a list would', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0 }), (seed) => {
      const random = new SeededRandom(seed);
      const map = new LayerMap<LayerDescription>();
      const columns = random.pick([2, 12, 40]);
      const live: LayerDescription[] = [];
      const changes = 200 + random.below(1500);
      const removes = random.pick([0.1, 0.45, 0.55]);
      let isMerging = false;
      for (let change = 0; change < changes; change++) {
        if (live.length > 0 && random.chance(removes)) {
          const place = random.pick([0, live.length - 1, random.below(live.length)]);
          map.remove(live.splice(place, 1)[0] as LayerDescription);
        } else {
          const layer = makeLayer({
            kind: random.chance(0.3) ? 'image' : 'delta',
            all: random.chance(0.2),
            column: random.below(columns),
            width: 1 + random.below(random.pick([1, columns])),
            lsn: random.below(LSNS),
            height: 1 + random.below(20),
          });
          live.push(layer);
          map.insert(layer);
        }
        if (random.chance(0.002)) compare(map, columns);
        // The newest ones at once, as what a merge that is under way is made of.
        if (random.chance(0.02)) for (const layer of live.splice(-random.below(60))) map.remove(layer);
        if (random.chance(0.05)) isMerging = map.advance() || isMerging;
        const [column, lsnEnd] = [random.below(columns), 1 + random.below(LSNS + 20)];
        if (nextIn(map, column, lsnEnd) !== nextOf(live, column, lsnEnd)) {
          expect(nextIn(map, column, lsnEnd)).toBe(nextOf(live, column, lsnEnd));
        }
      }
      expect([...map]).toEqual([...new Set(live)]);
      while (map.advance()) isMerging = true;
      compare(map, columns);
      for (const layer of live) map.remove(layer);
      expect(map.size).toBe(0);
      expect(nextIn(map, 0, LSNS + 50)).toBe('none');
    }),
    { numRuns: 12 },
  );
});

/** The LSNs that a read sees values of, newest first, and whether it ends with an image layer. */
function readAll(map: LayerMap<LayerDescription>, column: number, end: number): [number[], boolean] {
  const seen: number[] = [];
  let lsnEnd = end;
  while (map.next(drawnKey(column), lsnEnd, next)) {
    const layer = next.layer as LayerDescription;
    if (layer.kind === 'image') return [seen, true];
    for (let lsn = lsnEnd - 1; lsn >= next.lsnStart; lsn--) {
      if (layer.lsnStart <= lsn && lsn < layer.lsnEnd) seen.push(lsn);
    }
    lsnEnd = next.lsnStart;
  }
  return [seen, false];
}

test('whatever overlaps, a read finds each value above the newest image once, and none below it', () => {
  fc.assert(
    fc.property(
      fc.array(shapes(4), { maxLength: 14 }),
      fc.integer({ min: 1, max: LSNS + 20 }),
      (made, end) => {
        const map = new LayerMap<LayerDescription>();
        const layers = made.map(makeLayer);
        for (const layer of layers) map.insert(layer);
        for (let column = 0; column < 4; column++) {
          const over = layers.filter(
            (layer) => isInRange(layer.keys, drawnKey(column)) && layer.lsnStart < end,
          );
          const floor = Math.max(0, ...over.filter((l) => l.kind === 'image').map((l) => l.lsnEnd));
          // Each LSN that some delta layer holds stands for a value.
          const expected: number[] = [];
          for (let lsn = end - 1; lsn >= floor; lsn--) {
            if (over.some((l) => l.kind === 'delta' && l.lsnStart <= lsn && lsn < l.lsnEnd))
              expected.push(lsn);
          }
          expect(readAll(map, column, end)).toEqual([expected, floor > 0]);
        }
      },
    ),
    { numRuns: 400 },
  );
});
