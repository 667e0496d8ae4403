import { AssertionError } from '../../../base/errors.ts';
import { compareKeys, type Key } from '../../keyspace/key.ts';
import { isInRange, type KeyRange, rangesOverlap } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import type { LayerTier } from './layer-tier.ts';
import type { NewestLayer } from './newest-layer.ts';
import { comparePackedKeys, NUMBERS_PER_KEY, packKey, unpackKey } from './packed-keys.ts';
import { buildTier, mergeTiers, type NumberedLayer, type RemovedLayer } from './tier-builder.ts';

/** Newly inserted layers that are searched one by one, before they become a tier. */
const RECENT_MAX = 32;
/** For so many there is room at first. */
const RECENT_AT_FIRST = 2;
/** Tiers of together no more layers than this are merged at once, without slices. */
const MERGED_AT_ONCE_MAX = 256;
/** A tier has at least this many times the layers of all newer ones together, once all merging is done. */
const TIER_RATIO = 8;

interface Merge<L extends LayerDescription> {
  /** tiers[0, sourceCount) from `first` on. */
  readonly first: number;
  readonly sourceCount: number;
  readonly removed: RemovedLayer[];
  readonly steps: Generator<undefined, LayerTier<L>>;
}

/**
 * Layers of one kind, found by key and LSN. Large tiers that hardly change, and smaller ones for what is newer: each
 * change does a small, bounded piece of the work of merging them, so no call takes long, however many layers there are,
 * and the number of tiers stays small.
 */
export class LayerIndex<L extends LayerDescription> {
  /** Older and larger ones first. */
  readonly #tiers: LayerTier<L>[] = [];
  readonly #recent: NumberedLayer<L>[] = [];
  /** Two packed keys for each recent layer. Small, since most timelines have few layers. */
  #recentKeys = new Float64Array(RECENT_AT_FIRST * 2 * NUMBERS_PER_KEY);
  #merge: Merge<L> | undefined;

