import { throwIfCancelled } from '../../../io/cancelled.ts';
import type { Files, ReadableFile } from '../../../io/files.ts';
import { compareKeys, KEY_BYTES, type Key, writeKey } from '../../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../../keyspace/key-range.ts';
import { countRowsBelow, countRowsOfStemBelow, rowCountOf, stemAt, stemCountOf } from './data-block.ts';
import { indexRowAt, lsnOfIndexRow } from './index-block.ts';
import { checkLayerIs, type LayerIdentity } from './layer-header.ts';
import {
  BLOCK_DATA,
  copyKey,
  copyStem,
  DATA_LSN_BASE,
  DATA_LSN_BYTES,
  DATA_VALUES,
  DATA_VALUES_LENGTH,
  END_FLAGS_SHIFT,
  END_MASK,
  readU64,
  STEM_BYTES,
  STEM_ROW_BYTES,
} from './layout.ts';
import { type NewestBlock, NewestBlocks } from './newest-blocks.ts';
import { decodeBlock, readLayerRoot, readStoredBlocks, type StoredBlock } from './read-layer.ts';

export interface NewestCursorOptions {
  readonly keys: KeyRange;
  /** Exclusive. */
  readonly lsnEnd: number;
  /** Ends the reading, with an error for who waits for it. */
  readonly signal: AbortSignal;
}

/** The key with which the next block begins. */
const nextKey = new DataView(new ArrayBuffer(KEY_BYTES));

/**
 * Goes through a range of keys of a layer in their order, and gives of each that has values below an LSN the newest of them.
 * Blocks that have none of these are not read; the others are read ahead, past all caches.
 *
 *     do while (cursor.advance()) use(cursor.keyView, cursor.lsn, cursor.bytes, …); while (await cursor.load());
 *
 * The key is overwritten when the cursor moves on; the memory of values is not.
 */
export class NewestCursor implements AsyncDisposable {
  /** The current key's 18 bytes stand at its beginning. */
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  lsn = 0;
  flags = 0;
  bytes: Uint8Array = new Uint8Array(0);
  offset = 0;
  length = 0;
  readonly #file: ReadableFile;
  readonly #signal: AbortSignal;
  readonly #lsnEnd: number;
  readonly #keyEnd: DataView | undefined;
  readonly #blocks: NewestBlocks;
  /** Until what lies before the range has been passed by. */
  #keyStart: DataView | undefined;
  /** What has been read, and the next of it. */
  #piece: StoredBlock<NewestBlock>[] = [];
  #next = 0;
  #ahead: Promise<StoredBlock<NewestBlock>[]> | undefined;
  /** Next row of the current block, and where they end. */
  #row = 0;
  #rowEnd = 0;
  #stem = 0;
  #stemEnd = 0;
  // Where the current block's columns are, once for all its rows.
  #view: DataView = nextKey;
  #indexes = 0;
  #lsns = 0;
  #lsnBytes = 0;
  #lsnBase = 0;
  #ends = 0;
  #stems = 0;
  #stemCount = 0;

