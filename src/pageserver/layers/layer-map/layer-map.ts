import { AssertionError } from '../../../base/errors.ts';
import type { Lsn } from '../../../base/lsn.ts';
import { compareKeys, type Key } from '../../keyspace/key.ts';
import { ALL_KEYS, equalRanges, type KeyRange } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import { LayerIndex } from './layer-index.ts';
import { NewestLayer } from './newest-layer.ts';
import { NUMBERS_PER_KEY, packKey } from './packed-keys.ts';

/** Where a read goes on: to be used again and again. */
export interface NextLayer<L> {
  layer: L | undefined;
  /**
   * Values of this LSN and above are to be taken from the layer; after a delta layer the read goes on below it. From an
   * image layer there is one value at most, and the read ends with it.
   */
  lsnStart: number;
}

/** A part of the keys with the same layers everywhere. */
export interface ReadDepth<L> {
  readonly keys: KeyRange;
  /** The newest image layer. */
  readonly image: L | undefined;
  /** Delta layers that hold LSNs above that image, level 0 not among them. */
  readonly deltas: readonly L[];
  /** Layers of level 0 that hold LSNs above that image. */
  readonly level0: readonly L[];
}

/** A delta layer over all keys: it was written from memory as it was, and not yet compacted. */
export const isLevel0 = (layer: LayerDescription): boolean =>
  layer.kind === 'delta' && equalRanges(layer.keys, ALL_KEYS);

/**
 * The layers of a timeline, found by key and LSN. Lookups take O(log² n); insertions and removals are bounded pieces of
 * work, whatever the number of layers.
 *
 * Delta layers may overlap, key and LSN, as long as each holds all values of its keys and LSNs: then it does not matter
 * from which one an LSN is read, as long as it is from one of them.
 */
export class LayerMap<L extends LayerDescription> {
  readonly #numbers = new Map<L, number>();
  readonly #deltas = new LayerIndex<L>();
  readonly #images = new LayerIndex<L>();
  readonly #level0: L[] = [];
  #lastNumber = 0;
  readonly #packedKey = new Float64Array(NUMBERS_PER_KEY);
  readonly #delta = new NewestLayer<L>();
  readonly #image = new NewestLayer<L>();

  get size(): number {
    return this.#numbers.size;
  }

  /** In the order of insertion. */
  [Symbol.iterator](): IterableIterator<L> {
    return this.#numbers.keys();
  }

  has(layer: L): boolean {
    return this.#numbers.has(layer);
  }

  /** Delta layers over all keys, oldest first. */
  get level0(): readonly L[] {
    return this.#level0;
  }

