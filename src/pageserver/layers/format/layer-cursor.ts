import { throwIfCancelled } from '../../../io/cancelled.ts';
import type { Files, ReadableFile } from '../../../io/files.ts';
import { compareKeys, KEY_BYTES, writeKey } from '../../keyspace/key.ts';
import { ALL_KEYS, type KeyRange } from '../../keyspace/key-range.ts';
import { decodeStoredBlock, decodeStoredLength } from './block-frame.ts';
import { countRowsBelow, endRowOfStem, rowCountOf, stemAt } from './data-block.ts';
import { findIndexRow, indexRowCountOf, positionOfIndexRow, storedLengthOfIndexRow } from './index-block.ts';
import { checkLayerIs, type LayerIdentity } from './layer-header.ts';
import {
  BLOCK_DATA,
  BLOCK_LEAF,
  badLayer,
  copyStem,
  DATA_LSN_BASE,
  DATA_LSN_BYTES,
  DATA_VALUES,
  DATA_VALUES_LENGTH,
  END_FLAGS_SHIFT,
  END_MASK,
  FRAME_BYTES,
  HEADER_BYTES,
  readU64,
  STEM_BYTES,
} from './layout.ts';
import { readBlocks, readLayerRoot, toBlock } from './read-layer.ts';

const CHUNK_BYTES: number = 512 * 1024;

export interface LayerCursorOptions {
  /** Values of other keys are passed by. All, if not given. */
  readonly keys?: KeyRange;
  /** Ends the reading ahead, with an error for who waits for it. */
  readonly signal?: AbortSignal;
}

/** A piece of the data blocks' part of the file. */
interface Chunk {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly position: number;
  /** Where in the file the blocks end that are whole in it. */
  readonly end: number;
}

const EMPTY = new DataView(new ArrayBuffer(0));

/**
 * Goes through the values of a layer, or of a range of keys of it, in the order of keys and LSNs. Reads ahead in large
 * pieces, past all caches.
 *
 *     while (cursor.advance() || (await cursor.next())) use(cursor.keyView, cursor.lsn, cursor.bytes, …);
 *
 * The key is overwritten when the cursor moves on; the memory of values is not.
 */
export class LayerCursor implements AsyncDisposable {
  /** The 18 bytes of the current value's key stand at `keyOffset`. */
  readonly keyView: DataView = new DataView(new ArrayBuffer(KEY_BYTES));
  readonly keyOffset = 0;
  lsn = 0;
  flags = 0;
  bytes: Uint8Array = new Uint8Array(0);
  /** Over the memory of `bytes`. */
  view: DataView = EMPTY;
  offset = 0;
  length = 0;
  readonly #file: ReadableFile;
  readonly #signal: AbortSignal | undefined;
  readonly #keyEnd: DataView | undefined;
  /** Data blocks end here. */
  readonly #dataEnd: number;
  /** Of the next block. */
  #position: number;
  #chunk: Chunk | undefined;
  #ahead: Promise<Chunk> | undefined;
  /** Next row of the current block, and where they end. */
  #row = 0;
  #rowEnd = 0;
  #stem = 0;
  #stemEnd = 0;
  // Where the current block's columns are, once for all its rows.
  #indexes = 0;
  #lsns = 0;
  #lsnBytes = 0;
  #lsnBase = 0;
  #ends = 0;
  /** Until what lies before the range has been passed by. */
  #keyStart: DataView | undefined;

