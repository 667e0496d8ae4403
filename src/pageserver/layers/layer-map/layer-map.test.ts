import { describe, expect, test } from 'vitest';
import {
  type DrawnLayer,
  drawLayers,
  drawnKey,
  drawnRange,
  showNames,
  showRange,
} from '../../../../test/support/layer-drawing.ts';
import type { Lsn } from '../../../base/lsn.ts';
import { ALL_KEYS } from '../../keyspace/key-range.ts';
import { isLevel0, LayerMap, type NextLayer } from './layer-map.ts';

/** The layers that a read visits, in order, with the LSN down to which values are taken from each. */
function visits(
  map: LayerMap<DrawnLayer>,
  column: number,
  lsn: number,
): { name: string; lsnStart: number }[] {
  const visited: { name: string; lsnStart: number }[] = [];
  const next: NextLayer<DrawnLayer> = { layer: undefined, lsnStart: 0 };
  for (let lsnEnd = lsn + 1; map.next(drawnKey(column), lsnEnd, next); lsnEnd = next.lsnStart) {
    const layer = next.layer as DrawnLayer;
    visited.push({ name: layer.name, lsnStart: next.lsnStart });
    if (layer.kind === 'image') break;
  }
  return visited;
}

/** In a drawing, `at:<lsn>:<n>` says which layer a read at the LSN visits n-th, column by column. */
function checkVisits(drawing: string): void {
  const { map, width, rows } = drawLayers(drawing);
  const reads = new Map<number, string[]>();
  for (const [label, cells] of rows) {
    const [word, lsn, order] = label.split(':');
    if (word !== 'at') throw new Error(`unknown label ${label}`);
    const expected = reads.get(Number(lsn)) ?? Array.from({ length: width }, () => '');
    expect(Number(order), 'rows of visits are in order').toBe(
      Math.max(...expected.map((each) => each.length)) + 1,
    );
    for (const [column, name] of [...cells].entries()) if (name !== '.') expected[column] += name;
    reads.set(Number(lsn), expected);
  }
  expect(reads.size).toBeGreaterThan(0);
  for (const [lsn, expected] of reads) {
    const seen = expected.map((_, column) =>
      visits(map, column, lsn)
        .map((visit) => visit.name)
        .join(''),
    );
    expect(seen, `visits of a read at ${lsn}`).toEqual(expected);
  }
}

