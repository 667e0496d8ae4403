import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { compareKeys, type Key } from '../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../keyspace/key-range.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { isLevel0, type LayerMap } from '../layers/layer-map/layer-map.ts';
import type { PromisedReads } from './gc-cutoff.ts';
import type { Slices } from './slices.ts';

export interface BottomSettings {
  /** So many delta layers over one key, all below the cutoff, bring a rewriting about. At least 2: one is what it leaves. */
  readonly deltaThreshold: number;
}

/**
 * All layers that hold LSNs up to the cutoff of some key of the range: they are to be replaced by layers that hold what
 * `keepVersions` says. No input has keys outside of the range, nor LSNs above the plan's cutoff.
 */
export interface BottomPlan<L> extends PromisedReads {
  readonly inputs: readonly L[];
  readonly keys: KeyRange;
}

/**
 * Where history that nobody can read any more is to be thrown away: image layers alone cannot do that where the cutoff
 * or a branch point holds on to delta layers. Layers that have keys in common, directly or by others between them, have
 * to be rewritten together. Of these groups that one is chosen which has the most delta layers on top of one another.
 *
 * A delta layer that reaches above the cutoff stays as it is, and the cutoff of the plan is below it.
 */
export function* pickBottom<L extends LayerDescription>(
  map: LayerMap<L>,
  settings: BottomSettings,
  promised: PromisedReads,
): Slices<BottomPlan<L> | undefined> {
  if (settings.deltaThreshold < 2) throw new AssertionError('a rewriting would be rewritten again and again');
  const cutoff = Math.min(promised.cutoff, (map.level0[0]?.lsnStart ?? Number.POSITIVE_INFINITY) - 1) as Lsn;
  let best: BottomPlan<L> | undefined;
  let bestDepth = settings.deltaThreshold - 1;
  let group = new Group<L>(cutoff);
  let position: Key = ALL_KEYS.start;
  while (compareKeys(position, ALL_KEYS.end) < 0) {
    yield;
    if (group.isBehind(position)) {
      const plan = group.plan(promised.retainedLsns);
      const depth = plan === undefined ? 0 : depthOf(plan.inputs);
      if (depth > bestDepth) {
        best = plan;
        bestDepth = depth;
      }
      group = new Group<L>(cutoff);
    }
    for (const layer of map.layersAt(position, 0 as Lsn, cutoff + 1)) group.add(layer);
    position = map.boundaryAbove(position, ALL_KEYS.end);
  }
  const plan = group.plan(promised.retainedLsns);
  return plan !== undefined && depthOf(plan.inputs) > bestDepth ? plan : best;
}

/** Layers that have keys in common, of those that hold LSNs up to the cutoff. */
class Group<L extends LayerDescription> {
  readonly #cutoff: Lsn;
  readonly #below = new Set<L>();
  /** Delta layers that reach above the cutoff. */
  readonly #across = new Set<L>();
  #end: Key | undefined;

  constructor(cutoff: Lsn) {
    this.#cutoff = cutoff;
  }

  /** Whether no layer of the group reaches the key. */
  isBehind(key: Key): boolean {
    return this.#end === undefined || compareKeys(this.#end, key) <= 0;
  }

  add(layer: L): void {
    if (isLevel0(layer)) return;
    if (layer.lsnEnd > this.#cutoff + 1) {
      this.#across.add(layer);
      return;
    }
    this.#below.add(layer);
    if (this.#end === undefined || compareKeys(layer.keys.end, this.#end) > 0) this.#end = layer.keys.end;
  }

  plan(retainedLsns: readonly Lsn[]): BottomPlan<L> | undefined {
    let cutoff = this.#cutoff as number;
    for (const layer of this.#across) cutoff = Math.min(cutoff, layer.lsnStart - 1);
    let inputs = [...this.#below];
    // What reaches above the lowered cutoff stays as well, and may lower it further.
    for (;;) {
      const above = inputs.filter((layer) => layer.lsnEnd > cutoff + 1);
      if (above.length === 0) break;
      inputs = inputs.filter((layer) => layer.lsnEnd <= cutoff + 1);
      for (const layer of above) {
        if (layer.kind === 'delta') cutoff = Math.min(cutoff, layer.lsnStart - 1);
      }
    }
    const first = inputs[0];
    if (first === undefined) return undefined;
    let { start, end } = first.keys;
    for (const { keys } of inputs) {
      if (compareKeys(keys.start, start) < 0) start = keys.start;
      if (compareKeys(keys.end, end) > 0) end = keys.end;
    }
    return {
      inputs,
      keys: { start, end },
      retainedLsns: retainedLsns.filter((lsn) => lsn < cutoff),
      cutoff: cutoff as Lsn,
    };
  }
}

/** The highest number of delta layers over one key. */
function depthOf(layers: readonly LayerDescription[]): number {
  const deltas = layers.filter((layer) => layer.kind === 'delta').map((layer) => layer.keys);
  const starts = deltas.map((keys) => keys.start).sort(compareKeys);
  const ends = deltas.map((keys) => keys.end).sort(compareKeys);
  let ended = 0;
  let highest = 0;
  for (const [index, start] of starts.entries()) {
    while (compareKeys(ends[ended] as Key, start) <= 0) ended++;
    highest = Math.max(highest, index + 1 - ended);
  }
  return highest;
}
