import { CorruptionError } from '../../base/errors.ts';
import { compareEncodedKeys, formatKey, KEY_BYTES, type Key, readKey, writeKey } from '../keyspace/key.ts';
import type { KeyRange } from '../keyspace/key-range.ts';
import { copyKey } from '../layers/format/layout.ts';
import type { NewestCursor } from '../layers/format/newest-cursor.ts';
import type { OpenLayer } from '../layers/open-layer.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { VALUE_IMAGE, VALUE_KIND_MASK } from '../layers/value.ts';
import type { StoredLayer } from './readable-timeline.ts';
import { ScannedBatch } from './scanned-batch.ts';
import type { VisiblePart } from './visible-layers.ts';

export const LACKING = 0;
export const READY = 1;
export const ENDED = 2;

/** One layer's keys in order, each with the newest value that a scan may see of it. */
export interface ScanSource extends AsyncDisposable {
  /** The current key's 18 bytes stand at its beginning. */
  readonly keyView: DataView;
  readonly lsn: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
  /** 0: it does not exist. */
  readonly length: number;
  /** Goes to the next key: READY, ENDED, or LACKING, after which `load` is to be awaited and `advance` called again. */
  advance(): number;
  load(): Promise<void>;
}

/** A layer file: of each key the newest value below `lsnEnd`, where its part shows that. */
export class StoredSource implements ScanSource {
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  lsn = 0;
  bytes: Uint8Array = new Uint8Array(0);
  offset = 0;
  length = 0;
  readonly #layer: StoredLayer;
  readonly #lsnEnd: number;
  readonly #parts: readonly VisiblePart[];
  readonly #context: ReadContext;
  #nextPart = 0;
  /** Where the current part begins. */
  #lsnStart = 0;
  #cursor: NewestCursor | undefined;
  #hasEnded = false;

  constructor(layer: StoredLayer, lsnEnd: number, parts: readonly VisiblePart[], context: ReadContext) {
    this.#layer = layer;
    this.#lsnEnd = lsnEnd;
    this.#parts = parts;
    this.#context = context;
  }

  advance(): number {
    const cursor = this.#cursor;
    if (this.#hasEnded) return ENDED;
    do if (cursor === undefined || !cursor.advance()) return LACKING;
    while (cursor.lsn < this.#lsnStart);
    copyKey(this.keyView, 0, cursor.keyView, 0);
    if ((cursor.flags & VALUE_KIND_MASK) !== VALUE_IMAGE) refuse(readKey(this.keyView, 0), cursor.lsn);
    this.lsn = cursor.lsn;
    this.bytes = cursor.bytes;
    this.offset = cursor.offset;
    this.length = cursor.length;
    return READY;
  }

  /** @throws CorruptionError; what reading the layer fails of */
  async load(): Promise<void> {
    if (this.#cursor !== undefined && (await this.#cursor.load())) return;
    await this.#cursor?.[Symbol.asyncDispose]();
    this.#cursor = undefined;
    const part = this.#parts[this.#nextPart++];
    if (part === undefined) this.#hasEnded = true;
    else {
      this.#lsnStart = part.lsnStart;
      this.#cursor = await this.#layer.scanNewest(part, this.#lsnEnd, this.#context);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cursor?.[Symbol.asyncDispose]();
  }
}

/** A layer in memory, whose keys are in no order, though mostly nearly so. */
export class MemorySource implements ScanSource {
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  lsn = 0;
  readonly bytes: Uint8Array;
  offset = 0;
  length = 0;
  readonly #values: ScannedBatch;
  /** Entries of `#values` in the order of their keys. */
  readonly #order: Uint32Array;
  #next = 0;

  private constructor(values: ScannedBatch) {
    this.#values = values;
    this.bytes = values.bytes;
    const { keyView } = values;
    const byKey = (left: number, right: number): number =>
      compareEncodedKeys(keyView, left * KEY_BYTES, keyView, right * KEY_BYTES);
    this.#order = Uint32Array.from({ length: values.count }, (_, entry) => entry);
    let isSorted = true;
    for (let entry = 1; entry < values.count && isSorted; entry++) isSorted = byKey(entry - 1, entry) < 0;
    if (!isSorted) this.#order.sort(byKey);
  }

  /** @throws CorruptionError; as OpenLayer.scan */
  static async read(
    layer: OpenLayer,
    lsnEnd: number,
    parts: readonly KeyRange[],
    context: ReadContext,
  ): Promise<MemorySource> {
    const values = new ScannedBatch();
    const encoded = new DataView(new ArrayBuffer(KEY_BYTES));
    await layer.scan(parts, lsnEnd, context, (key, lsn, flags, bytes, offset, length) => {
      if ((flags & VALUE_KIND_MASK) !== VALUE_IMAGE) refuse(key, lsn);
      writeKey(encoded, 0, key);
      values.append(encoded, 0, lsn, bytes, offset, length);
    });
    return new MemorySource(values);
  }

  advance(): number {
    if (this.#next === this.#order.length) return ENDED;
    const entry = this.#order[this.#next++] as number;
    const values = this.#values;
    copyKey(this.keyView, 0, values.keyView, entry * KEY_BYTES);
    this.lsn = values.lsn(entry);
    this.offset = values.valueOffset(entry);
    this.length = values.valueLength(entry);
    return READY;
  }

  async load(): Promise<void> {
    // All is in memory.
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held.
  }
}

function refuse(key: Key, lsn: number): never {
  throw new CorruptionError('BAD_VALUE', `what is stored under ${formatKey(key)} is no image`, { lsn });
}