describe('which layers a read visits', () => {
  test('one delta layer over another: the newer one first', () => {
    checkVisits(`
      20-30   AAAA
      10-20   BBBB
      at:29:1 AAAA
      at:29:2 BBBB
      at:19:1 BBBB
    `);
  });

  test('a layer that begins above the LSN is not visited, one that the LSN is in is', () => {
    checkVisits(`
      20-30   AAAA
      10-20   BBBB
      at:20:1 AAAA
      at:20:2 BBBB
      at:10:1 BBBB
    `);
  });

  test('nothing at or below the LSN', () => {
    const { map } = drawLayers(`
      20-30   AA
      15      bb
    `);
    expect(visits(map, 0, 14)).toEqual([]);
    expect(visits(map, 2, 99)).toEqual([]);
    expect(visits(new LayerMap(), 0, 99)).toEqual([]);
  });

  test('an image layer ends the search, even where it holds nothing of the key', () => {
    checkVisits(`
      20-30   AAAAAA
      19      ..bb..
      10-20   CCCCCC
      at:29:1 AAAAAA
      at:29:2 CCbbCC
    `);
  });

  test('an image layer in the middle of a delta layer: that is visited above the image only', () => {
    const drawing = `
      25      ..bb..
      20-30   AAAAAA
      10-20   CCCCCC
      at:29:1 AAAAAA
      at:29:2 CCbbCC
      at:25:1 AAbbAA
      at:25:2 CC..CC
      at:24:1 AAAAAA
      at:24:2 CCCCCC
    `;
    checkVisits(drawing);
    const { map } = drawLayers(drawing);
    expect(visits(map, 2, 29)).toEqual([
      { name: 'A', lsnStart: 26 },
      { name: 'b', lsnStart: 25 },
    ]);
    expect(visits(map, 0, 29)).toEqual([
      { name: 'A', lsnStart: 20 },
      { name: 'C', lsnStart: 10 },
    ]);
  });

  test('an image at the last LSN of a delta layer contains all of it', () => {
    checkVisits(`
      29      bb..
      20-30   AAAA
      at:29:1 bbAA
      at:40:1 bbAA
      at:28:1 AAAA
    `);
  });

  test('the newest of several images', () => {
    checkVisits(`
      40-50   AAAAAA
      35      .bbbb.
      25      cccccc
      20-30   DDDDDD
      at:49:1 AAAAAA
      at:49:2 DbbbbD
      at:49:3 c....c
      at:34:1 DDDDDD
      at:34:2 cccccc
    `);
  });

  test('level 0 over compacted layers over images', () => {
    checkVisits(`
      50-60*  AAAAAAAA
      40-50*  BBBBBBBB
      30-40   CCCDDDEE
      20-30   FFFF.GGG
      19      hhhhiiii
      at:59:1 AAAAAAAA
      at:59:2 BBBBBBBB
      at:59:3 CCCDDDEE
      at:59:4 FFFFiGGG
      at:59:5 hhhh.iii
    `);
  });

  test('LSNs without a layer between two are nothing', () => {
    checkVisits(`
      50-60   AAAA
      20-30   BB..
      5-10    CCCC
      at:80:1 AAAA
      at:80:2 BBCC
      at:80:3 CC..
      at:40:1 BBCC
      at:40:2 CC..
    `);
  });

  test('what an interrupted compaction has made beside what it was made of: one of them is enough', () => {
    const drawing = `
      30-40*  AAAA
      20-30*  BBBB
      10-20*  CCCC
      20-30   EEFF
      10-20   EEFF
      at:39:1 AAAA
      at:39:2 EEFF
      at:25:1 EEFF
      at:15:1 EEFF
    `;
    checkVisits(drawing);
    const { map } = drawLayers(drawing);
    expect(visits(map, 0, 39)).toEqual([
      { name: 'A', lsnStart: 30 },
      { name: 'E', lsnStart: 10 },
    ]);
  });

  test('delta layers that overlap in part: each LSN is taken from one of them', () => {
    const { map } = drawLayers(`
      30-40   A
      20-30   A
      20-30   B
      10-20   B
    `);
    expect(visits(map, 0, 50)).toEqual([
      { name: 'A', lsnStart: 20 },
      { name: 'B', lsnStart: 10 },
    ]);
    expect(visits(map, 0, 25)).toEqual([
      { name: 'A', lsnStart: 20 },
      { name: 'B', lsnStart: 10 },
    ]);
    expect(visits(map, 0, 19)).toEqual([{ name: 'B', lsnStart: 10 }]);
  });

  test('a delta layer within another: nothing of the outer one is hidden', () => {
    const { map } = drawLayers(`
      10-40   A
      20-30   B
    `);
    expect(visits(map, 0, 50)).toEqual([{ name: 'A', lsnStart: 10 }]);
    expect(visits(map, 0, 25)).toEqual([{ name: 'A', lsnStart: 10 }]);
  });

  test('overlapping delta layers and an image between', () => {
    const { map } = drawLayers(`
      10-40   A
      35      b
      30-50   C
    `);
    expect(visits(map, 0, 60)).toEqual([
      { name: 'C', lsnStart: 36 },
      { name: 'b', lsnStart: 35 },
    ]);
    expect(visits(map, 0, 34)).toEqual([
      { name: 'C', lsnStart: 30 },
      { name: 'A', lsnStart: 10 },
    ]);
  });

  test('steps: each key has its own newest layer', () => {
    checkVisits(`
      40-50   A.....
      30-40   BB....
      20-30   CCC...
      10-20   DDDD..
      5       eeeee.
      at:60:1 ABCDe.
      at:60:2 BCDe..
      at:60:3 CDe...
      at:60:4 De....
      at:60:5 e.....
    `);
  });

  test('a delta layer of one LSN, and an image at it', () => {
    checkVisits(`
      20      bb..
      20-21   AAAA
      10-20   CCCC
      at:20:1 bbAA
      at:20:2 ..CC
      at:19:1 CCCC
    `);
  });
});

