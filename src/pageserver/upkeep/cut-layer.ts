import type { Lsn } from '../../base/lsn.ts';
import type { JobContext } from '../../io/workers.ts';
import { compareEncodedKeys, KEY_BYTES, type Key, writeKey } from '../keyspace/key.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { VALUE_IMAGE } from '../layers/value.ts';
import { type LayerInput, LayerInputs } from './layer-inputs.ts';
import { LayerOutputs, type OutputTarget } from './layer-outputs.ts';
import { MergeLayers } from './merge-layers.ts';
import { Pace } from './pace.ts';

/** What a key is at the LSN at which a layer is cut. Plain data. */
export interface EdgeValue {
  readonly key: Key;
  /** Empty: it does not exist. */
  readonly bytes: Uint8Array;
}

/** Plain data. */
export interface CutLayerInput {
  readonly layer: LayerInput;
  /** Values above are left out. */
  readonly cutLsn: Lsn;
  /** In the order of their keys, which lie in the layer: they take the place of what these keys have at `cutLsn`. */
  readonly edgeValues: readonly EdgeValue[];
  readonly target: OutputTarget;
}

/**
 * Writes what a layer has at or below an LSN into a layer of the same keys.
 * @returns undefined where there is nothing
 */
export async function cutLayer(
  { layer, cutLsn, edgeValues, target }: CutLayerInput,
  context: JobContext,
): Promise<LayerDescription | undefined> {
  const { kind, keys, lsnStart, lsnEnd: end } = layer.layer.description;
  const lsnEnd = Math.min(end, cutLsn + 1) as Lsn;
  await using inputs = await LayerInputs.open([{ ...layer, lsnStart, lsnEnd }], keys, context);
  await using outputs = new LayerOutputs(context.files, target, { kind, lsnStart, lsnEnd, inputs: [layer] });
  const merge = new MergeLayers(inputs.merged, keys);
  // In an image layer what does not exist has no value.
  const edge = new Edge(kind === 'delta' ? edgeValues : edgeValues.filter(({ bytes }) => bytes.length > 0));
  const replaced = new Edge(edgeValues);
  const pace = new Pace(context);
  const putEdge = async (): Promise<void> => {
    const writer = outputs.writer ?? (await outputs.begin());
    edge.putInto(writer, cutLsn);
  };
  while (merge.advance() || (await merge.next())) {
    const { keyView, keyOffset, lsn, flags, bytes, view, offset, length } = merge;
    while (edge.compareTo(keyView, keyOffset) < 0) await putEdge();
    while (replaced.compareTo(keyView, keyOffset) < 0) replaced.pass();
    if (lsn === cutLsn && replaced.compareTo(keyView, keyOffset) === 0) continue;
    const writer = outputs.writer ?? (await outputs.begin());
    writer.add(keyView, keyOffset, lsn, flags, bytes, view, offset, length);
    if (writer.isFull) await writer.drain();
    if (pace.isDue(length)) await pace.step();
  }
  while (!edge.isAtEnd) await putEdge();
  if (outputs.writer !== undefined) await outputs.end(keys);
  await context.step();
  return outputs.keep()[0];
}

type Writer = NonNullable<LayerOutputs['writer']>;

/** Values at an edge, one after another. */
class Edge {
  readonly #values: readonly EdgeValue[];
  readonly #key = new DataView(new ArrayBuffer(KEY_BYTES));
  #at = -1;

  constructor(values: readonly EdgeValue[]) {
    this.#values = values;
    this.pass();
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#values.length;
  }

  /** Above 0: this one's key comes later, or there is none. */
  compareTo(key: DataView, keyOffset: number): number {
    return this.isAtEnd ? 1 : compareEncodedKeys(this.#key, 0, key, keyOffset);
  }

  pass(): void {
    this.#at++;
    const value = this.#values[this.#at];
    if (value !== undefined) writeKey(this.#key, 0, value.key);
  }

  putInto(writer: Writer, lsn: Lsn): void {
    const { bytes } = this.#values[this.#at] as EdgeValue;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    writer.add(this.#key, 0, lsn, VALUE_IMAGE, bytes, view, 0, bytes.length);
    this.pass();
  }
}
