import { throwIfCancelled } from '../../io/cancelled.ts';
import type { ReadableFile } from '../../io/files.ts';
import { KEY_BYTES, type Key, writeKey } from '../keyspace/key.ts';
import { type BlockCache, CachedBlocks } from './block-cache.ts';
import type { Block, BlockFile, BlockPins } from './blocks.ts';
import { collectRows } from './format/collect-rows.ts';
import {
  findIndexRow,
  indexRowCountOf,
  positionOfIndexRow,
  startsWithKey,
  storedLengthOfIndexRow,
} from './format/index-block.ts';
import { checkLayerIs, type LayerIdentity } from './format/layer-header.ts';
import { BLOCK_DATA, BLOCK_LEAF } from './format/layout.ts';
import { readBlocks, readLayerRoot, type WantedBlock } from './format/read-layer.ts';
import type { FoundValues } from './found-values.ts';
import type { ReadContext } from './read-context.ts';

export interface LayerFileOptions extends LayerIdentity {
  /** For messages. */
  readonly path: string;
  readonly cache: BlockCache;
  /** Opens the file when it is first read. */
  readonly open: (context: ReadContext) => Promise<ReadableFile>;
}

/** The root of the index. Data blocks are numbered by their position in the file, leaves by its negative. */
const ROOT = 0;
/** Where a long history goes on through block after block, so many are asked for at once. */
const HISTORY_BLOCKS_MAX = 4;
/** Lengths of blocks that were not loaded after all are forgotten when there are so many. */
const LENGTHS_MAX = 4096;

/** The key that is looked for. */
const searched = new DataView(new ArrayBuffer(KEY_BYTES));

/** A layer's file for reading. Does nothing until something is looked for in it. */
export class LayerFile implements BlockFile {
  readonly #layer: LayerIdentity;
  readonly #path: string;
  readonly #openFile: (context: ReadContext) => Promise<ReadableFile>;
  readonly #data: CachedBlocks;
  readonly #index: CachedBlocks;
  /** Of blocks that a search lacked, with their frames. A block that is not in here says itself how long it is. */
  readonly #lengths = new Map<number, number>();
  #file: Promise<ReadableFile> | undefined;

  constructor(options: LayerFileOptions) {
    const { tenantId, timelineId, description } = options;
    this.#layer = { tenantId, timelineId, description };
    this.#path = options.path;
    this.#openFile = options.open;
    this.#data = new CachedBlocks(options.cache, description.kind);
    this.#index = new CachedBlocks(options.cache, 'index');
  }

