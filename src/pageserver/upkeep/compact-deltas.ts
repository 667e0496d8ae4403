import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { JobContext } from '../../io/workers.ts';
import { type Key, nextKey, readKey } from '../keyspace/key.ts';
import { ALL_KEYS } from '../keyspace/key-range.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { type LayerInput, LayerInputs } from './layer-inputs.ts';
import { LayerOutputs, type OutputTarget } from './layer-outputs.ts';
import { MergeLayers } from './merge-layers.ts';
import { Pace } from './pace.ts';

/** Plain data. */
export interface CompactDeltasInput {
  /** Delta layers. All that is in their LSN ranges together goes into the new ones. */
  readonly layers: readonly LayerInput[];
  readonly target: OutputTarget;
}

/**
 * Writes the values of delta layers over all keys into delta layers over few keys each, which have no key in common and
 * all have the inputs' LSN ranges together. All values of a key go into one layer, so a key with a giant history makes
 * it larger than wanted. Each new layer's range of keys is no wider than its values need.
 *
 * The same inputs give the same layers, under the same names. The new layers take the inputs' place once the index
 * names them; until then they are only files.
 */
export async function compactDeltas(
  { layers, target }: CompactDeltasInput,
  context: JobContext,
): Promise<LayerDescription[]> {
  if (layers.length === 0 || layers.some(({ layer }) => layer.description.kind !== 'delta')) {
    throw new AssertionError('only delta layers can be compacted to delta layers');
  }
  const lsnStart = Math.min(...layers.map((layer) => layer.lsnStart)) as Lsn;
  const lsnEnd = Math.max(...layers.map((layer) => layer.lsnEnd)) as Lsn;
  await using inputs = await LayerInputs.open(layers, ALL_KEYS, context);
  const shape = { kind: 'delta', lsnStart, lsnEnd, inputs: layers } as const;
  await using outputs = new LayerOutputs(context.files, target, shape);
  const merge = new MergeLayers(inputs.merged, ALL_KEYS);
  const pace = new Pace(context);
  let first: Key = ALL_KEYS.start;
  let last: Key = ALL_KEYS.start;
  while (merge.advance() || (await merge.next())) {
    if (merge.isNewKey) {
      if (outputs.isLargeEnough) await outputs.end({ start: first, end: nextKey(last) });
      last = readKey(merge.keyView, merge.keyOffset);
    }
    let { writer } = outputs;
    if (writer === undefined) {
      first = last;
      writer = await outputs.begin();
    }
    const { keyView, keyOffset, lsn, flags, bytes, view, offset, length } = merge;
    writer.add(keyView, keyOffset, lsn, flags, bytes, view, offset, length);
    if (writer.isFull) await writer.drain();
    if (pace.isDue(length)) await pace.step();
  }
  if (outputs.writer !== undefined) await outputs.end({ start: first, end: nextKey(last) });
  await context.step();
  return outputs.keep();
}
