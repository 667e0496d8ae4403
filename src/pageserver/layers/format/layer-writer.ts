import { AssertionError, VarveError } from '../../../base/errors.ts';
import type { Lsn } from '../../../base/lsn.ts';
import type { Files, UpdatableFile } from '../../../io/files.ts';
import { TEMPORARY_SUFFIX } from '../../../io/replace-file.ts';
import { compareEncodedKeys, compareKeys, formatKey, KEY_BYTES, readKey } from '../../keyspace/key.ts';
import type { KeyRange } from '../../keyspace/key-range.ts';
import type { LayerDescription } from '../layer-description.ts';
import { formatLayerFileName } from '../layer-name.ts';
import { VALUE_BYTES_MAX, VALUE_FLAGS_KNOWN } from '../value.ts';
import { type Compression, sealBlock } from './block-frame.ts';
import { compareStems } from './data-block.ts';
import { DataBlockBuilder } from './data-block-builder.ts';
import { IndexRows, lsnOfIndexRow } from './index-block.ts';
import { encodeLayerHeader, type LayerOwner } from './layer-header.ts';
import {
  BLOCK_LEAF,
  BLOCK_ROOT,
  copyKey,
  FRAME_BYTES,
  HEADER_BYTES,
  INDEX_ROW_BYTES,
  INDEX_ROWS,
  LEAF_ROWS_MAX,
} from './layout.ts';
import { OutputChunks } from './output-chunks.ts';

/** What a data block has before it is compressed. A page of an image layer is a block of its own. */
export const DELTA_BLOCK_BYTES: number = 16 * 1024;
export const IMAGE_BLOCK_BYTES: number = 8 * 1024;

export interface LayerWriterOptions extends LayerOwner {
  readonly files: Files;
  /** Where the layer goes. It must exist. */
  readonly directory: string;
  /** What the file is called until it is whole, without the suffix. Nobody else uses it at the same time. */
  readonly temporaryName: string;
  readonly postgresMajor: number;
  readonly kind: LayerDescription['kind'];
  readonly lsnStart: Lsn;
  /** Exclusive. */
  readonly lsnEnd: Lsn;
  readonly generation: number;
  readonly compression: Compression;
  /** DELTA_BLOCK_BYTES or IMAGE_BLOCK_BYTES unless told. */
  readonly blockBytes?: number;
  /** Told the temporary file of a writer that was forgotten: neither finished nor aborted. For development. */
  readonly onLeak?: (path: string) => void;
}

const leaks = new FinalizationRegistry<() => void>((tell) => tell());

/**
 * Writes a layer file. Whole, or not at all: until `finish` has come back there is none, and a writer that is not
 * finished leaves nothing behind but, after a crash, a file with the temporary suffix.
 *
 *     await using writer = await LayerWriter.create(options);
 *     for (…) { writer.add(…); if (writer.isFull) await writer.drain(); }
 *     const layer = await writer.finish(keys);
 */
export class LayerWriter implements AsyncDisposable {
  readonly #options: LayerWriterOptions;
  readonly #file: UpdatableFile;
  /** What the file is called now. */
  #path: string;
  readonly #blockBytes: number;
  readonly #chunks: OutputChunks;
  readonly #block = new DataBlockBuilder();
  readonly #dataRows = new IndexRows();
  #state: 'open' | 'finishing' | 'finished' | 'aborted' = 'open';
  #valueCount = 0;
  #keyCount = 0;
  #valueBytes = 0;
  /** Of the value that was added last. */
  readonly #lastKey = new DataView(new ArrayBuffer(KEY_BYTES));
  #lastLsn = -1;
  /** Of the current block's first value. */
  readonly #blockKey = new DataView(new ArrayBuffer(KEY_BYTES));
  #blockLsn = 0;
  #blockContinues = false;
  readonly #firstKey = new DataView(new ArrayBuffer(KEY_BYTES));

