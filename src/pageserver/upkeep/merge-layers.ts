import { CorruptionError } from '../../base/errors.ts';
import { compareEncodedKeys, formatKey, KEY_BYTES, readKey, writeKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import type { LayerDescription } from '../layers/layer-description.ts';
import type { SortedValues } from './sorted-values.ts';

/** A layer that goes into a merge. */
export interface MergeInput {
  readonly kind: LayerDescription['kind'];
  /** For messages: the file's path. */
  readonly name: string;
  readonly values: SortedValues;
  /** Values of other LSNs are passed over. */
  readonly lsnStart: number;
  /** Exclusive. */
  readonly lsnEnd: number;
  /** A mark, for whoever uses the merge. */
  readonly isBelow?: boolean;
}

/** An input, and where it stands. */
interface Source extends MergeInput {
  isInRange: boolean;
}

/**
 * The values of several layers in one sequence, ordered by key, LSN and kind of layer: an image layer's value comes
 * after the record of its LSN, since it has its changes.
 *
 * The same value may be in two layers: those that a compaction made, and those it was to replace, if it was
 * interrupted. It is given once.
 *
 * A heap of the sources but for the one whose value is the current one: most values follow another one of the same
 * source. Nothing is allocated for a value.
 */
export class MergeLayers implements SortedValues {
  /** The current value's key, in memory of its own. */
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly keyOffset: number = 0;
  lsn = 0;
  flags = 0;
  bytes: Uint8Array = new Uint8Array();
  view: DataView = new DataView(this.bytes.buffer);
  offset = 0;
  length = 0;
  kind: LayerDescription['kind'] = 'delta';
  /** The layer that the value was taken from. */
  name = '';
  /** The mark of the layer that the value was taken from. */
  isBelow = false;
  /** The value before this one was of another key, or there was none. */
  isNewKey = false;
  readonly #start = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly #end = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly #heap: Source[] = [];
  /** Sources whose next value is not in memory. */
  readonly #pending: Source[] = [];
  /** Whose value is the current one. Not in the heap. */
  #held: Source | undefined;
  #hasBegun = false;

  /** The inputs' cursors stand before their first values. */
  constructor(inputs: readonly MergeInput[], keys: KeyRange) {
    writeKey(this.#start, 0, keys.start);
    writeKey(this.#end, 0, keys.end);
    for (const input of inputs) this.#pending.push({ ...input, isInRange: false });
  }

  advance(): boolean {
    if (this.#held !== undefined) {
      const held = this.#held;
      if (!this.#move(held)) {
        this.#held = undefined;
        this.#pending.push(held);
      }
    }
    if (this.#pending.length > 0) return false;
    return this.#settle();
  }

  async next(): Promise<boolean> {
    while (this.#pending.length > 0) {
      const sources = this.#pending.splice(0);
      // Of several that fail, all have come to rest when one is reported.
      const outcomes = await Promise.allSettled(sources.map((source) => source.values.next()));
      for (const [index, source] of sources.entries()) {
        const outcome = outcomes[index] as PromiseSettledResult<boolean>;
        if (outcome.status === 'rejected') throw outcome.reason;
        if (!outcome.value) continue;
        if (this.#accept(source) || this.#move(source)) this.#push(source);
        else this.#pending.push(source);
      }
    }
    return this.#settle();
  }

  /** To the source's next value that counts. False: it is not in memory. */
  #move(source: Source): boolean {
    while (source.values.advance()) {
      if (this.#accept(source)) return true;
    }
    return false;
  }

  /** Looks at the value that a source stands at now. False: it is to be passed over. */
  #accept(source: Source): boolean {
    const { values } = source;
    const { lsn } = values;
    if (lsn < source.lsnStart || lsn >= source.lsnEnd) return false;
    if (!source.isInRange) {
      if (compareEncodedKeys(values.keyView, values.keyOffset, this.#start, 0) < 0) return false;
      source.isInRange = true;
    }
    return true;
  }

  /** Makes the lowest value the current one. False: there is none. */
  #settle(): boolean {
    const top = this.#heap[0];
    const held = this.#held;
    if (held === undefined) {
      if (top === undefined) return false;
      this.#held = top;
      this.#removeTop();
    } else if (top !== undefined && compareSources(top, held) < 0) {
      this.#held = top;
      this.#heap[0] = held;
      this.#siftDown();
    }
    return this.#take(this.#held as Source);
  }

  #take(source: Source): boolean {
    const { values } = source;
    const { keyView, keyOffset } = values;
    this.isNewKey = !this.#hasBegun || compareEncodedKeys(keyView, keyOffset, this.keyView, 0) !== 0;
    this.#hasBegun = true;
    if (this.isNewKey) {
      if (compareEncodedKeys(keyView, keyOffset, this.#end, 0) >= 0) return this.#finish();
      const own = this.keyView;
      own.setUint32(0, keyView.getUint32(keyOffset));
      own.setUint32(4, keyView.getUint32(keyOffset + 4));
      own.setUint32(8, keyView.getUint32(keyOffset + 8));
      own.setUint32(12, keyView.getUint32(keyOffset + 12));
      own.setUint16(16, keyView.getUint16(keyOffset + 16));
    }
    this.lsn = values.lsn;
    this.flags = values.flags;
    this.bytes = values.bytes;
    this.view = values.view;
    this.offset = values.offset;
    this.length = values.length;
    this.kind = source.kind;
    this.name = source.name;
    this.isBelow = source.isBelow === true;
    this.#dropRepetitions(source);
    return true;
  }

  #finish(): boolean {
    this.#held = undefined;
    this.#heap.length = 0;
    this.#pending.length = 0;
    return false;
  }

  #dropRepetitions(held: Source): void {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || !isSamePlace(top, held)) return;
      if (!isSameValue(top.values, held.values)) {
        throw new CorruptionError('LAYERS_DISAGREE', `${held.name} has another value for the key and LSN`, {
          file: top.name,
          lsn: this.lsn,
          page: formatKey(readKey(this.keyView, 0)),
        });
      }
      if (this.#move(top)) this.#siftDown();
      else {
        this.#removeTop();
        this.#pending.push(top);
      }
    }
  }

  #push(source: Source): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(source);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Source;
      if (compareSources(above, source) <= 0) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = source;
  }

  #removeTop(): void {
    const last = this.#heap.pop() as Source;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#siftDown();
  }

  /** Puts the first one where it belongs. */
  #siftDown(): void {
    const heap = this.#heap;
    const source = heap[0] as Source;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && compareSources(heap[child + 1] as Source, heap[child] as Source) < 0) {
        child++;
      }
      const below = heap[child] as Source;
      if (compareSources(source, below) <= 0) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = source;
  }
}

function compareSources(left: Source, right: Source): number {
  const a = left.values;
  const b = right.values;
  return (
    compareEncodedKeys(a.keyView, a.keyOffset, b.keyView, b.keyOffset) ||
    a.lsn - b.lsn ||
    (left.kind === right.kind ? 0 : left.kind === 'delta' ? -1 : 1)
  );
}

const isSamePlace = (left: Source, right: Source): boolean => compareSources(left, right) === 0;

function isSameValue(left: SortedValues, right: SortedValues): boolean {
  if (left.flags !== right.flags || left.length !== right.length) return false;
  const { bytes, offset, length } = left;
  const otherBytes = right.bytes;
  const otherOffset = right.offset;
  for (let index = 0; index < length; index++) {
    if (bytes[offset + index] !== otherBytes[otherOffset + index]) return false;
  }
  return true;
}
