import type { Lsn } from '../../../base/lsn.ts';
import type { LayerDescription } from '../layer-description.ts';
import { FANOUT, FANOUT_BITS, LayerTier, nodeEnd, summarize, type TierArrays } from './layer-tier.ts';
import { comparePackedKeys, NUMBERS_PER_KEY, packKey } from './packed-keys.ts';

/** Elementary steps (an entry placed, an entry compared) between two yields: some tens of microseconds. */
const STEPS_PER_SLICE = 4000;

/** A layer with the number that its insertion got. */
export interface NumberedLayer<L> {
  readonly layer: L;
  readonly number: number;
}

/** A layer that was removed while a tier that may hold it was being built. */
export interface RemovedLayer {
  readonly lsnStart: Lsn;
  readonly number: number;
}

/** What the layers and boundaries of a tier are, before there are lists. */
type Layout<L> = Omit<
  TierArrays<L>,
  'leafCount' | 'listOffsets' | 'listCounts' | 'entries' | 'entryEnds' | 'summaries'
>;

/** A tier of few layers, in one go. */
export function buildTier<L extends LayerDescription>(layers: readonly NumberedLayer<L>[]): LayerTier<L> {
  const sorted = [...layers].sort(
    (left, right) => left.layer.lsnStart - right.layer.lsnStart || left.number - right.number,
  );
  const count = sorted.length;
  const keys = new Float64Array(2 * count * NUMBERS_PER_KEY);
  for (const [rank, { layer }] of sorted.entries()) {
    packKey(keys, 2 * rank * NUMBERS_PER_KEY, layer.keys.start);
    packKey(keys, (2 * rank + 1) * NUMBERS_PER_KEY, layer.keys.end);
  }
  const order = Array.from({ length: 2 * count }, (_, index) => index);
  order.sort((left, right) => comparePackedKeys(keys, left * NUMBERS_PER_KEY, keys, right * NUMBERS_PER_KEY));
  const boundaries = new Float64Array(keys.length);
  const partOf = new Int32Array(2 * count);
  let boundaryCount = 0;
  for (const index of order) {
    boundaryCount = appendBoundary(boundaries, boundaryCount, keys, index * NUMBERS_PER_KEY);
    partOf[index] = boundaryCount - 1;
  }
  const layout: Layout<L> = {
    layers: sorted.map(({ layer }) => layer),
    numbers: Float64Array.from(sorted, ({ number }) => number),
    starts: Float64Array.from(sorted, ({ layer }) => layer.lsnStart),
    ends: Float64Array.from(sorted, ({ layer }) => layer.lsnEnd),
    firstParts: partOf.filter((_, index) => index % 2 === 0),
    endParts: partOf.filter((_, index) => index % 2 === 1),
    boundaries,
    boundaryCount,
  };
  const making = withLists(layout);
  for (;;) {
    const step = making.next();
    if (step.done === true) return step.value;
  }
}

/**
 * One tier of all that has not been removed of some: yields after each small piece of work. Meanwhile the old tiers
 * go on answering; a layer that is removed has to be removed there and be added to `removed`, which is emptied.
 */
export function* mergeTiers<L extends LayerDescription>(
  sources: readonly LayerTier<L>[],
  removed: RemovedLayer[],
): Generator<undefined, LayerTier<L>> {
  const layout = yield* mergeLayouts(sources);
  const tier = yield* withLists(layout);
  for (let steps = 0; ; steps += 100) {
    const each = removed.pop();
    if (each === undefined) return tier;
    tier.remove(each.lsnStart, each.number);
    if (steps >= STEPS_PER_SLICE) {
      steps = 0;
      yield;
    }
  }
}