  peek(block: number, context: ReadContext): Block | undefined {
    return (block > 0 ? this.#data : this.#index).peek(block, context);
  }

  async load(blocks: readonly number[], context: ReadContext): Promise<Block[]> {
    // Ascending: those of the index come first.
    const firstData = blocks.findIndex((block) => block > 0);
    if (firstData === 0) return this.#loadOf(this.#data, blocks, context);
    if (firstData === -1) return this.#loadOf(this.#index, blocks, context);
    const [index, data] = await Promise.all([
      this.#loadOf(this.#index, blocks.slice(0, firstData), context),
      this.#loadOf(this.#data, blocks.slice(firstData), context),
    ]);
    return [...index, ...data];
  }

  /**
   * Adds to `found` the values of a key with lsnStart <= LSN < lsnEnd, the newest first, up to one that needs no older
   * one. Returns false, and leaves `found` as it was, where a block is not in memory; it is noted in `pins` then.
   */
  search(
    key: Key,
    lsnStart: number,
    lsnEnd: number,
    pins: BlockPins,
    found: FoundValues,
    context: ReadContext,
  ): boolean {
    const root = pins.find(this, ROOT, context);
    if (root === undefined) return false;
    const countBefore = found.count;
    writeKey(searched, 0, key);
    let leafRow = findIndexRow(root.view, searched, lsnEnd);
    for (let isFirst = true; leafRow >= 0; leafRow--, isFirst = false) {
      const leaf = this.#find(-1, root.view, leafRow, pins, context);
      if (leaf === undefined) {
        found.takeBackTo(countBefore);
        return false;
      }
      let row = isFirst ? findIndexRow(leaf.view, searched, lsnEnd) : indexRowCountOf(leaf.view) - 1;
      for (; row >= 0; row--) {
        const data = this.#find(1, leaf.view, row, pins, context);
        if (data === undefined) {
          this.#noteHistory(leaf.view, row, pins, context);
          found.takeBackTo(countBefore);
          return false;
        }
        if (!collectRows(data, searched, lsnStart, lsnEnd, found)) return true;
      }
    }
    return true;
  }

  /** Lets go of the file and of all that is kept of it. Who reads it now is waited for by the file. */
  async close(): Promise<void> {
    this.#data.drop();
    this.#index.drop();
    await this.letGo();
  }

  /** Lets go of the file, which is opened again when it is next read. */
  protected async letGo(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    if (file === undefined) return;
    // Whoever wanted to read has been told that it could not be opened.
    const opened = await file.catch(() => undefined);
    await opened?.close();
  }

  /** @param sign of the number of blocks of this kind */
  #find(
    sign: 1 | -1,
    index: DataView,
    row: number,
    pins: BlockPins,
    context: ReadContext,
  ): Block | undefined {
    const number = sign * positionOfIndexRow(index, row);
    const block = pins.find(this, number, context);
    if (block === undefined) {
      if (this.#lengths.size >= LENGTHS_MAX) this.#lengths.clear();
      this.#lengths.set(number, storedLengthOfIndexRow(index, row));
    }
    return block;
  }

  /** A block is lacking that begins with the key, so the one before has values of it, too: they may be needed next. */
  #noteHistory(leaf: DataView, lacking: number, pins: BlockPins, context: ReadContext): void {
    for (let row = lacking; row > 0 && row > lacking - HISTORY_BLOCKS_MAX + 1; row--) {
      if (!startsWithKey(leaf, row, searched)) return;
      this.#find(1, leaf, row - 1, pins, context);
    }
  }

  #loadOf(cached: CachedBlocks, blocks: readonly number[], context: ReadContext): Promise<Block[]> {
    return cached.load(blocks, context, (missing) => this.#fetch(missing, context));
  }

  async #fetch(numbers: readonly number[], context: ReadContext): Promise<Block[]> {
    throwIfCancelled(context.signal);
    const file = await this.#opened(context);
    const isIndex = (numbers[0] as number) <= 0;
    if (!isIndex) {
      const wanted = numbers.map((number) => this.#want(number));
      return readBlocks(file, wanted, BLOCK_DATA);
    }
    const blocks = new Map<number, Block>();
    if (numbers.includes(ROOT)) blocks.set(ROOT, await this.#loadRoot(file));
    const others = numbers.filter((number) => number !== ROOT);
    // Leaves come in descending order.
    others.reverse();
    const wanted = others.map((number) => this.#want(number));
    const loaded = await readBlocks(file, wanted, BLOCK_LEAF);
    for (const [at, number] of others.entries()) blocks.set(number, loaded[at] as Block);
    return numbers.map((number) => blocks.get(number) as Block);
  }

  #want(number: number): WantedBlock {
    const storedLength = this.#lengths.get(number);
    this.#lengths.delete(number);
    return { position: Math.abs(number), storedLength };
  }

  async #loadRoot(file: ReadableFile): Promise<Block> {
    const { header, root } = await readLayerRoot(file);
    checkLayerIs(header, this.#layer, this.#path);
    return root;
  }

  async #opened(context: ReadContext): Promise<ReadableFile> {
    const opening = (this.#file ??= this.#openFile(context));
    try {
      return await opening;
    } catch (error) {
      if (this.#file === opening) this.#file = undefined;
      throw error;
    }
  }
}