  /** Makes the temporary file, in place of what an earlier crash may have left under its name. */
  static async create(options: LayerWriterOptions): Promise<LayerWriter> {
    const isOneLsn = options.lsnEnd === options.lsnStart + 1;
    if (options.lsnStart >= options.lsnEnd || (options.kind === 'image' && !isOneLsn)) {
      throw new AssertionError(
        `a ${options.kind} layer cannot have LSNs ${options.lsnStart} to ${options.lsnEnd}`,
      );
    }
    const path = `${options.directory}/${options.temporaryName}${TEMPORARY_SUFFIX}`;
    const file = await options.files.openForUpdate(path);
    try {
      await file.resize(0);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new LayerWriter(options, file, path);
  }

  private constructor(options: LayerWriterOptions, file: UpdatableFile, temporaryPath: string) {
    this.#options = options;
    this.#file = file;
    this.#path = temporaryPath;
    this.#blockBytes =
      options.blockBytes ?? (options.kind === 'delta' ? DELTA_BLOCK_BYTES : IMAGE_BLOCK_BYTES);
    this.#chunks = new OutputChunks(file, HEADER_BYTES);
    const { onLeak } = options;
    if (onLeak !== undefined) leaks.register(this, () => onLeak(temporaryPath), this);
  }

  /** Values so far. */
  get valueCount(): number {
    return this.#valueCount;
  }

  /** About the file's length if it were finished now. */
  get estimatedBytes(): number {
    const pending = this.#block.rowCount === 0 ? 0 : FRAME_BYTES + this.#block.lengthWith(0);
    return this.#chunks.position + pending + (this.#dataRows.count + 2) * INDEX_ROW_BYTES;
  }

  /** There is as much to be written as should be: `drain` before adding more. */
  get isFull(): boolean {
    return this.#chunks.isFull;
  }

  /** Waits until little is left to be written. @throws what writing failed of, now or before */
  async drain(): Promise<void> {
    await this.#chunks.drain();
  }

  /**
   * Adds a value. Values come ordered by key and then LSN, no two of both the same. What is behind `bytes` may change
   * afterwards.
   *
   * @param key 18 bytes at `keyOffset`
   * @param view over the same memory as `bytes`
   */
  add(
    key: DataView,
    keyOffset: number,
    lsn: number,
    flags: number,
    bytes: Uint8Array,
    view: DataView,
    offset: number,
    length: number,
  ): void {
    if (this.#state !== 'open')
      throw new AssertionError(`a value is added to a writer that is ${this.#state}`);
    const order = this.#lastLsn < 0 ? 1 : compareEncodedKeys(key, keyOffset, this.#lastKey, 0);
    if (order < 0 || (order === 0 && lsn <= this.#lastLsn)) this.#failOrder(key, keyOffset, lsn);
    if (lsn < this.#options.lsnStart || lsn >= this.#options.lsnEnd) {
      throw new AssertionError('a value is outside of the LSNs of its layer', { lsn });
    }
    if (length > VALUE_BYTES_MAX || (flags & ~VALUE_FLAGS_KNOWN) !== 0) {
      throw new AssertionError(`a value of ${length} bytes with flags ${flags} cannot be stored`, { lsn });
    }
    const block = this.#block;
    if (block.rowCount > 0 && block.lengthWith(length) > this.#blockBytes) this.#endBlock();
    if (block.rowCount === 0) this.#beginBlock(key, keyOffset, lsn, order === 0);
    const hasNewStem = order > 0 && compareStems(key, keyOffset, this.#lastKey, 0) !== 0;
    block.add(key, keyOffset, hasNewStem, lsn, flags, bytes, view, offset, length);
    if (order > 0) {
      copyKey(this.#lastKey, 0, key, keyOffset);
      this.#keyCount++;
    }
    this.#lastLsn = lsn;
    this.#valueCount++;
    this.#valueBytes += length;
  }

  /**
   * Makes the file whole and durable, and gives it its name.
   * @param keys the layer's range, which all that was added must be in
   */
  async finish(keys: KeyRange): Promise<LayerDescription> {
    if (this.#state !== 'open') throw new AssertionError(`a writer that is ${this.#state} is finished`);
    this.#assertIn(keys);
    this.#state = 'finishing';
    try {
      const description = await this.#writeRest(keys);
      await this.#file.sync();
      await this.#file.close();
      const { files, directory } = this.#options;
      const path = `${directory}/${formatLayerFileName(description)}`;
      await files.rename(this.#path, path);
      this.#path = path;
      await files.syncDirectory(directory);
      this.#state = 'finished';
      leaks.unregister(this);
      return description;
    } catch (error) {
      this.#state = 'open';
      // What is left over is removed when the tenant is next loaded; the first error says what is wrong.
      await this.abort().catch(ignoreFailure);
      throw error;
    }
  }

  /** Gives the layer up and removes what there is of it. Does nothing to a finished one. */
  async abort(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'aborted';
    leaks.unregister(this);
    await this.#chunks.settle();
    await this.#file.close();
    await this.#options.files.remove(this.#path);
  }

  /** As `abort`; what cannot be removed is left over, too, lest its error takes the place of the first one. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort().catch(ignoreFailure);
  }

  #beginBlock(key: DataView, keyOffset: number, lsn: number, continues: boolean): void {
    if (this.#valueCount === 0) copyKey(this.#firstKey, 0, key, keyOffset);
    copyKey(this.#blockKey, 0, key, keyOffset);
    this.#blockLsn = lsn;
    this.#blockContinues = continues;
  }

  #endBlock(): void {
    const raw = this.#block.take(this.#blockContinues);
    this.#put(raw, this.#options.compression, this.#dataRows, this.#blockKey, 0, this.#blockLsn);
  }

  /** Writes a block and adds the row that leads to it. */
  #put(
    raw: Uint8Array,
    compression: Compression,
    rows: IndexRows,
    key: DataView,
    keyOffset: number,
    lsn: number,
  ): void {
    const chunks = this.#chunks;
    chunks.reserve(FRAME_BYTES + raw.length);
    const { position } = chunks;
    const storedLength = sealBlock(raw, position, compression, chunks.bytes, chunks.length);
    chunks.advance(storedLength);
    rows.add(key, keyOffset, lsn, position, storedLength, raw.length);
  }

  async #writeRest(keys: KeyRange): Promise<LayerDescription> {
    if (this.#block.rowCount > 0) this.#endBlock();
    const { compression, kind, lsnStart, lsnEnd, generation } = this.#options;
    const dataRows = this.#dataRows;
    const indexPosition = this.#chunks.position;
    const leafRows = new IndexRows();
    for (let start = 0; start < dataRows.count; start += LEAF_ROWS_MAX) {
      const end = Math.min(start + LEAF_ROWS_MAX, dataRows.count);
      const leaf = dataRows.toBlock(BLOCK_LEAF, start, end);
      const view = new DataView(leaf.buffer);
      this.#put(leaf, compression, leafRows, view, INDEX_ROWS, lsnOfIndexRow(view, 0));
      if (this.isFull) await this.drain();
    }
    const rootPosition = this.#chunks.position;
    const root = leafRows.toBlock(BLOCK_ROOT, 0, leafRows.count);
    this.#put(root, compression, new IndexRows(), this.#lastKey, 0, 0);
    await this.#chunks.finish();
    const sizeBytes = this.#chunks.position;
    const description: LayerDescription = { kind, keys, lsnStart, lsnEnd, generation, sizeBytes };
    const header = encodeLayerHeader({
      tenantId: this.#options.tenantId,
      timelineId: this.#options.timelineId,
      description,
      postgresMajor: this.#options.postgresMajor,
      valueCount: this.#valueCount,
      keyCount: this.#keyCount,
      valueBytes: this.#valueBytes,
      dataBlockCount: dataRows.count,
      leafCount: leafRows.count,
      indexPosition,
      rootPosition,
    });
    await this.#file.write(header, 0, header.length, 0);
    return description;
  }

  #assertIn(keys: KeyRange): void {
    const isEmpty = this.#valueCount === 0;
    const isIn =
      compareKeys(keys.start, keys.end) < 0 &&
      (isEmpty ||
        (compareKeys(keys.start, readKey(this.#firstKey, 0)) <= 0 &&
          compareKeys(readKey(this.#lastKey, 0), keys.end) < 0));
    if (!isIn) throw new AssertionError('the values of a layer are not in its range of keys');
  }

  #failOrder(key: DataView, keyOffset: number, lsn: number): never {
    const [last, next] = [readKey(this.#lastKey, 0), readKey(key, keyOffset)].map(formatKey);
    throw new AssertionError(`values out of order: ${next} after ${last} at ${this.#lastLsn}`, { lsn });
  }
}

function ignoreFailure(error: unknown): void {
  if (!(error instanceof VarveError) || error.kind === 'assertion') throw error;
}