function* mergeLayouts<L extends LayerDescription>(
  sources: readonly LayerTier<L>[],
): Generator<undefined, Layout<L>> {
  const capacity = sources.reduce((sum, source) => sum + source.liveCount, 0);
  const layers: L[] = [];
  const numbers = new Float64Array(capacity);
  const starts = new Float64Array(capacity);
  const ends = new Float64Array(capacity);
  const firstParts = new Int32Array(capacity);
  const endParts = new Int32Array(capacity);
  const origins = new Int32Array(capacity);
  const isUsed = sources.map((source) => new Uint8Array(source.arrays.boundaryCount));
  const heads = new Int32Array(sources.length);
  let steps = 0;
  for (;;) {
    const origin = lowestHead(sources, heads);
    if (origin < 0) break;
    const from = (sources[origin] as LayerTier<L>).arrays;
    const rank = heads[origin] as number;
    heads[origin] = rank + 1;
    // One that is removed from now on is in the list of removed ones.
    if (from.ends[rank] !== 0) {
      const place = layers.length;
      layers.push(from.layers[rank] as L);
      numbers[place] = from.numbers[rank] as number;
      starts[place] = from.starts[rank] as number;
      ends[place] = from.ends[rank] as number;
      firstParts[place] = from.firstParts[rank] as number;
      endParts[place] = from.endParts[rank] as number;
      origins[place] = origin;
      const used = isUsed[origin] as Uint8Array;
      used[from.firstParts[rank] as number] = 1;
      used[from.endParts[rank] as number] = 1;
    }
    steps += 2 * sources.length + 4;
    if (steps >= STEPS_PER_SLICE) {
      steps = 0;
      yield;
    }
  }
  const { boundaries, boundaryCount, partMaps } = yield* mergeBoundaries(sources, isUsed);
  for (let rank = 0; rank < layers.length; rank++) {
    const map = partMaps[origins[rank] as number] as Int32Array;
    firstParts[rank] = map[firstParts[rank] as number] as number;
    endParts[rank] = map[endParts[rank] as number] as number;
    if (rank % STEPS_PER_SLICE === STEPS_PER_SLICE - 1) yield;
  }
  const count = layers.length;
  return {
    layers,
    numbers: numbers.subarray(0, count),
    starts: starts.subarray(0, count),
    ends: ends.subarray(0, count),
    firstParts: firstParts.subarray(0, count),
    endParts: endParts.subarray(0, count),
    boundaries,
    boundaryCount,
  };
}

/** The tier whose next layer is the lowest by (lsnStart, number), -1 when all are through. */
function lowestHead<L extends LayerDescription>(sources: readonly LayerTier<L>[], heads: Int32Array): number {
  let lowest = -1;
  let lowestStart = 0;
  let lowestNumber = 0;
  for (let origin = 0; origin < sources.length; origin++) {
    const { starts, numbers } = (sources[origin] as LayerTier<L>).arrays;
    const rank = heads[origin] as number;
    if (rank >= starts.length) continue;
    const start = starts[rank] as number;
    const number = numbers[rank] as number;
    if (lowest >= 0 && (start > lowestStart || (start === lowestStart && number > lowestNumber))) continue;
    lowest = origin;
    lowestStart = start;
    lowestNumber = number;
  }
  return lowest;
}

interface MergedBoundaries {
  readonly boundaries: Float64Array;
  readonly boundaryCount: number;
  /** By tier: its index of a boundary to the new one. */
  readonly partMaps: readonly Int32Array[];
}

function* mergeBoundaries<L extends LayerDescription>(
  sources: readonly LayerTier<L>[],
  isUsed: readonly Uint8Array[],
): Generator<undefined, MergedBoundaries> {
  const capacity = sources.reduce((sum, source) => sum + source.arrays.boundaryCount, 0);
  const boundaries = new Float64Array(capacity * NUMBERS_PER_KEY);
  const partMaps = sources.map((source) => new Int32Array(source.arrays.boundaryCount));
  const heads = new Int32Array(sources.length);
  let boundaryCount = 0;
  let steps = 0;
  for (;;) {
    let lowest = -1;
    for (let origin = 0; origin < sources.length; origin++) {
      const { boundaryCount: count, boundaries: keys } = (sources[origin] as LayerTier<L>).arrays;
      const used = isUsed[origin] as Uint8Array;
      let head = heads[origin] as number;
      // At most a slice's worth of unused ones are passed over between two yields.
      for (let passed = 0; head < count && used[head] === 0 && passed < STEPS_PER_SLICE; passed++) {
        head++;
        steps++;
      }
      heads[origin] = head;
      if (head >= count) continue;
      if (used[head] === 0) {
        lowest = -2;
        break;
      }
      if (
        lowest < 0 ||
        comparePackedKeys(
          keys,
          head * NUMBERS_PER_KEY,
          (sources[lowest] as LayerTier<L>).arrays.boundaries,
          (heads[lowest] as number) * NUMBERS_PER_KEY,
        ) < 0
      ) {
        lowest = origin;
      }
    }
    if (lowest === -1) return { boundaries, boundaryCount, partMaps };
    if (lowest >= 0) {
      const head = heads[lowest] as number;
      const { boundaries: keys } = (sources[lowest] as LayerTier<L>).arrays;
      boundaryCount = appendBoundary(boundaries, boundaryCount, keys, head * NUMBERS_PER_KEY);
      (partMaps[lowest] as Int32Array)[head] = boundaryCount - 1;
      heads[lowest] = head + 1;
    }
    steps += 3 * sources.length + 4;
    if (steps >= STEPS_PER_SLICE) {
      steps = 0;
      yield;
    }
  }
}