describe('what is in the map', () => {
  test('level 0: delta layers over all keys, oldest first', () => {
    const { map, layers } = drawLayers(`
      30-40*  AAAA
      10-20*  BBBB
      20-30*  CCCC
      5-10    DDDD
      4       eeee
    `);
    expect(map.level0.map((layer) => layer.name).join('')).toBe('BCA');
    expect(layers.filter(isLevel0).length).toBe(3);
    expect(map.size).toBe(5);
    map.remove(map.level0[1] as DrawnLayer);
    expect(map.level0.map((layer) => layer.name).join('')).toBe('BA');
    expect(showNames(map)).toBe('ABDe');
  });

  test('two layers of level 0 that begin at the same LSN are told apart', () => {
    const { map, layers } = drawLayers(`
      10-20*  AAAA
      10-30*  BBBB
      10-40*  CCCC
    `);
    map.remove(layers[0] as DrawnLayer);
    expect(map.level0.map((layer) => layer.name).join('')).toBe('BC');
  });

  test('replacing is one step', () => {
    const { map, layers } = drawLayers(`
      20-30*  AAAA
      10-20*  BBBB
    `);
    const made = drawLayers(`
      20-30   CCDD
      10-20   CCDD
    `).layers;
    map.replace(layers, made);
    expect(showNames(map)).toBe('CD');
    expect(map.level0).toEqual([]);
    expect(visits(map, 0, 40)).toEqual([{ name: 'C', lsnStart: 10 }]);
    expect(layers.map((layer) => map.has(layer))).toEqual([false, false]);
    expect(made.map((layer) => map.has(layer))).toEqual([true, true]);
  });

  test('a layer twice, one that is not there, one without keys or LSNs: bugs', () => {
    const { map, layers } = drawLayers('10-20 AAAA');
    const layer = layers[0] as DrawnLayer;
    expect(() => map.insert(layer)).toThrow('in the map already');
    expect(() => map.insert({ ...layer, lsnEnd: layer.lsnStart })).toThrow('no LSN or no key');
    expect(() => map.insert({ ...layer, keys: drawnRange(2, 2) })).toThrow('no LSN or no key');
    expect(() => map.insert({ ...layer, kind: 'image' })).toThrow('of one LSN');
    map.remove(layer);
    expect(() => map.remove(layer)).toThrow('not in the map');
    expect(map.size).toBe(0);
  });
});

describe('questions about ranges', () => {
  const { map } = drawLayers(`
    50-60*  AAAAAAAAAA
    45      ...bbb....
    40-50   CCCCCDDDDD
    30-40   .EEEEEEE..
    25      FFFFF.....
    20-30   GGGGGGGGGG
    15      hhhhhhhh..
  `);

  test('parts that images do not cover', () => {
    const gaps = (from: number, to: number): string[] =>
      [...map.imageGaps(drawnRange(0, 10), from, to)].map(showRange);
    expect(gaps(0, 60)).toEqual(['8-9']);
    expect(gaps(16, 60)).toEqual(['6-9']);
    expect(gaps(26, 60)).toEqual(['0-2', '6-9']);
    expect(gaps(26, 44)).toEqual(['0-9']);
    expect([...map.imageGaps(ALL_KEYS, 0, 60)].length).toBe(2);
  });

  test('whether images cover a range', () => {
    expect(map.isCoveredByImages(drawnRange(0, 8), 15, 15)).toBe(true);
    expect(map.isCoveredByImages(drawnRange(0, 8), 16, 60)).toBe(false);
    expect(map.isCoveredByImages(drawnRange(0, 6), 16, 60)).toBe(true);
    expect(map.isCoveredByImages(drawnRange(0, 6), 16, 44)).toBe(false);
    expect(map.isCoveredByImages(drawnRange(0, 9), 0, 60)).toBe(false);
    expect(map.isCoveredByImages(drawnRange(3, 4), 46, 45)).toBe(false);
  });

  test('how deep reads go', () => {
    const depths = (lsn: number): string[] =>
      [...map.readDepths(drawnRange(0, 10), lsn as Lsn)].map(
        ({ keys, image, deltas, level0 }) =>
          `${showRange(keys)} ${image?.name ?? '-'} ${showNames(deltas)} ${showNames(level0)}`,
      );
    expect(depths(59)).toEqual([
      '0-0 F CG A',
      '1-2 F CEG A',
      '3-4 b C A',
      '5-5 b D A',
      '6-7 h DEG A',
      '8-9 - DG A',
    ]);
    expect(depths(39).slice(0, 2)).toEqual(['0-0 F G ', '1-2 F EG ']);
  });

  test('layers that overlap an area', () => {
    const names = (start: number, end: number, lsnStart: number, lsnEnd: number): string =>
      showNames(map.overlapping(drawnRange(start, end), lsnStart as Lsn, lsnEnd));
    expect(names(0, 1, 0, 100)).toBe('ACFGh');
    expect(names(0, 1, 40, 50)).toBe('C');
    expect(names(0, 1, 41, 50)).toBe('C');
    expect(names(0, 10, 30, 40)).toBe('E');
    expect(names(0, 10, 30, 41)).toBe('CDE');
    expect(names(8, 10, 0, 60)).toBe('ADG');
    expect(names(3, 4, 45, 46)).toBe('Cb');
    expect(showNames(map.layersAt(drawnKey(3), 45 as Lsn, 46))).toBe('Cb');
    expect(showNames(map.layersAt(drawnKey(9), 0 as Lsn, 100))).toBe('ADG');
  });
});
