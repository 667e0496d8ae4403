import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import type { JobContext } from '../../io/workers.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { KEY_BYTES, type Key, nextKey, readKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import { isPageKey } from '../keyspace/keys.ts';
import type { LayerWriter } from '../layers/format/layer-writer.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import { isBase, VALUE_IMAGE } from '../layers/value.ts';
import { type BottomVersion, planKey } from './bottom-versions.ts';
import type { PromisedReads } from './gc-cutoff.ts';
import { KeyHistory } from './key-history.ts';
import { type LayerInput, LayerInputs } from './layer-inputs.ts';
import { LayerOutputs, type OutputTarget } from './layer-outputs.ts';
import { type Liveness, LivenessSweep } from './liveness.ts';
import { coverOf } from './make-images.ts';
import { MergeLayers } from './merge-layers.ts';
import { Pace } from './pace.ts';
import { type FailedKey, PageMaker } from './page-maker.ts';

/** Plain data. */
export interface RewriteBottomInput extends PromisedReads {
  /** The layers that are to be replaced: see BottomPlan. */
  readonly layers: readonly LayerInput[];
  /** All layers of ancestors that hold what the keys were where the timeline begins. */
  readonly below: readonly LayerInput[];
  /** There are ancestors, which may have more than that: what they keep beside the last record that the timeline sees. */
  readonly mayExistBelow: boolean;
  readonly keys: KeyRange;
  /**
   * What pages existed at each of the retained LSNs, and then at any of those, from the cutoff on, that are promised: the
   * cutoff itself need not be.
   */
  readonly liveness: readonly Liveness[];
  readonly target: OutputTarget;
  readonly failureDirectory?: string;
}

export interface RewriteBottomOutput {
  readonly layers: readonly LayerDescription[];
  /** Of these all that there was has been kept, as of pages without a base, which need not be read. */
  readonly failedKeys: readonly FailedKey[];
}

/**
 * Writes what has to stay of the history of a range of keys (keepVersions) into delta layers with the LSN ranges of the
 * inputs together. An image in place of a record is a value of a delta layer, too, since each key has its images at
 * LSNs of its own.
 *
 * The same inputs give the same layers, under the same names; see compact-deltas.ts on when they count.
 */
export async function rewriteBottom(
  input: RewriteBottomInput,
  context: JobContext,
): Promise<RewriteBottomOutput> {
  const { layers, below, keys, target } = input;
  if (layers.length === 0) throw new AssertionError('nothing is to be rewritten');
  const lsnStart = Math.min(...layers.map((layer) => layer.lsnStart)) as Lsn;
  const lsnEnd = Math.max(...layers.map((layer) => layer.lsnEnd)) as Lsn;
  if (below.some((layer) => layer.lsnEnd > lsnStart)) {
    throw new AssertionError('what is below reaches into what is rewritten', { lsn: lsnStart });
  }
  await using ownInputs = await LayerInputs.open(layers, keys, context);
  await using belowInputs = await LayerInputs.open(below, keys, context);
  const shape = { kind: 'delta', lsnStart, lsnEnd, inputs: layers } as const;
  await using outputs = new LayerOutputs(context.files, target, shape);
  const maker = new PageMaker(target.postgresMajor, context.files, input.failureDirectory);
  const belowMarked = belowInputs.merged.map((merged) => ({ ...merged, isBelow: true }));
  const merge = new MergeLayers([...ownInputs.merged, ...belowMarked], keys);
  const rewriter = new KeyRewriter(input, outputs, maker);
  const pace = new Pace(context);
  while (merge.advance() || (await merge.next())) {
    if (merge.isNewKey) {
      await rewriter.end();
      rewriter.begin(merge.keyView);
    }
    rewriter.add(merge);
    if (pace.isDue(merge.length)) await pace.step();
  }
  await rewriter.end();
  await rewriter.finish();
  await context.step();
  return { layers: outputs.keep(), failedKeys: maker.failedKeys };
}

/** Takes the values of one key after another, and writes what is to stay of each. */
class KeyRewriter {
  readonly #input: RewriteBottomInput;
  readonly #outputs: LayerOutputs;
  readonly #maker: PageMaker;
  readonly #points: readonly number[];
  readonly #sweeps: readonly LivenessSweep[];
  readonly #cover: ReturnType<typeof coverOf>;
  readonly #belowCover: ReturnType<typeof coverOf>;
  readonly #history = new KeyHistory();
  /** How many of the history's values, the first ones, are from below. */
  #belowCount = 0;
  #imageLsns: readonly number[] = [];
  #belowFloor = -1;
  readonly #keyView = new DataView(new ArrayBuffer(KEY_BYTES));
  #key: Key;
  /** By point: whether the page existed there. */
  #isAlive: boolean[] = [];
  /** Where the layer before ends. */
  #start: Key;
  /** Of the layer that is being written. */
  #firstKey: Key;
  #lastKey: Key;
  /** Images of the current key that have been made and not written. */
  readonly #pages: { readonly bytes: Uint8Array; readonly view: DataView }[] = [];

  constructor(input: RewriteBottomInput, outputs: LayerOutputs, maker: PageMaker) {
    this.#input = input;
    this.#outputs = outputs;
    this.#maker = maker;
    this.#points = [...input.retainedLsns, input.cutoff];
    if (input.liveness.length !== this.#points.length) {
      throw new AssertionError('what existed must be known for each promised LSN');
    }
    this.#sweeps = input.liveness.map((liveness) => new LivenessSweep(liveness));
    this.#cover = coverOf(input.layers);
    this.#belowCover = coverOf(input.below);
    this.#key = input.keys.start;
    this.#start = this.#key;
    this.#firstKey = this.#key;
    this.#lastKey = this.#key;
  }

