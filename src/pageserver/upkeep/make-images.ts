import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { JobContext } from '../../io/workers.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { equalKeys, KEY_BYTES, type Key, nextKey, readKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import { isPageKey } from '../keyspace/keys.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { isBase, VALUE_IMAGE, VALUE_KIND_MASK } from '../layers/value.ts';
import { ImageCover } from './image-cover.ts';
import { KeyHistory } from './key-history.ts';
import { type LayerInput, LayerInputs } from './layer-inputs.ts';
import { LayerOutputs, type OutputTarget } from './layer-outputs.ts';
import { type Liveness, LivenessSweep } from './liveness.ts';
import { MergeLayers } from './merge-layers.ts';
import { Pace } from './pace.ts';
import { type FailedKey, PageMaker } from './page-maker.ts';

/** Plain data. */
export interface MakeImagesInput {
  /**
   * All layers, the ancestors' too, that hold what is needed to know the keys at `lsn`: going down from there, to and
   * including those image layers below which nothing matters.
   */
  readonly layers: readonly LayerInput[];
  readonly keys: KeyRange;
  /** All records up to and including the one that ends here. */
  readonly lsn: Lsn;
  /** What pages existed at `lsn`. */
  readonly liveness: Liveness;
  readonly target: OutputTarget;
  readonly failureDirectory?: string;
}

export interface MakeImagesOutput {
  /** Image layers that have no key in common. Together they cover the range, but for the failed keys. */
  readonly layers: readonly LayerDescription[];
  /** No new layer covers them, so their history stays what it is. */
  readonly failedKeys: readonly FailedKey[];
}

/**
 * Writes what the keys of a range were at an LSN into image layers. A page that cannot be made is left out: the layers
 * before it end, and those after it begin, beside it.
 *
 * The same inputs give the same layers, under the same names; see compact-deltas.ts on when they count.
 */
export async function makeImages(input: MakeImagesInput, context: JobContext): Promise<MakeImagesOutput> {
  const { layers, keys, lsn, target } = input;
  if (layers.some((layer) => layer.lsnEnd > lsn + 1)) {
    throw new AssertionError('values above the LSN would get into its image', { lsn });
  }
  await using inputs = await LayerInputs.open(layers, keys, context);
  const shape = { kind: 'image', lsnStart: lsn, lsnEnd: (lsn + 1) as Lsn, inputs: layers } as const;
  await using outputs = new LayerOutputs(context.files, target, shape);
  const maker = new PageMaker(target.postgresMajor, context.files, input.failureDirectory);
  const images = new ImageSeries(input, outputs, maker);
  const merge = new MergeLayers(inputs.merged, keys);
  const cover = coverOf(layers);
  const liveness = new LivenessSweep(input.liveness);
  const history = new KeyHistory();
  const pace = new Pace(context);
  let floor = -1;
  let isAlive = false;
  while (merge.advance() || (await merge.next())) {
    if (merge.isNewKey) {
      if (history.count > 0) await images.add(history);
      history.clear();
      floor = cover.lsnsOf(merge.keyView, merge.keyOffset).at(-1) ?? -1;
      isAlive = liveness.isAlive(merge.keyView, merge.keyOffset);
      if (isAlive) images.begin(merge.keyView);
    }
    const isHidden = merge.lsn < floor || (merge.lsn === floor && merge.kind === 'delta');
    if (isAlive && !isHidden) {
      if (isBase(merge.flags)) history.clear();
      history.add(merge);
    }
    if (pace.isDue(merge.length)) await pace.step();
  }
  if (history.count > 0) await images.add(history);
  await images.end();
  await context.step();
  return { layers: outputs.keep(), failedKeys: maker.failedKeys };
}

export const coverOf = (layers: readonly LayerInput[]): ImageCover =>
  new ImageCover(
    layers
      .filter(({ layer, lsnStart, lsnEnd }) => {
        const { kind, lsnStart: lsn } = layer.description;
        return kind === 'image' && lsn >= lsnStart && lsn < lsnEnd;
      })
      .map(({ layer }) => ({ keys: layer.description.keys, lsn: layer.description.lsnStart })),
  );

/** The image layers that are made, with gaps where a key failed. */
class ImageSeries {
  readonly #keys: KeyRange;
  readonly #lsn: Lsn;
  readonly #outputs: LayerOutputs;
  readonly #maker: PageMaker;
  readonly #keyView = new DataView(new ArrayBuffer(KEY_BYTES));
  #key: Key;
  /** Where the layer that is being written, or the next one, begins. */
  #start: Key;
  #isEmpty = true;

  constructor({ keys, lsn }: MakeImagesInput, outputs: LayerOutputs, maker: PageMaker) {
    this.#keys = keys;
    this.#lsn = lsn;
    this.#outputs = outputs;
    this.#maker = maker;
    this.#key = keys.start;
    this.#start = keys.start;
  }

  /** A key that `add` is going to be called for, maybe. */
  begin(key: DataView): void {
    for (let offset = 0; offset < this.#keyView.byteLength; offset++) {
      this.#keyView.setUint8(offset, key.getUint8(offset));
    }
  }

  async add(history: KeyHistory): Promise<void> {
    const newest = history.count - 1;
    const isImage = (history.flagsOf(newest) & VALUE_KIND_MASK) === VALUE_IMAGE;
    this.#key = readKey(this.#keyView, 0);
    const isPage = isPageKey(this.#key);
    if (isImage && !isPage) {
      if (history.lengthOf(newest) > 0)
        history.writeAt(newest, await this.#writer(), this.#keyView, this.#lsn);
    } else if (await this.#maker.make(this.#key, history, newest)) {
      const { page, view } = this.#maker;
      const writer = await this.#writer();
      writer.add(this.#keyView, 0, this.#lsn, VALUE_IMAGE, page.bytes, view, 0, BLOCK_BYTES);
    } else await this.#leaveOut();
    const { writer } = this.#outputs;
    if (writer?.isFull) await writer.drain();
  }

  /** The last layer goes up to the end of the range. */
  async end(): Promise<void> {
    // Nothing at all is something to be known: nothing existed.
    if (this.#isEmpty) await this.#outputs.begin();
    if (this.#outputs.writer !== undefined) {
      await this.#outputs.end({ start: this.#start, end: this.#keys.end });
    }
  }

  /** The layer that the key goes into: a new one where the last one is large enough. */
  async #writer(): ReturnType<LayerOutputs['begin']> {
    this.#isEmpty = false;
    const outputs = this.#outputs;
    if (outputs.isLargeEnough) {
      await outputs.end({ start: this.#start, end: this.#key });
      this.#start = this.#key;
    }
    return outputs.writer ?? (await outputs.begin());
  }

  async #leaveOut(): Promise<void> {
    this.#isEmpty = false;
    if (this.#outputs.writer !== undefined) {
      await this.#outputs.end({ start: this.#start, end: this.#key });
    }
    const after = nextKey(this.#key);
    this.#start = equalKeys(after, this.#keys.end) ? this.#keys.end : after;
  }
}
