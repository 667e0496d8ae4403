import type { Lsn } from '../../src/base/lsn.ts';
import type { KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import { ALL_KEYS, isInRange } from '../../src/pageserver/keyspace/key-range.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import { LayerMap, type NextLayer } from '../../src/pageserver/layers/layer-map/layer-map.ts';
import { drawnKey, drawnRange } from './layer-drawing.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A value in the model: what a key is, is the texts from the newest base on, one after another. */
export interface ModelValue {
  readonly lsn: Lsn;
  readonly isBase: boolean;
  readonly text: string;
}

/** A layer with what it holds, by column. */
export interface ModelLayer extends LayerDescription {
  readonly values: ReadonlyMap<number, readonly ModelValue[]>;
}

/** What has happened to a few keys, and layers that hold it: some of it more than once, none of it wrongly. */
export class LayerHistory {
  readonly columns: number;
  readonly lsnEnd: number;
  readonly map = new LayerMap<ModelLayer>();
  readonly #versions: ModelValue[][];

  constructor(random: SeededRandom) {
    this.columns = 1 + random.below(8);
    this.lsnEnd = 10 + random.below(60);
    const density = random.pick([0.05, 0.3, 0.8]);
    const bases = random.pick([0, 0.1, 0.5]);
    this.#versions = Array.from({ length: this.columns }, () => {
      const versions: ModelValue[] = [];
      for (let lsn = 1; lsn < this.lsnEnd; lsn++) {
        if (!random.chance(density)) continue;
        const isBase = random.chance(bases);
        versions.push({ lsn: lsn as Lsn, isBase, text: `${isBase ? '=' : '+'}${lsn}` });
      }
      return versions;
    });
    this.#makeDeltas(random);
    const images = random.below(14);
    for (let image = 0; image < images; image++) {
      this.map.insert(this.makeImage(this.#randomRange(random), random.below(this.lsnEnd)));
    }
  }

  /** What the key was, whatever layers there are. */
  stateAt(column: number, lsn: number): string {
    return fold((this.#versions[column] as ModelValue[]).filter((version) => version.lsn <= lsn));
  }

  /** What a read finds in the layers of the map. */
  read(column: number, lsn: number, map: LayerMap<ModelLayer> = this.map): string {
    const found: ModelValue[] = [];
    const next: NextLayer<ModelLayer> = { layer: undefined, lsnStart: 0 };
    for (let lsnEnd = lsn + 1; map.next(drawnKey(column), lsnEnd, next); lsnEnd = next.lsnStart) {
      const layer = next.layer as ModelLayer;
      const { lsnStart } = next;
      const values = (layer.values.get(column) ?? []).filter(
        (value) => value.lsn >= lsnStart && value.lsn < lsnEnd,
      );
      found.unshift(...values);
      if (layer.kind === 'image' || values.some((value) => value.isBase)) break;
    }
    return fold(found);
  }

  makeDelta(keys: KeyRange, lsnStart: number, lsnEnd: number): ModelLayer {
    return this.makeLayer('delta', keys, lsnStart, lsnEnd, (column) =>
      (this.#versions[column] as ModelValue[]).filter(({ lsn }) => lsn >= lsnStart && lsn < lsnEnd),
    );
  }

  makeImage(keys: KeyRange, lsn: number): ModelLayer {
    return this.makeLayer('image', keys, lsn, lsn + 1, (column) => {
      const text = this.stateAt(column, lsn);
      return text === '' ? [] : [{ lsn: lsn as Lsn, isBase: true, text }];
    });
  }

  makeLayer(
    kind: 'delta' | 'image',
    keys: KeyRange,
    lsnStart: number,
    lsnEnd: number,
    valuesOf: (column: number) => readonly ModelValue[],
  ): ModelLayer {
    const values = new Map<number, readonly ModelValue[]>();
    for (let column = 0; column < this.columns; column++) {
      if (isInRange(keys, drawnKey(column))) values.set(column, valuesOf(column));
    }
    const sizeBytes = 1;
    return { kind, keys, lsnStart: lsnStart as Lsn, lsnEnd: lsnEnd as Lsn, generation: 1, sizeBytes, values };
  }

  /** Bands of LSNs, each in level 0, or compacted, or both. */
  #makeDeltas(random: SeededRandom): void {
    const level0 = random.pick([0, 0, 0.2]);
    for (let lsn = 0; lsn < this.lsnEnd; ) {
      const end = Math.min(this.lsnEnd, lsn + 1 + random.below(20));
      const isCompacted = !random.chance(level0);
      if (isCompacted) {
        for (let column = 0; column < this.columns; ) {
          const columnEnd = Math.min(this.columns, column + 1 + random.below(this.columns));
          this.map.insert(this.makeDelta(drawnRange(column, columnEnd), lsn, end));
          column = columnEnd;
        }
      }
      if (!isCompacted || random.chance(level0 / 2)) this.map.insert(this.makeDelta(ALL_KEYS, lsn, end));
      if (random.chance(0.2)) {
        const start = random.below(this.lsnEnd);
        this.map.insert(this.makeDelta(this.#randomRange(random), start, start + 1 + random.below(20)));
      }
      lsn = end;
    }
  }

  #randomRange(random: SeededRandom): KeyRange {
    const start = random.below(this.columns);
    return drawnRange(start, start + 1 + random.below(this.columns - start));
  }
}

function fold(versions: readonly ModelValue[]): string {
  const base = versions.findLastIndex((version) => version.isBase);
  return versions
    .slice(Math.max(0, base))
    .map((version) => version.text)
    .join('');
}