/** Appends the key unless it is the last already. Returns the count of boundaries afterwards. */
function appendBoundary(boundaries: Float64Array, count: number, keys: Float64Array, offset: number): number {
  const place = count * NUMBERS_PER_KEY;
  if (count > 0 && comparePackedKeys(boundaries, place - NUMBERS_PER_KEY, keys, offset) === 0) return count;
  boundaries[place] = keys[offset] as number;
  boundaries[place + 1] = keys[offset + 1] as number;
  boundaries[place + 2] = keys[offset + 2] as number;
  return count + 1;
}

function* withLists<L extends LayerDescription>(layout: Layout<L>): Generator<undefined, LayerTier<L>> {
  const partCount = Math.max(1, layout.boundaryCount - 1);
  let leafCount = 1;
  while (leafCount < partCount) leafCount *= 2;
  const listCounts = new Int32Array(2 * leafCount);
  const listOffsets = new Int32Array(2 * leafCount);
  yield* placeInLists(layout, leafCount, (node) => {
    listCounts[node] = (listCounts[node] as number) + 1;
  });
  let length = 0;
  for (let node = 1; node < 2 * leafCount; node++) {
    const count = listCounts[node] as number;
    let alignment = 1;
    while (count > alignment * FANOUT) alignment *= FANOUT;
    length = Math.ceil(length / alignment) * alignment;
    listOffsets[node] = length;
    length += count;
    if (node % STEPS_PER_SLICE === 0) yield;
  }
  const entries = new Int32Array(length);
  const entryEnds = new Float64Array(length);
  const { ends } = layout;
  // Filled by rank, so each list is ascending. The offsets move along and are put back afterwards.
  yield* placeInLists(layout, leafCount, (node, rank) => {
    const position = listOffsets[node] as number;
    entries[position] = rank;
    entryEnds[position] = ends[rank] as number;
    listOffsets[node] = position + 1;
  });
  for (let node = 1; node < 2 * leafCount; node++) {
    listOffsets[node] = (listOffsets[node] as number) - (listCounts[node] as number);
    if (node % STEPS_PER_SLICE === 0) yield;
  }
  const summaries: Int32Array[] = [];
  while (length > FANOUT) {
    length = Math.ceil(length / FANOUT);
    const level = summaries.length;
    summaries.push(new Int32Array(length));
    for (let index = 0; index < length; index++) {
      summarize(summaries, level, index, entryEnds);
      if (index % (STEPS_PER_SLICE >> FANOUT_BITS) === 0) yield;
    }
  }
  return new LayerTier({ ...layout, leafCount, listOffsets, listCounts, entries, entryEnds, summaries });
}

/** Calls `place` for each node whose list each layer is in, by rank. */
function* placeInLists<L extends LayerDescription>(
  layout: Layout<L>,
  leafCount: number,
  place: (node: number, rank: number) => void,
): Generator<undefined, void> {
  const { firstParts, endParts } = layout;
  const partCount = layout.boundaryCount - 1;
  let steps = 0;
  for (let rank = 0; rank < firstParts.length; rank++) {
    let left = leafCount + (firstParts[rank] as number);
    let right = nodeEnd(leafCount, partCount, endParts[rank] as number);
    for (; left < right; left >>>= 1, right >>>= 1) {
      if ((left & 1) === 1) place(left++, rank);
      if ((right & 1) === 1) place(--right, rank);
      steps += 2;
    }
    if (steps >= STEPS_PER_SLICE) {
      steps = 0;
      yield;
    }
  }
}
