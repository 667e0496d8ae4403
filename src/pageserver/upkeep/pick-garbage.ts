import { compareKeys } from '../keyspace/key.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import type { LayerMap } from '../layers/layer-map/layer-map.ts';
import type { PromisedReads } from './gc-cutoff.ts';
import type { Slices } from './slices.ts';

/**
 * The layers that no promised read visits. A read ends at the newest image layer at or below its LSN, so a layer is
 * needed at no promised LSN, if at the lowest of those that are not below the layer itself newer image layers cover all
 * its keys: what ends a read at one LSN also ends it at higher ones, there or at a newer image still. (An image layer
 * that covers another may go as well, but then for one that is newer again: the newest at or below a promised LSN stays.)
 *
 * @param promised as gcCutoff returned it; branch points and leases that come later must not be below its cutoff
 */
export function* pickGarbage<L extends LayerDescription>(
  map: LayerMap<L>,
  promised: PromisedReads,
): Slices<L[]> {
  const garbage: L[] = [];
  for (const layer of map) {
    yield;
    const readAt = lowestReadAt(layer.lsnStart, promised);
    // An image at the last LSN of a delta layer contains all of that; an image layer is replaced by a newer one only.
    const imagesFrom = layer.kind === 'delta' ? layer.lsnEnd - 1 : layer.lsnStart + 1;
    if (imagesFrom > readAt) continue;
    let position = layer.keys.start;
    while (compareKeys(position, layer.keys.end) < 0) {
      const image = map.newestImage(position, imagesFrom, readAt);
      if (image === undefined) break;
      position = image.keys.end;
      yield;
    }
    if (compareKeys(position, layer.keys.end) >= 0) garbage.push(layer);
  }
  return garbage;
}

/** The lowest promised LSN that is not below `lsnStart`. */
function lowestReadAt(lsnStart: number, { cutoff, retainedLsns }: PromisedReads): number {
  let low = 0;
  let high = retainedLsns.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((retainedLsns[middle] as number) < lsnStart) low = middle + 1;
    else high = middle;
  }
  const fromCutoff = Math.max(cutoff, lsnStart);
  return Math.min(fromCutoff, retainedLsns[low] ?? fromCutoff);
}
