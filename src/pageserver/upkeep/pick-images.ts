import type { Lsn } from '../../base/lsn.ts';
import { equalKeys } from '../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../keyspace/key-range.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import type { LayerMap } from '../layers/layer-map/layer-map.ts';
import type { Slices } from './slices.ts';

export interface ImageSettings {
  /** So many delta layers above the newest image, level 0 not among them, bring a new image about. */
  readonly imageThreshold: number;
  /** Wanted size of an image layer. */
  readonly targetBytes: number;
}

/** All keys of the range that exist at the LSN are to be written as images at that LSN. */
export interface ImageTask {
  readonly keys: KeyRange;
  readonly lsn: Lsn;
}

/**
 * Where reads at `lsn` have many delta layers to visit. Ranges are widened to what still counts of the image layer that
 * they replace, so that this does not fall to pieces, and neighbours are joined up to about the wanted size. They are
 * ascending and have no key in common. Layers of level 0 do not count: they are over all keys, whatever they hold, and
 * will be compacted.
 *
 * A key that no image can be made of stays deep, and is found each time; but it alone, not its neighbours.
 *
 * How large the images will be nobody knows before they are made: like those that they replace, or, where there are
 * none, like the delta layers.
 *
 * @param lsn at most the end of what has been flushed
 */
export function* pickImages<L extends LayerDescription>(
  map: LayerMap<L>,
  settings: ImageSettings,
  lsn: Lsn,
): Slices<ImageTask[]> {
  const joiner = new Joiner<L>(settings.targetBytes, lsn);
  let run: Run<L> | undefined;
  for (const { keys, image, deltas } of map.readDepths(ALL_KEYS, lsn)) {
    yield;
    // Of a layer that reaches above the LSN, by what is kept beside the last record, an image at that LSN has all there is.
    const isDeep = deltas.length >= settings.imageThreshold && image?.lsnStart !== lsn;
    const replaced = image === undefined ? deltas : [image];
    if (run === undefined || image === undefined || image !== run.image) {
      if (run?.isDeep === true) joiner.add(run);
      run = { image, replaced, keys, isDeep };
    } else {
      run = { image, replaced, keys: { start: run.keys.start, end: keys.end }, isDeep: run.isDeep || isDeep };
    }
  }
  if (run?.isDeep === true) joiner.add(run);
  return joiner.end();
}

/** Neighbouring parts with the same newest image layer, or one part without any. */
interface Run<L> {
  readonly image: L | undefined;
  readonly replaced: readonly L[];
  readonly keys: KeyRange;
  /** Somewhere in it there are many delta layers. */
  readonly isDeep: boolean;
}

/** Makes tasks of ranges, which come in order. */
class Joiner<L extends LayerDescription> {
  readonly #targetBytes: number;
  readonly #lsn: Lsn;
  readonly #tasks: ImageTask[] = [];
  readonly #counted = new Set<L>();
  #open: KeyRange | undefined;
  #openBytes = 0;

  constructor(targetBytes: number, lsn: Lsn) {
    this.#targetBytes = targetBytes;
    this.#lsn = lsn;
  }

  add({ keys, replaced }: Run<L>): void {
    let bytes = 0;
    for (const layer of replaced) {
      if (!this.#counted.has(layer)) bytes += layer.sizeBytes;
      this.#counted.add(layer);
    }
    const isNeighbour = this.#open !== undefined && equalKeys(this.#open.end, keys.start);
    if (!isNeighbour || this.#openBytes + bytes > this.#targetBytes) this.end();
    this.#open = { start: this.#open?.start ?? keys.start, end: keys.end };
    this.#openBytes += bytes;
  }

  end(): ImageTask[] {
    if (this.#open !== undefined) this.#tasks.push({ keys: this.#open, lsn: this.#lsn });
    this.#open = undefined;
    this.#openBytes = 0;
    return this.#tasks;
  }
}
