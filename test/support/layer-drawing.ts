import type { Lsn } from '../../src/base/lsn.ts';
import type { Key } from '../../src/pageserver/keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../../src/pageserver/keyspace/key-range.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import { LayerMap } from '../../src/pageserver/layers/layer-map/layer-map.ts';

/** A layer of a drawing, named by its letter. */
export interface DrawnLayer extends LayerDescription {
  readonly name: string;
  /** As many as there are keys drawn times LSNs. */
  readonly sizeBytes: number;
}

export interface LayerDrawing {
  readonly layers: DrawnLayer[];
  readonly map: LayerMap<DrawnLayer>;
  /** How many columns there are. */
  readonly width: number;
  /** By the label of each row that is not of layers: its letters. */
  readonly rows: ReadonlyMap<string, string>;
}

export const drawnKey = (column: number): Key => ({
  kind: 0,
  field2: 1663,
  field3: 5,
  field4: 16384,
  field5: 0,
  index: column,
});

export const drawnRange = (start: number, end: number): KeyRange => ({
  start: drawnKey(start),
  end: drawnKey(end),
});

/** A range as its first and last column, or `all`. */
export function showRange(keys: KeyRange): string {
  if (keys.start.kind === ALL_KEYS.start.kind && keys.end.kind === ALL_KEYS.end.kind) return 'all';
  return `${keys.start.index}-${keys.end.index - 1}`;
}

/** Names in the order of the alphabet. */
export const showNames = (layers: Iterable<DrawnLayer>): string =>
  [...layers]
    .map((layer) => layer.name)
    .sort()
    .join('');

/**
 * Layers from a drawing. A column is a key, a row is LSNs, newest on top; a letter is a layer, a dot is nothing:
 *
 *     30-40   AAAAAA     delta layer A: all keys drawn, LSNs [30, 40)
 *     29      ..bb..     image layer b at LSN 29
 *     20-30*  CCCCCC     delta layer C over all keys that there are: level 0
 *     10-20   DDD...     delta layer D …
 *     5-10    DDD...     … which goes on here: [5, 20)
 *     read    AAbbAA     a row with a word for a label is for the test
 */
export function drawLayers(drawing: string): LayerDrawing {
  const areas = new Map<
    string,
    { kind: 'delta' | 'image'; lsns: number[]; columns: number[]; all: boolean }
  >();
  const rows = new Map<string, string>();
  let width = 0;
  for (const line of drawing.split('\n')) {
    if (line.trim() === '') continue;
    const match = /^\s*(\S+)\s+(\S+)\s*$/.exec(line);
    if (match === null) throw new Error(`not a row of a drawing: ${line}`);
    const [, label, cells] = match as unknown as [string, string, string];
    width = Math.max(width, cells.length);
    const lsns = /^(\d+)(?:-(\d+)(\*?))?$/.exec(label);
    if (lsns === null) {
      rows.set(label, cells);
      continue;
    }
    const start = Number(lsns[1]);
    const isImage = lsns[2] === undefined;
    for (const [column, name] of [...cells].entries()) {
      if (name === '.') continue;
      const kind = isImage ? 'image' : 'delta';
      const area = areas.get(name) ?? { kind, lsns: [], columns: [], all: lsns[3] === '*' };
      if (area.kind !== kind) throw new Error(`layer ${name} is both delta and image`);
      area.lsns.push(start, isImage ? start + 1 : Number(lsns[2]));
      area.columns.push(column);
      areas.set(name, area);
    }
  }
  const map = new LayerMap<DrawnLayer>();
  const layers = [...areas].map(([name, { kind, lsns, columns, all }]): DrawnLayer => {
    const [low, high] = [Math.min(...columns), Math.max(...columns) + 1];
    const [lsnStart, lsnEnd] = [Math.min(...lsns) as Lsn, Math.max(...lsns) as Lsn];
    const keys = all ? ALL_KEYS : drawnRange(low, high);
    const sizeBytes = (high - low) * (lsnEnd - lsnStart);
    return { name, kind, keys, lsnStart, lsnEnd, generation: 1, sizeBytes };
  });
  for (const layer of layers) map.insert(layer);
  return { layers, map, width, rows };
}