  begin(keyView: DataView): void {
    for (let offset = 0; offset < KEY_BYTES; offset++)
      this.#keyView.setUint8(offset, keyView.getUint8(offset));
    this.#key = readKey(keyView, 0);
    this.#imageLsns = this.#cover.lsnsOf(keyView, 0);
    this.#belowFloor = this.#belowCover.lsnsOf(keyView, 0).at(-1) ?? -1;
    this.#isAlive = this.#sweeps.map((sweep) => sweep.isAlive(keyView, 0));
  }

  add(value: MergeLayers): void {
    const history = this.#history;
    if (value.isBelow) {
      const isHidden =
        value.lsn < this.#belowFloor || (value.lsn === this.#belowFloor && value.kind === 'delta');
      if (isHidden) return;
      if (isBase(value.flags)) history.clear();
      history.add(value);
      this.#belowCount = history.count;
      return;
    }
    // The image has the changes of the record that it was made at.
    const { count } = history;
    if (value.kind === 'image' && count > this.#belowCount && history.lsnOf(count - 1) === value.lsn) {
      history.dropLast();
    }
    history.add(value);
  }

  /** Writes what stays of the key. */
  async end(): Promise<void> {
    const history = this.#history;
    if (history.count > 0) {
      const versions = planKey(history, this.#belowCount, this.#imageLsns, this.#input);
      const needed = isPageKey(this.#key) ? this.#aliveOnes(versions) : this.#withoutLeadingAbsence(versions);
      const isMade = await this.#makePages(needed);
      await this.#write(isMade ? needed : this.#allOwn());
    }
    history.clear();
    this.#belowCount = 0;
  }

  /** Ends the last layer. */
  async finish(): Promise<void> {
    if (this.#outputs.writer === undefined) return;
    const { keys } = this.#input;
    const end = nextKey(this.#lastKey);
    const candidates: KeyRange[] = [
      { start: this.#firstKey, end },
      // Nothing else is in these keys.
      { start: this.#start, end },
      { start: this.#firstKey, end: keys.end },
    ];
    const free = candidates.find((candidate) => !this.#outputs.isTaken(candidate));
    await this.#outputs.end(free ?? { start: this.#start, end: keys.end });
  }

  /** Whoever asks for a page that did not exist is told so by the size of what it would be in. */
  #aliveOnes(versions: readonly BottomVersion[]): BottomVersion[] {
    return versions.filter(({ lsn, index }, at) => {
      if (index < 0) return false;
      if (lsn > this.#input.cutoff) return true;
      const next = versions[at + 1]?.lsn ?? Number.POSITIVE_INFINITY;
      return this.#points.some((point, which) => point >= lsn && point < next && this.#isAlive[which]);
    });
  }

  /** Where nothing can be below, what does not exist needs no mark. */
  #withoutLeadingAbsence(versions: readonly BottomVersion[]): BottomVersion[] {
    if (this.#input.mayExistBelow) return [...versions];
    const first = versions.findIndex(({ index }) => index >= 0 && this.#history.lengthOf(index) > 0);
    return first < 0 ? [] : versions.slice(first);
  }

  #allOwn(): BottomVersion[] {
    const all: BottomVersion[] = [];
    for (let index = this.#belowCount; index < this.#history.count; index++) {
      all.push({ lsn: this.#history.lsnOf(index), index, isImage: false });
    }
    return all;
  }

  #hasBase(index: number): boolean {
    for (let at = index; at >= 0; at--) if (isBase(this.#history.flagsOf(at))) return true;
    return false;
  }

  /** False: one of them cannot be made. */
  async #makePages(versions: readonly BottomVersion[]): Promise<boolean> {
    let count = 0;
    for (const { index, isImage } of versions) {
      if (!isImage) continue;
      // A newer image, above what is rewritten, ends all promised reads, and its base is garbage that has been removed.
      if (!this.#hasBase(index)) return false;
      if (!(await this.#maker.make(this.#key, this.#history, index))) return false;
      if (count === this.#pages.length) {
        const bytes = new Uint8Array(BLOCK_BYTES);
        this.#pages.push({ bytes, view: new DataView(bytes.buffer) });
      }
      (this.#pages[count++] as { bytes: Uint8Array }).bytes.set(this.#maker.page.bytes);
    }
    return true;
  }

  async #write(versions: readonly BottomVersion[]): Promise<void> {
    if (versions.length === 0) return;
    const writer = await this.#writer();
    let pageCount = 0;
    for (const { lsn, index, isImage } of versions) {
      if (isImage) {
        const { bytes, view } = this.#pages[pageCount++] as { bytes: Uint8Array; view: DataView };
        writer.add(this.#keyView, 0, lsn, VALUE_IMAGE, bytes, view, 0, BLOCK_BYTES);
      } else if (index < 0) {
        writer.add(this.#keyView, 0, lsn, VALUE_IMAGE, NOTHING, NOTHING_VIEW, 0, 0);
      } else this.#history.writeAt(index, writer, this.#keyView, lsn);
      if (writer.isFull) await writer.drain();
    }
    this.#lastKey = this.#key;
  }

  async #writer(): Promise<LayerWriter> {
    const outputs = this.#outputs;
    const keys = { start: this.#firstKey, end: nextKey(this.#lastKey) };
    // What would have the name of an input, which is then to be removed, becomes larger than wanted.
    if (outputs.isLargeEnough && !outputs.isTaken(keys)) {
      await outputs.end(keys);
      this.#start = keys.end;
    }
    if (outputs.writer !== undefined) return outputs.writer;
    this.#firstKey = this.#key;
    return await outputs.begin();
  }
}

const NOTHING = new Uint8Array(0);
const NOTHING_VIEW = new DataView(NOTHING.buffer);
