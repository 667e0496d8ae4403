/** Where keys and LSNs stand in a picture of layers. */
import { formatLsn } from '../../base/lsn.ts';
import { compareKeys, equalKeys, formatKey, KEY_MAX, KEY_MIN, type Key } from '../keyspace/key.ts';
import { KIND_RELATION_BLOCK, slruBlockKey } from '../keyspace/keys.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { boundaryText, forkText, isSameStem, kindText } from './key-text.ts';

/** A place on an axis that has a name. */
export interface Tick {
  readonly position: number;
  readonly label: string;
}

/** Neighbouring columns of one kind of key. */
export interface KindBand {
  readonly start: number;
  readonly end: number;
  readonly label: string;
}

const LSN_TICKS_MAX = 10;
/** No key is between the last block of a relation and this. */
const FIRST_SLRU_PAGE = slruBlockKey('clog', 0);

/**
 * The boundaries of all layers, side by side at one distance. Keys are sparse: by their numbers, nearly all of the
 * picture would be empty.
 */
export class KeyAxis {
  readonly #boundaries: readonly Key[];
  readonly #columns: ReadonlyMap<string, number>;
  readonly #start: number;
  readonly #width: number;

  constructor(layers: readonly LayerDescription[], start: number, widthOf: (columns: number) => number) {
    const all = new Map([KEY_MIN, KEY_MAX].map((key) => [formatKey(key), key]));
    for (const { keys } of layers) {
      for (const key of [keys.start, keys.end]) all.set(formatKey(key), key);
    }
    this.#boundaries = [...all.values()].sort(compareKeys);
    this.#columns = new Map(this.#boundaries.map((key, index) => [formatKey(key), index]));
    this.#start = start;
    this.#width = widthOf(this.columns);
  }

  get columns(): number {
    return this.#boundaries.length - 1;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#start + this.#width;
  }

  /** @param key a boundary of one of the layers */
  positionOf(key: Key): number {
    return this.#at(this.#columns.get(formatKey(key)) as number);
  }

  /** Names for as many boundaries as there is room for, at this distance: those first that tell most. */
  ticks(distance: number): Tick[] {
    const ranked = this.#boundaries
      .map((key, index) => ({ index, rank: this.#rankOf(key, index) }))
      .sort((left, right) => left.rank - right.rank || left.index - right.index);
    const taken: number[] = [];
    for (const { index } of ranked) {
      const position = this.#at(index);
      if (taken.every((other) => Math.abs(this.#at(other) - position) >= distance)) taken.push(index);
    }
    return taken
      .sort((left, right) => left - right)
      .map((index) => ({ position: this.#at(index), label: this.#labelOf(index) }));
  }

  /** Where one relation, or kind of key, ends and the next one begins. */
  stems(): number[] {
    return this.#boundaries.flatMap((key, index) => (this.#rankOf(key, index) < 3 ? [this.#at(index)] : []));
  }

  kinds(): KindBand[] {
    const bands: { start: number; end: number; label: string }[] = [];
    for (let column = 0; column < this.columns; column++) {
      const label = this.#kindOf(column);
      const last = bands.at(-1);
      if (last?.label === label) last.end = this.#at(column + 1);
      else bands.push({ start: this.#at(column), end: this.#at(column + 1), label });
    }
    return bands;
  }

  #at(boundary: number): number {
    return this.#start + (boundary / this.columns) * this.#width;
  }

  /** The ends first, then where kinds begin, then relations, then the rest. */
  #rankOf(key: Key, index: number): number {
    const before = this.#boundaries[index - 1];
    if (before === undefined || index === this.columns) return 0;
    if (before.kind !== key.kind) return 1;
    return isSameStem(before, key) ? 3 : 2;
  }

  #labelOf(index: number): string {
    const key = this.#boundaries[index] as Key;
    const before = this.#boundaries[index - 1];
    if (before === undefined) return 'the beginning';
    if (key.kind !== KIND_RELATION_BLOCK) return boundaryText(key);
    if (isSameStem(before, key)) return `block ${key.index}`;
    return key.index === 0 ? forkText(key) : boundaryText(key);
  }

  #kindOf(column: number): string {
    const start = this.#boundaries[column] as Key;
    const end = this.#boundaries[column + 1] as Key;
    if (start.kind === end.kind) return kindText(start.kind);
    const isEnd = equalKeys(end, { ...KEY_MIN, kind: start.kind + 1 }) || equalKeys(end, FIRST_SLRU_PAGE);
    if (equalKeys(end, KEY_MAX)) return `${kindText(start.kind)} … the end`;
    return isEnd ? kindText(start.kind) : `${kindText(start.kind)} … ${kindText(end.kind)}`;
  }
}

/** LSNs at their distances, the newest on top. */
export class LsnAxis {
  readonly #top: number;
  readonly #height: number;
  readonly #lowest: number;
  readonly #highest: number;

  /** @param lsns all that are to be in the picture */
  constructor(lsns: readonly number[], top: number, height: number) {
    this.#top = top;
    this.#height = height;
    const lowest = lsns.reduce((min, lsn) => Math.min(min, lsn), Number.POSITIVE_INFINITY);
    const highest = lsns.reduce((max, lsn) => Math.max(max, lsn), 0);
    const margin = Math.max(16, (highest - lowest) * 0.04);
    this.#lowest = Math.max(0, lowest - margin);
    this.#highest = highest + margin;
  }

  get top(): number {
    return this.#top;
  }

  get bottom(): number {
    return this.#top + this.#height;
  }

  positionOf(lsn: number): number {
    return this.#top + ((this.#highest - lsn) / (this.#highest - this.#lowest)) * this.#height;
  }

  /** At multiples of a power of two. */
  ticks(): Tick[] {
    let step = 1;
    while ((this.#highest - this.#lowest) / step > LSN_TICKS_MAX) step *= 2;
    const ticks: Tick[] = [];
    for (let lsn = Math.ceil(this.#lowest / step) * step; lsn <= this.#highest; lsn += step) {
      ticks.push({ position: this.positionOf(lsn), label: formatLsn(lsn) });
    }
    return ticks;
  }
}
