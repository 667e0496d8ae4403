import type { Lsn } from '../../src/base/lsn.ts';
import type { Key } from '../../src/pageserver/keyspace/key.ts';
import type { LayerDescription } from '../../src/pageserver/layers/layer-description.ts';
import type { LayerMap } from '../../src/pageserver/layers/layer-map/layer-map.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { NO_UPKEEP, PageserverBed } from '../support/pageserver-bed.ts';
import type { Recording } from '../support/recording.ts';
import { allPages, countValues, shuffled } from './read-bed.ts';
import { AMPLE_BLOCK_CACHE, measureNow, NO_PAGE_CACHE, type ReadOptions, type ReadResult } from './reads.ts';

const PAGES_MAX = 4000;
const COLUMNS = 100;
const ROW_LSNS = 1000;

/** Reads of images, with few layers in the map and with many older ones over the same keys. */
export async function measureManyLayers(
  recording: Recording,
  layers: number,
  options: ReadOptions,
): Promise<ReadResult[]> {
  await using bed = await PageserverBed.open({
    settings: NO_UPKEEP,
    blockCacheBytes: AMPLE_BLOCK_CACHE,
    pageCacheBytes: NO_PAGE_CACHE,
  });
  const active = await bed.importRecording(recording);
  const all = await allPages(active);
  const keys = shuffled(all).slice(0, PAGES_MAX);
  await countValues(active, keys);
  const few = measureNow(`image, ${active.timeline.layers.size} layer`, active, keys, 1, options);
  using _made = addLayers(active, all, layers);
  const many = measureNow(`image, ${active.timeline.layers.size} layers`, active, keys, 1, options);
  return [few, many];
}

/** Layers that no read comes to, since an image is newer: in the map, but without files. */
export function addLayers({ timeline }: ActiveTimeline, pages: readonly Key[], count: number): Disposable {
  // The map needs only to know where they lie.
  const map = timeline.layers as unknown as LayerMap<LayerDescription>;
  const firsts = Array.from({ length: COLUMNS + 1 }, (_, column) => {
    return pages[Math.floor((column * (pages.length - 1)) / COLUMNS)] as Key;
  });
  const made = Array.from({ length: count }, (_, index): LayerDescription => {
    const column = index % COLUMNS;
    const lsnStart = (8 + Math.floor(index / COLUMNS) * ROW_LSNS) as Lsn;
    const keys = { start: firsts[column] as Key, end: firsts[column + 1] as Key };
    return {
      kind: 'delta',
      keys,
      lsnStart,
      lsnEnd: (lsnStart + ROW_LSNS) as Lsn,
      generation: 1,
      sizeBytes: 2 ** 27,
    };
  });
  for (const layer of made) map.insert(layer);
  while (map.advance());
  return {
    [Symbol.dispose]() {
      for (const layer of made) map.remove(layer);
    },
  };
}
