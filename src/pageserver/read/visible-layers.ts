import { INVALID_LSN } from '../../base/lsn.ts';
import { compareKeys } from '../keyspace/key.ts';
import { type KeyRange, rangesOverlap } from '../keyspace/key-range.ts';
import { lastLsnBeside } from '../layers/beside-wal.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import type { ReadableTimeline, StoredLayer } from './readable-timeline.ts';

/** Of some keys what a layer has from an LSN on. */
export interface VisiblePart extends KeyRange {
  /** Inclusive. An image layer says what the keys were below, also where it has no value. */
  readonly lsnStart: number;
}

/** A layer that a read of a range of keys may have to visit. */
export interface VisibleLayer {
  readonly timeline: ReadableTimeline;
  readonly layer: StoredLayer;
  /** Exclusive: values from here on are not of this read, though the layer may have such. */
  readonly lsnEnd: number;
  /** The parts of the range for which it matters, in the order of keys. */
  readonly parts: readonly VisiblePart[];
}

/** All that a read of a range of keys may have to visit, from the newest on. */
export interface VisibleLayers {
  readonly memory: readonly {
    readonly layer: OpenLayer;
    readonly lsnEnd: number;
    readonly parts: readonly KeyRange[];
  }[];
  readonly stored: readonly VisibleLayer[];
}

/**
 * The layers that hold what the keys of a range were at `lsn`, the ancestors' among them, down to the image layers below
 * which nothing matters.
 */
export function findVisibleLayers(timeline: ReadableTimeline, range: KeyRange, lsn: number): VisibleLayers {
  const memory: VisibleLayers['memory'][number][] = [];
  const stored: VisibleLayer[] = [];
  let remaining: readonly KeyRange[] = [range];
  let at: ReadableTimeline = timeline;
  let lsnEnd = lsn + 1;
  for (;;) {
    for (const layer of at.memoryLayers) {
      if (layer.lsnStart < lsnEnd) memory.push({ layer, lsnEnd, parts: remaining });
    }
    const layers = storedBelow(at, range, lsnEnd);
    const images = layers.filter((layer) => layer.kind === 'image');
    for (const layer of layers) {
      const seen = remaining.filter((part) => rangesOverlap(part, layer.keys));
      const parts = aboveImages(layer, seen, images);
      if (parts.length === 0) continue;
      stored.push({ timeline: at, layer, lsnEnd, parts });
      if (layer.kind === 'image') remaining = remaining.flatMap((part) => subtract(part, layer.keys));
    }
    if (at.ancestor === undefined || remaining.length === 0) return { memory, stored };
    lsnEnd = Math.min(lsnEnd, lastLsnBeside(at.ancestor.lsn) + 1);
    at = at.ancestor.timeline;
  }
}

/** From the newest to the oldest. Where two end together the delta comes first: an image ends the search. */
function storedBelow(timeline: ReadableTimeline, range: KeyRange, lsnEnd: number): StoredLayer[] {
  const isDelta = (layer: StoredLayer): number => (layer.kind === 'delta' ? 1 : 0);
  const end = (layer: StoredLayer): number => Math.min(layer.lsnEnd, lsnEnd);
  return timeline.layers
    .overlapping(range, INVALID_LSN, lsnEnd)
    .filter((layer) => layer.lsnStart < lsnEnd)
    .sort((left, right) => end(right) - end(left) || isDelta(right) - isDelta(left));
}

/**
 * From which LSN on a layer matters, by key. A delta layer may have older values than an image layer that it spans, of
 * keys that the image says do not exist: the values between, which ended them, may have been forgotten.
 * @param images from the newest to the oldest
 */
function aboveImages(
  layer: StoredLayer,
  seen: readonly KeyRange[],
  images: readonly StoredLayer[],
): VisiblePart[] {
  const parts: VisiblePart[] = [];
  let remaining = seen;
  for (const { keys, lsnStart } of layer.kind === 'delta' ? images : []) {
    if (lsnStart < layer.lsnStart || lsnStart >= layer.lsnEnd) continue;
    for (const part of remaining) {
      if (!rangesOverlap(part, keys)) continue;
      const start = compareKeys(part.start, keys.start) < 0 ? keys.start : part.start;
      const end = compareKeys(part.end, keys.end) < 0 ? part.end : keys.end;
      if (lsnStart + 1 < layer.lsnEnd) parts.push({ start, end, lsnStart: lsnStart + 1 });
    }
    remaining = remaining.flatMap((part) => subtract(part, keys));
  }
  for (const part of remaining) parts.push({ ...part, lsnStart: layer.lsnStart });
  return parts.sort((left, right) => compareKeys(left.start, right.start));
}

/** What is in `part` but not in `taken`. */
function subtract(part: KeyRange, taken: KeyRange): KeyRange[] {
  if (!rangesOverlap(part, taken)) return [part];
  const rest: KeyRange[] = [];
  if (compareKeys(part.start, taken.start) < 0) rest.push({ start: part.start, end: taken.start });
  if (compareKeys(taken.end, part.end) < 0) rest.push({ start: taken.end, end: part.end });
  return rest;
}