  /**
   * @param layer what the file should be
   * @throws CorruptionError; what opening and reading fail of
   */
  static async open(
    files: Pick<Files, 'open'>,
    path: string,
    layer: LayerIdentity,
    options: NewestCursorOptions,
  ): Promise<NewestCursor> {
    const { keys, lsnEnd, signal } = options;
    const file = await files.open(path);
    try {
      const root = await readLayerRoot(file);
      checkLayerIs(root.header, layer, path);
      const keyStart = encodeKey(keys.start);
      const keyEnd = compareKeys(keys.end, ALL_KEYS.end) === 0 ? undefined : encodeKey(keys.end);
      const blocks = new NewestBlocks(file, root, keyStart, keyEnd, lsnEnd);
      return new NewestCursor(file, blocks, keyStart, keyEnd, lsnEnd, signal);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(
    file: ReadableFile,
    blocks: NewestBlocks,
    keyStart: DataView,
    keyEnd: DataView | undefined,
    lsnEnd: number,
    signal: AbortSignal,
  ) {
    this.#file = file;
    this.#blocks = blocks;
    this.#keyStart = keyStart;
    this.#keyEnd = keyEnd;
    this.#lsnEnd = lsnEnd;
    this.#signal = signal;
  }

  /** Moves on to the next key, if it has been read. false: `load` may know of one. @throws CorruptionError */
  advance(): boolean {
    for (;;) {
      while (this.#row === this.#rowEnd) if (!this.#openBlock()) return false;
      const view = this.#view;
      let newest = this.#row;
      if (newest >= this.#stemEnd) this.#enterStem(newest);
      const index = view.getUint32(this.#indexes + newest * 4);
      let next = newest + 1;
      if (next < this.#stemEnd && view.getUint32(this.#indexes + next * 4) === index) {
        next = countRowsOfStemBelow(view, this.#stem, index + 1, 0);
        newest = Math.max(newest, countRowsOfStemBelow(view, this.#stem, index, this.#lsnEnd) - 1);
      }
      this.#row = next;
      const lsn = this.#lsnOf(newest);
      if (lsn >= this.#lsnEnd) continue;
      this.lsn = lsn;
      this.keyView.setUint32(STEM_BYTES, index);
      const end = view.getUint32(this.#ends + newest * 4);
      const start = newest === 0 ? 0 : view.getUint32(this.#ends + (newest - 1) * 4) & END_MASK;
      this.flags = end >>> END_FLAGS_SHIFT;
      this.offset = DATA_VALUES + start;
      this.length = (end & END_MASK) - start;
      return true;
    }
  }

  /** Reads on, for `advance`. false: there is nothing more. @throws CorruptionError; what reading fails of */
  async load(): Promise<boolean> {
    throwIfCancelled(this.#signal);
    this.#piece = await (this.#ahead ?? this.#read());
    this.#ahead = undefined;
    this.#next = 0;
    if (this.#piece.length === 0) return false;
    this.#ahead = this.#read();
    // Whoever comes to it learns of it. Nobody may come.
    this.#ahead.catch(() => undefined);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What was read ahead is for nobody any more; the file must not be closed under it.
    await this.#ahead?.catch(() => undefined);
    await this.#file.close();
  }

  async #read(): Promise<StoredBlock<NewestBlock>[]> {
    return await readStoredBlocks(this.#file, await this.#blocks.next());
  }

  #lsnOf(row: number): number {
    const width = this.#lsnBytes;
    const at = this.#lsns + row * width;
    return (
      this.#lsnBase + (width === 0 ? 0 : width === 4 ? this.#view.getUint32(at) : readU64(this.#view, at))
    );
  }

  #enterStem(row: number): void {
    const view = this.#view;
    let at = 0;
    while (row >= this.#stemEnd) {
      at = this.#stems + ++this.#stem * STEM_ROW_BYTES;
      const isLast = this.#stem + 1 >= this.#stemCount;
      this.#stemEnd = isLast ? rowCountOf(view) : view.getUint32(at + STEM_ROW_BYTES + STEM_BYTES);
    }
    copyStem(this.keyView, view, at);
  }

  /** Goes to the next block. false: it is not in the piece. */
  #openBlock(): boolean {
    const stored = this.#piece[this.#next++];
    if (stored === undefined) return false;
    const { wanted, bytes: memory, start } = stored;
    const { position, storedLength } = wanted;
    const { bytes, view } = decodeBlock(memory, start, position, storedLength, this.#file, BLOCK_DATA);
    const count = rowCountOf(view);
    this.bytes = bytes;
    this.#view = view;
    this.#indexes = DATA_VALUES + view.getUint32(DATA_VALUES_LENGTH);
    this.#lsns = this.#indexes + count * 4;
    this.#lsnBytes = view.getUint8(DATA_LSN_BYTES);
    this.#lsnBase = readU64(view, DATA_LSN_BASE);
    this.#ends = this.#lsns + count * this.#lsnBytes;
    this.#stems = stemAt(view, 0);
    this.#stemCount = stemCountOf(view);
    this.#stem = -1;
    this.#stemEnd = 0;
    this.#row = 0;
    if (this.#keyStart !== undefined) {
      this.#row = countRowsBelow(view, this.#keyStart, 0);
      if (this.#row < count) this.#keyStart = undefined;
    }
    this.#rowEnd = Math.max(this.#row, this.#countWanted(wanted));
    return true;
  }

  /** How many of the current block's rows are of keys of the range that have not a newer value in the next block. */
  #countWanted({ nextView, nextRow }: NewestBlock): number {
    const view = this.#view;
    let count = this.#keyEnd === undefined ? rowCountOf(view) : countRowsBelow(view, this.#keyEnd, 0);
    if (nextView !== undefined && lsnOfIndexRow(nextView, nextRow) < this.#lsnEnd) {
      copyKey(nextKey, 0, nextView, indexRowAt(nextRow));
      count = Math.min(count, countRowsBelow(view, nextKey, 0));
    }
    return count;
  }
}

function encodeKey(key: Key): DataView {
  const view = new DataView(new ArrayBuffer(KEY_BYTES));
  writeKey(view, 0, key);
  return view;
}
