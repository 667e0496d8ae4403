import type { Key } from '../keyspace/key.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import type { BlockPins } from '../layers/blocks.ts';
import type { FoundValues } from '../layers/found-values.ts';
import type { NextLayer } from '../layers/layer-map/layer-map.ts';
import type { ReadContext } from '../layers/read-context.ts';
import type { ReadableTimeline, StoredLayer } from './readable-timeline.ts';

const next: NextLayer<StoredLayer> = { layer: undefined, lsnStart: 0 };

/**
 * Collects into `found` what is needed to know a key's content as of `lsn` (inclusive): the newest value first, down to
 * one that needs no older one, or to `floorLsn`, from which on (exclusive) values are wanted. Goes from the layers in
 * memory through those in files into the ancestors. Nothing found: the key did not exist then, or nothing has come to it
 * since `floorLsn` and it is not `found.isAbsent`.
 *
 * Returns false where a block is not in memory. It is noted in `pins`: load them and call again.
 */
export function collectValues(
  timeline: ReadableTimeline,
  key: Key,
  lsn: number,
  floorLsn: number,
  found: FoundValues,
  pins: BlockPins,
  context: ReadContext,
): boolean {
  found.clear();
  let at: ReadableTimeline = timeline;
  let end = lsn + 1;
  for (;;) {
    if (!searchMemory(at, key, floorLsn, end, found, pins, context)) return false;
    if (found.isComplete) return true;
    const outcome = searchFiles(at, key, floorLsn, end, found, pins, context);
    if (outcome !== GO_ON) return outcome === DONE;
    if (at.ancestor === undefined) return true;
    end = Math.min(end, lastLsnBeside(at.ancestor.lsn) + 1);
    if (end <= floorLsn + 1) return true;
    at = at.ancestor.timeline;
  }
}

const DONE = 0;
const LACKING = 1;
const GO_ON = 2;

function searchMemory(
  timeline: ReadableTimeline,
  key: Key,
  floorLsn: number,
  end: number,
  found: FoundValues,
  pins: BlockPins,
  context: ReadContext,
): boolean {
  const { memoryLayers } = timeline;
  if (memoryLayers.length === 0) return true;
  const stem = timeline.stems.find(key.kind, key.field2, key.field3, key.field4, key.field5);
  if (stem < 0) return true;
  for (const layer of memoryLayers) {
    if (layer.lsnStart >= end) continue;
    if (layer.lsnEnd <= floorLsn + 1) break;
    if (!layer.search(stem, key.index, floorLsn + 1, end, pins, found, context)) return false;
    if (found.isComplete) break;
  }
  return true;
}

function searchFiles(
  timeline: ReadableTimeline,
  key: Key,
  floorLsn: number,
  lsnEnd: number,
  found: FoundValues,
  pins: BlockPins,
  context: ReadContext,
): number {
  let end = lsnEnd;
  while (end > floorLsn + 1) {
    if (!timeline.layers.next(key, end, next)) return GO_ON;
    const layer = next.layer as StoredLayer;
    // What is used again by all reads keeps no layer, and no timeline, after them.
    next.layer = undefined;
    const { lsnStart } = next;
    const start = lsnStart > floorLsn + 1 ? lsnStart : floorLsn + 1;
    if (!layer.search(key, start, end, pins, found, context)) return LACKING;
    if (found.isComplete) return DONE;
    // What an image layer has no value for did not exist; older layers do not matter.
    if (layer.kind === 'image') {
      found.isAbsent = lsnStart > floorLsn;
      return DONE;
    }
    end = lsnStart;
  }
  return DONE;
}
