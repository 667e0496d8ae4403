import type { LayerDescription } from '../layer-description.ts';
import type { NewestLayer } from './newest-layer.ts';
import { comparePackedKeys, countAtOrBelow, NUMBERS_PER_KEY } from './packed-keys.ts';

/** Entries of a list that one entry of the summary above stands for. */
export const FANOUT_BITS = 4;
export const FANOUT: number = 1 << FANOUT_BITS;

/** The arrays that a tier consists of: see tier-builder.ts, which makes them. */
export interface TierArrays<L> {
  /** By (lsnStart, number of insertion). A layer's place here is its *rank*. */
  readonly layers: readonly L[];
  /** By rank: the number of insertion. */
  readonly numbers: Float64Array;
  /** By rank. */
  readonly starts: Float64Array;
  /** By rank; 0 for a layer that has been removed. */
  readonly ends: Float64Array;
  /** By rank: where the layer's keys begin and end, as indexes of `boundaries`. */
  readonly firstParts: Int32Array;
  readonly endParts: Int32Array;
  /** Packed keys, ascending, all that a layer begins or ends with: part n of the keys lies between n and n + 1. */
  readonly boundaries: Float64Array;
  readonly boundaryCount: number;
  /** Power of two, at least the number of parts. */
  readonly leafCount: number;
  /**
   * A tree over the parts: 1 is the root, the children of n are 2n and 2n + 1, part p is `leafCount + p`. Each node has
   * a list of layers, by rank: those that cover all keys of the node, and not all of its parent's.
   */
  readonly listOffsets: Int32Array;
  readonly listCounts: Int32Array;
  /** The lists one after another: ranks. A list of more than FANOUT^k begins at a multiple of FANOUT^k. */
  readonly entries: Int32Array;
  /** By position in `entries`: the end of that layer, 0 when it has been removed. */
  readonly entryEnds: Float64Array;
  /**
   * summaries[0][n]: the position of the highest end (of the first of those) among the FANOUT positions from
   * n * FANOUT on; summaries[1] the same of FANOUT^2 positions, and so on.
   */
  readonly summaries: readonly Int32Array[];
}

/** Layers that are found by key and LSN in O(log² n). None can be added, but they can be removed. */
export class LayerTier<L extends LayerDescription> {
  readonly arrays: TierArrays<L>;
  /** How many layers have not been removed. */
  liveCount: number;

  constructor(arrays: TierArrays<L>) {
    this.arrays = arrays;
    this.liveCount = arrays.layers.length;
  }

  /** Offers the newest layer that holds the key and begins below `lsnEnd`. Makes no object. */
  search(packedKey: Float64Array, lsnEnd: number, newest: NewestLayer<L>): void {
    const part = this.#partOf(packedKey);
    if (part < 0) return;
    const { starts, listCounts, listOffsets, entries, entryEnds, layers } = this.arrays;
    const rankEnd = countBelow(starts, starts.length, lsnEnd);
    if (rankEnd === 0) return;
    for (let node = this.arrays.leafCount + part; node >= 1; node >>>= 1) {
      const count = listCounts[node] as number;
      if (count === 0) continue;
      const from = listOffsets[node] as number;
      const to = firstAtOrAbove(entries, from, from + count, rankEnd);
      if (to === from) continue;
      const position = this.#best(from, to);
      if (position < 0) continue;
      const rank = entries[position] as number;
      newest.offer(layers[rank] as L, starts[rank] as number, entryEnds[position] as number);
    }
  }

  /** Adds all layers that hold the key and some LSN of [lsnStart, lsnEnd). */
  collectAt(packedKey: Float64Array, lsnStart: number, lsnEnd: number, into: L[]): void {
    const part = this.#partOf(packedKey);
    if (part < 0) return;
    const { starts, listCounts, listOffsets, entries, entryEnds, layers } = this.arrays;
    const rankEnd = countBelow(starts, starts.length, lsnEnd);
    for (let node = this.arrays.leafCount + part; node >= 1; node >>>= 1) {
      const from = listOffsets[node] as number;
      const to = firstAtOrAbove(entries, from, from + (listCounts[node] as number), rankEnd);
      for (let position = from; position < to; position++) {
        if ((entryEnds[position] as number) > lsnStart) into.push(layers[entries[position] as number] as L);
      }
    }
  }

  /** Adds all layers that hold some key of the range and some LSN of [lsnStart, lsnEnd). @param packedRange two keys */
  collectOverlapping(packedRange: Float64Array, lsnStart: number, lsnEnd: number, into: L[]): void {
    const { starts, ends, firstParts, endParts, layers, boundaries, boundaryCount } = this.arrays;
    const firstPart = countAtOrBelow(boundaries, boundaryCount, packedRange, 0) - 1;
    let endPart = countAtOrBelow(boundaries, boundaryCount, packedRange, NUMBERS_PER_KEY);
    // A layer that begins exactly where the range ends is outside of it.
    const last = (endPart - 1) * NUMBERS_PER_KEY;
    if (endPart > 0 && comparePackedKeys(boundaries, last, packedRange, NUMBERS_PER_KEY) === 0) endPart--;
    const rankEnd = countBelow(starts, starts.length, lsnEnd);
    for (let rank = 0; rank < rankEnd; rank++) {
      if ((ends[rank] as number) <= lsnStart) continue;
      if ((firstParts[rank] as number) < endPart && (endParts[rank] as number) > firstPart) {
        into.push(layers[rank] as L);
      }
    }
  }

