import { expect, test } from 'vitest';
import { drawnKey, drawnRange } from '../../../../test/support/layer-drawing.ts';
import type { Lsn } from '../../../base/lsn.ts';
import type { LayerDescription } from '../layer-description.ts';
import { LayerIndex } from './layer-index.ts';
import { NewestLayer } from './newest-layer.ts';
import { NUMBERS_PER_KEY, packKey } from './packed-keys.ts';

/** Layers of different widths, so that merging them takes many steps. */
const wide = (index: number): LayerDescription => ({
  kind: 'delta',
  keys: drawnRange(1 + (index % 997), 5000 + index),
  lsnStart: index as Lsn,
  lsnEnd: (index + 1) as Lsn,
  generation: 1,
  sizeBytes: 1,
});

test('a tier that is emptied while it is being merged: nothing else is lost with it', () => {
  const index = new LayerIndex<LayerDescription>();
  const live: { layer: LayerDescription; number: number }[] = [];
  const packed = new Float64Array(NUMBERS_PER_KEY);
  packKey(packed, 0, drawnKey(2000));
  const newest = new NewestLayer<LayerDescription>();
  let emptied = 0;
  for (let number = 1; number <= 12_000; number++) {
    const layer = wide(number);
    index.insert(layer, number);
    live.push({ layer, number });
    // A long merge has just begun: all layers of the smallest tier in it go.
    if (number % 32 === 0 && number > 3000 && index.advance()) {
      for (const each of live.splice(-40)) index.remove(each.layer, each.number);
      emptied++;
    }
    newest.clear();
    index.search(packed, Number.MAX_SAFE_INTEGER, newest);
    if (newest.layer !== layer) expect(newest.layer).toBe(live.at(-1)?.layer);
  }
  expect(emptied).toBeGreaterThan(5);
  while (live.length > 0) {
    const { layer, number } = live.pop() as { layer: LayerDescription; number: number };
    index.remove(layer, number);
    newest.clear();
    index.search(packed, Number.MAX_SAFE_INTEGER, newest);
    if (newest.layer !== live.at(-1)?.layer) expect(newest.layer).toBe(live.at(-1)?.layer);
  }
  expect(() => index.remove(wide(1), 1)).toThrow('none of its tiers');
});