  /**
   * @param layer what the file should be
   * @throws CorruptionError; what opening and reading fail of
   */
  static async open(
    files: Pick<Files, 'open'>,
    path: string,
    layer: LayerIdentity,
    options: LayerCursorOptions = {},
  ): Promise<LayerCursor> {
    const { keys = ALL_KEYS } = options;
    const file = await files.open(path);
    try {
      const { header, root } = await readLayerRoot(file);
      checkLayerIs(header, layer, path);
      const keyStart = encodeKey(keys.start);
      const start = await findStart(file, root.view, keyStart);
      if (start >= header.indexPosition && header.dataBlockCount > 0) {
        throw badLayer(path, start, 'the index leads behind the data');
      }
      return new LayerCursor(file, options, header.indexPosition, start, keyStart);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  private constructor(
    file: ReadableFile,
    options: LayerCursorOptions,
    dataEnd: number,
    start: number,
    keyStart: DataView,
  ) {
    this.#file = file;
    this.#signal = options.signal;
    this.#dataEnd = dataEnd;
    this.#position = start;
    this.#keyStart = keyStart;
    const keyEnd = options.keys?.end ?? ALL_KEYS.end;
    this.#keyEnd = compareKeys(keyEnd, ALL_KEYS.end) === 0 ? undefined : encodeKey(keyEnd);
  }

  /**
   * Moves on to the next value, if it has been read. false: `next` may know of one.
   * @throws CorruptionError
   */
  advance(): boolean {
    while (this.#row === this.#rowEnd) if (!this.#openBlock()) return false;
    const { view } = this;
    const row = this.#row++;
    if (row >= this.#stemEnd) this.#enterStem(row);
    this.keyView.setUint32(STEM_BYTES, view.getUint32(this.#indexes + row * 4));
    const width = this.#lsnBytes;
    const above = this.#lsns + row * width;
    this.lsn = this.#lsnBase + (width === 0 ? 0 : width === 4 ? view.getUint32(above) : readU64(view, above));
    const end = view.getUint32(this.#ends + row * 4);
    const start = row === 0 ? 0 : view.getUint32(this.#ends + (row - 1) * 4) & END_MASK;
    this.flags = end >>> END_FLAGS_SHIFT;
    this.offset = DATA_VALUES + start;
    this.length = (end & END_MASK) - start;
    return true;
  }

  /** Moves on to the next value. false: there is none. @throws CorruptionError; what reading fails of */
  async next(): Promise<boolean> {
    for (;;) {
      if (this.advance()) return true;
      if (this.#position >= this.#dataEnd) return false;
      if (this.#signal !== undefined) throwIfCancelled(this.#signal);
      const ahead = this.#ahead ?? this.#read(this.#position);
      this.#ahead = undefined;
      this.#chunk = await ahead;
      const { end } = this.#chunk;
      if (end < this.#dataEnd) {
        this.#ahead = this.#read(end);
        // Whoever comes to it learns of it. Nobody may come.
        this.#ahead.catch(() => undefined);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#position = this.#dataEnd;
    this.#row = this.#rowEnd;
    // What was read ahead is for nobody any more; the file must not be closed under it.
    await this.#ahead?.catch(() => undefined);
    await this.#file.close();
  }

  #enterStem(row: number): void {
    const { view } = this;
    while (row >= this.#stemEnd) this.#stemEnd = endRowOfStem(view, ++this.#stem);
    const at = stemAt(view, this.#stem);
    copyStem(this.keyView, view, at);
  }

  /** Goes to the next block. false: it is not in the chunk, or there is none. */
  #openBlock(): boolean {
    const chunk = this.#chunk;
    const position = this.#position;
    if (chunk === undefined || position >= chunk.end || position >= this.#dataEnd) return false;
    const at = position - chunk.position;
    const file = this.#file;
    const storedLength = decodeStoredLength(chunk.view, at, position, chunk.end, file.path);
    const raw = decodeStoredBlock(chunk.bytes, at, storedLength, position, file.path);
    const { bytes, view } = toBlock(raw, BLOCK_DATA, position, file);
    this.#position += storedLength;
    this.bytes = bytes;
    this.view = view;
    this.#indexes = DATA_VALUES + view.getUint32(DATA_VALUES_LENGTH);
    this.#lsns = this.#indexes + rowCountOf(view) * 4;
    this.#lsnBytes = view.getUint8(DATA_LSN_BYTES);
    this.#lsnBase = readU64(view, DATA_LSN_BASE);
    this.#ends = this.#lsns + rowCountOf(view) * this.#lsnBytes;
    this.#row = 0;
    if (this.#keyStart !== undefined) {
      this.#row = countRowsBelow(view, this.#keyStart, 0);
      if (this.#row < rowCountOf(view)) this.#keyStart = undefined;
    }
    this.#rowEnd = rowCountOf(view);
    if (this.#keyEnd !== undefined) this.#cut(this.#keyEnd);
    this.#stem = -1;
    this.#stemEnd = 0;
    return true;
  }

  /** Ends the block, and the whole way, before a key. */
  #cut(keyEnd: DataView): void {
    this.#rowEnd = countRowsBelow(this.view, keyEnd, 0);
    if (this.#rowEnd < rowCountOf(this.view)) this.#position = this.#dataEnd;
    if (this.#row > this.#rowEnd) this.#row = this.#rowEnd;
  }

  /** Reads a piece that begins with a block, and is at least that block. */
  async #read(position: number): Promise<Chunk> {
    let length = Math.min(CHUNK_BYTES, this.#dataEnd - position);
    for (;;) {
      const bytes = new Uint8Array(length);
      const count = await this.#file.read(bytes, 0, length, position);
      if (count < length) throw badLayer(this.#file.path, position + count, 'it ends within its data');
      const view = new DataView(bytes.buffer);
      const end = this.#endOfWhole(view, position);
      if (end > position) return { bytes, view, position, end };
      // The first block is larger.
      length = decodeStoredLength(view, 0, position, this.#dataEnd, this.#file.path);
    }
  }

  #endOfWhole(view: DataView, position: number): number {
    const limit = position + view.byteLength;
    let end = position;
    while (end + FRAME_BYTES <= limit) {
      const length = decodeStoredLength(view, end - position, end, this.#dataEnd, this.#file.path);
      if (end + length > limit) break;
      end += length;
    }
    if (limit === this.#dataEnd && end < limit && end + FRAME_BYTES > limit) {
      throw badLayer(this.#file.path, end, 'a block ends within its frame');
    }
    return end;
  }
}

function encodeKey(key: KeyRange['start']): DataView {
  const view = new DataView(new ArrayBuffer(KEY_BYTES));
  writeKey(view, 0, key);
  return view;
}

/** Position of the block in which the first value at or above the key may be, or of one before. */
async function findStart(file: ReadableFile, root: DataView, key: DataView): Promise<number> {
  const leafRow = findIndexRow(root, key, 0);
  if (leafRow < 0) return HEADER_BYTES;
  const position = positionOfIndexRow(root, leafRow);
  const storedLength = storedLengthOfIndexRow(root, leafRow);
  const [leaf] = await readBlocks(file, [{ position, storedLength }], BLOCK_LEAF);
  if (leaf === undefined || indexRowCountOf(leaf.view) === 0) {
    throw badLayer(file.path, position, 'a leaf leads nowhere');
  }
  const row = findIndexRow(leaf.view, key, 0);
  return positionOfIndexRow(leaf.view, Math.max(row, 0));
}