  insert(layer: L): void {
    if (this.#numbers.has(layer)) throw new AssertionError('the layer is in the map already');
    if (layer.lsnEnd <= layer.lsnStart || compareKeys(layer.keys.start, layer.keys.end) >= 0) {
      throw new AssertionError('a layer of no LSN or no key', { lsn: layer.lsnStart });
    }
    if (layer.kind === 'image' && layer.lsnEnd !== layer.lsnStart + 1) {
      throw new AssertionError('an image layer is of one LSN', { lsn: layer.lsnStart });
    }
    const number = ++this.#lastNumber;
    this.#numbers.set(layer, number);
    this.#indexOf(layer).insert(layer, number);
    if (isLevel0(layer)) this.#level0.splice(this.#placeInLevel0(layer), 0, layer);
  }

  remove(layer: L): void {
    const number = this.#numbers.get(layer);
    if (number === undefined) throw new AssertionError('the layer is not in the map');
    this.#numbers.delete(layer);
    this.#indexOf(layer).remove(layer, number);
    if (!isLevel0(layer)) return;
    let place = this.#placeInLevel0(layer) - 1;
    while (this.#level0[place] !== layer) place--;
    this.#level0.splice(place, 1);
  }

  /** Removes and adds in one step, as far as any read can see. */
  replace(removed: Iterable<L>, added: Iterable<L>): void {
    for (const layer of added) this.insert(layer);
    for (const layer of removed) this.remove(layer);
  }

  /**
   * Does a small piece of reorganizing that is under way. Every change does one of its own accord; nobody has to call
   * this, but lookups get faster if someone does while there is time. Returns whether there is more to do.
   */
  advance(): boolean {
    const isMoreOfDeltas = this.#deltas.advance();
    return this.#images.advance() || isMoreOfDeltas;
  }

  /**
   * Puts into `next` which layer a read of `key` for values below `lsnEnd` has to visit next. Returns false if no layer
   * has any. Makes no object.
   *
   * It is the newest delta layer, unless an image layer is as new: then that one. No value below the newest image layer
   * matters, so values are taken from a delta layer only above it.
   */
  next(key: Key, lsnEnd: number, next: NextLayer<L>): boolean {
    const image = this.#image;
    const delta = this.#delta;
    packKey(this.#packedKey, 0, key);
    image.clear();
    delta.clear();
    this.#images.search(this.#packedKey, lsnEnd, image);
    this.#deltas.search(this.#packedKey, lsnEnd, delta);
    if (delta.lsnEnd > image.lsnEnd && lsnEnd > image.lsnEnd) {
      next.layer = delta.layer;
      // The end of an image layer is where the LSNs begin that it does not contain.
      next.lsnStart = Math.max(delta.lsnStart, image.lsnEnd);
      return true;
    }
    next.layer = image.layer;
    next.lsnStart = image.lsnStart;
    return image.lsnEnd > 0;
  }

  /** The newest image layer over the key with an LSN of [lsnFrom, lsnTo]. */
  newestImage(key: Key, lsnFrom: number, lsnTo: number): L | undefined {
    packKey(this.#packedKey, 0, key);
    this.#image.clear();
    this.#images.search(this.#packedKey, lsnTo + 1, this.#image);
    return this.#image.lsnEnd > lsnFrom ? this.#image.layer : undefined;
  }

  /** Whether each key of the range is in an image layer with an LSN of [lsnFrom, lsnTo]. */
  isCoveredByImages(range: KeyRange, lsnFrom: number, lsnTo: number): boolean {
    if (lsnTo < lsnFrom) return false;
    let position = range.start;
    while (compareKeys(position, range.end) < 0) {
      const image = this.newestImage(position, lsnFrom, lsnTo);
      if (image === undefined) return false;
      position = image.keys.end;
    }
    return true;
  }

  /** The parts of the range, ascending, that no image layer with an LSN of [lsnFrom, lsnTo] covers. */
  *imageGaps(range: KeyRange, lsnFrom: number, lsnTo: number): Generator<KeyRange, void> {
    let position = range.start;
    let gapStart: Key | undefined;
    while (compareKeys(position, range.end) < 0) {
      const image = this.newestImage(position, lsnFrom, lsnTo);
      if (image === undefined) {
        gapStart ??= position;
        position = this.#boundaryAbove(this.#images, position, range.end);
        continue;
      }
      if (gapStart !== undefined) yield { start: gapStart, end: position };
      gapStart = undefined;
      position = image.keys.end;
    }
    if (gapStart !== undefined) yield { start: gapStart, end: range.end };
  }

  /**
   * What a read at `lsn` may have to visit, for each part of the range, ascending: neighbours may be of the same layers.
   * Parts are computed as they are asked for, from the layers that there are then.
   */
  *readDepths(range: KeyRange, lsn: Lsn): Generator<ReadDepth<L>, void> {
    let position = range.start;
    while (compareKeys(position, range.end) < 0) {
      let end = this.#boundaryAbove(this.#images, position, range.end);
      end = this.#boundaryAbove(this.#deltas, position, end);
      const image = this.newestImage(position, 0, lsn);
      const above: L[] = [];
      packKey(this.#packedKey, 0, position);
      this.#deltas.collectAt(position, this.#packedKey, image?.lsnEnd ?? 0, lsn + 1, above);
      yield {
        keys: { start: position, end },
        image,
        deltas: above.filter((layer) => !isLevel0(layer)),
        level0: above.filter(isLevel0),
      };
      position = end;
    }
  }

  /** The lowest key above `key` at which some layer may begin or end, at most `limit`. */
  boundaryAbove(key: Key, limit: Key): Key {
    return this.#boundaryAbove(this.#deltas, key, this.#boundaryAbove(this.#images, key, limit));
  }

  /** All layers that hold the key and some LSN of [lsnStart, lsnEnd), in no order. */
  layersAt(key: Key, lsnStart: Lsn, lsnEnd: number): L[] {
    const found: L[] = [];
    packKey(this.#packedKey, 0, key);
    this.#deltas.collectAt(key, this.#packedKey, lsnStart, lsnEnd, found);
    this.#images.collectAt(key, this.#packedKey, lsnStart, lsnEnd, found);
    return found;
  }

  /** All layers that hold some key of the range and some LSN of [lsnStart, lsnEnd), in no order. O(n), but quick. */
  overlapping(range: KeyRange, lsnStart: Lsn, lsnEnd: number): L[] {
    const found: L[] = [];
    this.#deltas.collectOverlapping(range, lsnStart, lsnEnd, found);
    this.#images.collectOverlapping(range, lsnStart, lsnEnd, found);
    return found;
  }

  #indexOf(layer: L): LayerIndex<L> {
    return layer.kind === 'image' ? this.#images : this.#deltas;
  }

  #boundaryAbove(index: LayerIndex<L>, key: Key, limit: Key): Key {
    packKey(this.#packedKey, 0, key);
    return index.boundaryAbove(key, this.#packedKey, limit);
  }

  /** Behind all layers of level 0 that begin where this one begins or below. */
  #placeInLevel0(layer: L): number {
    let low = 0;
    let high = this.#level0.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#level0[middle] as L).lsnStart <= layer.lsnStart) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