  /** @param number higher than those of all earlier insertions */
  insert(layer: L, number: number): void {
    const place = this.#recent.length * 2 * NUMBERS_PER_KEY;
    if (place === this.#recentKeys.length) {
      const larger = new Float64Array(place * 2);
      larger.set(this.#recentKeys);
      this.#recentKeys = larger;
    }
    packKey(this.#recentKeys, place, layer.keys.start);
    packKey(this.#recentKeys, place + NUMBERS_PER_KEY, layer.keys.end);
    this.#recent.push({ layer, number });
    if (this.#recent.length === RECENT_MAX) {
      this.#tiers.push(buildTier(this.#recent));
      this.#recent.length = 0;
      this.#chooseMerges();
    }
    this.advance();
  }

  remove(layer: L, number: number): void {
    const recent = this.#recent.findIndex((each) => each.number === number);
    if (recent >= 0) {
      this.#removeRecent(recent);
    } else {
      const tier = this.#tiers.find((each) => each.remove(layer.lsnStart, number));
      if (tier === undefined) throw new AssertionError('a layer of the map is in none of its tiers');
      this.#merge?.removed.push({ lsnStart: layer.lsnStart, number });
      this.#chooseMerges();
    }
    this.advance();
  }

  /** Does a small piece of the merging that is under way. Returns whether there is more to do. */
  advance(): boolean {
    const merge = this.#merge;
    if (merge === undefined) return false;
    const step = merge.steps.next();
    if (step.done !== true) return true;
    this.#merge = undefined;
    this.#tiers.splice(merge.first, merge.sourceCount, step.value);
    this.#chooseMerges();
    return this.#merge !== undefined;
  }

  /** Offers the newest layer that holds the key and begins below `lsnEnd`. Makes no object. */
  search(packedKey: Float64Array, lsnEnd: number, newest: NewestLayer<L>): void {
    for (let index = 0; index < this.#tiers.length; index++) {
      (this.#tiers[index] as LayerTier<L>).search(packedKey, lsnEnd, newest);
    }
    for (let index = 0; index < this.#recent.length; index++) {
      const { layer } = this.#recent[index] as NumberedLayer<L>;
      if (layer.lsnStart >= lsnEnd || layer.lsnEnd < newest.lsnEnd) continue;
      const place = index * 2 * NUMBERS_PER_KEY;
      if (comparePackedKeys(this.#recentKeys, place, packedKey, 0) > 0) continue;
      if (comparePackedKeys(packedKey, 0, this.#recentKeys, place + NUMBERS_PER_KEY) >= 0) continue;
      newest.offer(layer, layer.lsnStart, layer.lsnEnd);
    }
  }

  /** Adds all layers that hold the key and some LSN of [lsnStart, lsnEnd). @param packedKey the same key */
  collectAt(key: Key, packedKey: Float64Array, lsnStart: number, lsnEnd: number, into: L[]): void {
    for (const tier of this.#tiers) tier.collectAt(packedKey, lsnStart, lsnEnd, into);
    for (const { layer } of this.#recent) {
      if (layer.lsnStart < lsnEnd && layer.lsnEnd > lsnStart && isInRange(layer.keys, key)) into.push(layer);
    }
  }

  /** Adds all layers that hold some key of the range and some LSN of [lsnStart, lsnEnd). */
  collectOverlapping(range: KeyRange, lsnStart: number, lsnEnd: number, into: L[]): void {
    const packed = new Float64Array(2 * NUMBERS_PER_KEY);
    packKey(packed, 0, range.start);
    packKey(packed, NUMBERS_PER_KEY, range.end);
    for (const tier of this.#tiers) tier.collectOverlapping(packed, lsnStart, lsnEnd, into);
    for (const { layer } of this.#recent) {
      if (layer.lsnStart >= lsnEnd || layer.lsnEnd <= lsnStart) continue;
      if (rangesOverlap(layer.keys, range)) into.push(layer);
    }
  }

  /**
   * The lowest key above this one at which a layer begins or ends (or did, before it was removed), if it is below `limit`;
   * else `limit`. @param packedKey the same key
   */
  boundaryAbove(key: Key, packedKey: Float64Array, limit: Key): Key {
    let lowest = limit;
    const offer = (boundary: Key): void => {
      if (compareKeys(boundary, key) > 0 && compareKeys(boundary, lowest) < 0) lowest = boundary;
    };
    for (const tier of this.#tiers) {
      const index = tier.boundaryAbove(packedKey);
      if (index >= 0) offer(unpackKey(tier.arrays.boundaries, index * NUMBERS_PER_KEY));
    }
    for (const { layer } of this.#recent) {
      offer(layer.keys.start);
      offer(layer.keys.end);
    }
    return lowest;
  }

  #removeRecent(index: number): void {
    const last = this.#recent.pop() as NumberedLayer<L>;
    if (index === this.#recent.length) return;
    this.#recent[index] = last;
    const from = this.#recent.length * 2 * NUMBERS_PER_KEY;
    this.#recentKeys.copyWithin(index * 2 * NUMBERS_PER_KEY, from, from + 2 * NUMBERS_PER_KEY);
  }

  /** Drops empty tiers, merges small ones, and begins a merge of larger ones where one is due and none is under way. */
  #chooseMerges(): void {
    for (;;) {
      // Those that are being merged stay as they are; what is newer than them can be merged meanwhile.
      const begin = this.#merge === undefined ? 0 : this.#merge.first + this.#merge.sourceCount;
      for (let index = this.#tiers.length - 1; index >= begin; index--) {
        if ((this.#tiers[index] as LayerTier<L>).liveCount === 0) this.#tiers.splice(index, 1);
      }
      const first = this.#firstToMerge(begin);
      if (first < 0) return;
      const sources = this.#tiers.slice(first);
      const steps = mergeTiers(sources, []);
      if (sources.reduce((sum, tier) => sum + tier.arrays.layers.length, 0) <= MERGED_AT_ONCE_MAX) {
        let step = steps.next();
        while (step.done !== true) step = steps.next();
        this.#tiers.splice(first, sources.length, step.value);
        continue;
      }
      if (this.#merge !== undefined) return;
      const removed: RemovedLayer[] = [];
      this.#merge = { first, sourceCount: sources.length, removed, steps: mergeTiers(sources, removed) };
      return;
    }
  }

  /** Index of the oldest tier, from `begin` on, that is to be merged with all newer ones, or -1. */
  #firstToMerge(begin: number): number {
    let first = -1;
    let newer = 0;
    for (let index = this.#tiers.length - 1; index >= begin; index--) {
      const { liveCount, arrays } = this.#tiers[index] as LayerTier<L>;
      const isMostlyRemoved = 2 * liveCount < arrays.layers.length;
      if (isMostlyRemoved || liveCount < TIER_RATIO * newer) first = index;
      newer += liveCount;
    }
    return first;
  }
}