  /** Index of the first boundary above the key, or -1. */
  boundaryAbove(packedKey: Float64Array): number {
    const { boundaries, boundaryCount } = this.arrays;
    const index = countAtOrBelow(boundaries, boundaryCount, packedKey, 0);
    return index < boundaryCount ? index : -1;
  }

  /** Whether the layer was here. */
  remove(lsnStart: number, number: number): boolean {
    const { starts, ends, numbers, firstParts, endParts, leafCount } = this.arrays;
    let rank = countBelow(starts, starts.length, lsnStart);
    // Among equal starts by the number of insertion.
    let high = countBelow(starts, starts.length, lsnStart + 1);
    while (rank < high) {
      const middle = (rank + high) >>> 1;
      if ((numbers[middle] as number) < number) rank = middle + 1;
      else high = middle;
    }
    if (starts[rank] !== lsnStart || numbers[rank] !== number || ends[rank] === 0) return false;
    ends[rank] = 0;
    this.liveCount--;
    let left = leafCount + (firstParts[rank] as number);
    let right = nodeEnd(leafCount, this.arrays.boundaryCount - 1, endParts[rank] as number);
    for (; left < right; left >>>= 1, right >>>= 1) {
      if ((left & 1) === 1) this.#removeFrom(left++, rank);
      if ((right & 1) === 1) this.#removeFrom(--right, rank);
    }
    return true;
  }

  /** The part of the keys that the key lies in, -1 outside of all of them. */
  #partOf(packedKey: Float64Array): number {
    const { boundaries, boundaryCount } = this.arrays;
    const part = countAtOrBelow(boundaries, boundaryCount, packedKey, 0) - 1;
    return part < boundaryCount - 1 ? part : -1;
  }

  /** Position of the highest end among [from, to) of a list that begins at `from`, the first of those; -1 if all are removed. */
  #best(from: number, to: number): number {
    const { entryEnds, summaries } = this.arrays;
    let best = -1;
    let bestEnd = 1;
    let low = from;
    let high = to;
    for (let level = 0; ; level++) {
      const isLast = high - low <= FANOUT;
      const stop = isLast ? low : high - (high & (FANOUT - 1));
      const summary = level === 0 ? undefined : (summaries[level - 1] as Int32Array);
      for (let index = high - 1; index >= stop; index--) {
        const position = summary === undefined ? index : (summary[index] as number);
        const end = entryEnds[position] as number;
        if (end >= bestEnd) {
          best = position;
          bestEnd = end;
        }
      }
      if (isLast) return best;
      low >>>= FANOUT_BITS;
      high = stop >>> FANOUT_BITS;
    }
  }

  #removeFrom(node: number, rank: number): void {
    const { listOffsets, listCounts, entries, entryEnds, summaries } = this.arrays;
    const from = listOffsets[node] as number;
    const position = firstAtOrAbove(entries, from, from + (listCounts[node] as number), rank);
    entryEnds[position] = 0;
    let index = position;
    for (let level = 0; level < summaries.length; level++) {
      index >>>= FANOUT_BITS;
      summarize(summaries, level, index, entryEnds);
    }
  }
}

/** How many of the first `count` ascending numbers are below `limit`. */
function countBelow(sorted: Float64Array, count: number, limit: number): number {
  if (count === 0 || (sorted[count - 1] as number) < limit) return count;
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** First position of ascending `entries[from, to)` whose rank is at or above `rank`; `to` if there is none. */
function firstAtOrAbove(entries: Int32Array, from: number, to: number, rank: number): number {
  if (from === to || (entries[to - 1] as number) < rank) return to;
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as number) < rank) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Exclusive end, among the leaves, of a layer that ends with part `endPart`. What ends with the last part is taken to
 * cover the unused leaves behind it too, so that a layer over all keys is in the list of the root alone.
 */
export function nodeEnd(leafCount: number, partCount: number, endPart: number): number {
  return leafCount + (endPart === partCount ? leafCount : endPart);
}

/** Computes one entry of a summary anew. */
export function summarize(
  summaries: readonly Int32Array[],
  level: number,
  index: number,
  entryEnds: Float64Array,
): void {
  const below = level === 0 ? undefined : (summaries[level - 1] as Int32Array);
  const length = below === undefined ? entryEnds.length : below.length;
  const to = Math.min(length, (index + 1) << FANOUT_BITS);
  let best = -1;
  let bestEnd = -1;
  for (let each = index << FANOUT_BITS; each < to; each++) {
    const position = below === undefined ? each : (below[each] as number);
    const end = entryEnds[position] as number;
    if (end > bestEnd) {
      best = position;
      bestEnd = end;
    }
  }
  (summaries[level] as Int32Array)[index] = best;
}
