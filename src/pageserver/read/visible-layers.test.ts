import { expect, test } from 'vitest';
import { drawLayers, drawnRange, showRange } from '../../../test/support/layer-drawing.ts';
import type { ReadableTimeline } from './readable-timeline.ts';
import { findVisibleLayers } from './visible-layers.ts';

/** What a read of all keys drawn visits, each layer with its parts and the LSNs that it has of them. */
function visible(drawing: string, lsn: number): string[] {
  const { map, layers, width } = drawLayers(drawing);
  const timeline = { layers: map, memoryLayers: [] } as unknown as ReadableTimeline;
  return findVisibleLayers(timeline, drawnRange(0, width), lsn).stored.map(({ layer, lsnEnd, parts }) => {
    const name = layers.find((drawn) => drawn === (layer as unknown))?.name;
    const end = Math.min(layer.lsnEnd, lsnEnd);
    const shown = parts.map((part) => {
      const start = Math.max(part.start.index, layer.keys.start.index);
      const keys = drawnRange(start, Math.min(part.end.index, layer.keys.end.index));
      return `${showRange(keys)}:${part.lsnStart}-${end}`;
    });
    return `${name} ${shown.join(' ')}`;
  });
}

test('layers from the newest on, down to the images below which nothing matters', () => {
  const drawing = `
    40-50   AAAA
    39      bb..
    30-40   CCCC
    20-30   DDDD
    10      eeee
  `;
  expect(visible(drawing, 100)).toEqual([
    'A 0-3:40-50',
    'C 2-3:30-40',
    'b 0-1:39-40',
    'D 2-3:20-30',
    'e 2-3:10-11',
  ]);
  expect(visible(drawing, 35)).toEqual(['C 0-3:30-36', 'D 0-3:20-30', 'e 0-3:10-11']);
});

test('of a delta layer that spans images nothing is seen of their keys at or below them', () => {
  const drawing = `
    30-60   AAAAAA
    50      .bb...
    40      ..ccc.
    20-30   DDDDDD
  `;
  expect(visible(drawing, 100)).toEqual([
    'A 0-0:30-60 1-2:51-60 3-4:41-60 5-5:30-60',
    'b 1-2:50-51',
    'c 3-4:40-41',
    'D 0-0:20-30 5-5:20-30',
  ]);
  expect(visible(drawing, 45)).toEqual([
    'A 0-1:30-46 2-4:41-46 5-5:30-46',
    'c 2-4:40-41',
    'D 0-1:20-30 5-5:20-30',
  ]);
});
