import { VarveError } from '../../base/errors.ts';
import type { Pass } from '../../base/gate.ts';
import type { ReadableFile } from '../../io/files.ts';
import { type BlockCache, CachedBlocks } from './block-cache.ts';
import type { Block, BlockFile } from './blocks.ts';
import type { ReadContext } from './read-context.ts';

/** Blocks of an open layer's file are numbered by their position in units of this. */
export const OPEN_LAYER_BLOCK_BYTES: number = 64 * 1024;
/** Neighbouring blocks are read by one read up to this many. */
const BLOCKS_AT_ONCE = 16;

/**
 * The part of an open layer that is in its file, in blocks. A block may only be asked for once the file has all of it
 * that it will ever have, so that none is kept that changes: the file grows by whole blocks until its writing is
 * finished.
 */
export class OpenLayerBlocks implements BlockFile {
  readonly #file: ReadableFile;
  readonly #cached: CachedBlocks;
  readonly #fileBytes: () => number;
  readonly #hold: () => Pass;

  /**
   * @param fileBytes how much is in the file for good now
   * @param hold keeps the file open until the pass is left
   */
  constructor(file: ReadableFile, cache: BlockCache, fileBytes: () => number, hold: () => Pass) {
    this.#file = file;
    this.#hold = hold;
    this.#cached = new CachedBlocks(cache, 'open-layer');
    this.#fileBytes = fileBytes;
  }

  peek(block: number, context: ReadContext): Block | undefined {
    return this.#cached.peek(block, context);
  }

  async load(blocks: readonly number[], context: ReadContext): Promise<Block[]> {
    using _pass = this.#hold();
    return await this.#cached.load(blocks, context, (missing) => this.#read(missing));
  }

  drop(): void {
    this.#cached.drop();
  }

  async #read(blocks: readonly number[]): Promise<Block[]> {
    const runs: Promise<Block[]>[] = [];
    let first = 0;
    for (let next = 1; next <= blocks.length; next++) {
      const length = next - first;
      const continues = next < blocks.length && blocks[next] === (blocks[first] as number) + length;
      if (continues && length < BLOCKS_AT_ONCE) continue;
      runs.push(this.#readRun(blocks[first] as number, length));
      first = next;
    }
    return (await Promise.all(runs)).flat();
  }

  /** Each block gets memory of its own: they leave the cache one by one. */
  async #readRun(first: number, count: number): Promise<Block[]> {
    const position = first * OPEN_LAYER_BLOCK_BYTES;
    const lengthBytes = Math.min(count * OPEN_LAYER_BLOCK_BYTES, this.#fileBytes() - position);
    const bytes = new Uint8Array(lengthBytes);
    const readBytes = await this.#file.read(bytes, 0, lengthBytes, position);
    if (readBytes < lengthBytes) {
      throw new VarveError('unavailable', 'FILE_IO', 'the file is shorter than what was written to it', {
        file: this.#file.path,
        offset: position + readBytes,
      });
    }
    if (count === 1) return [makeBlock(bytes)];
    return Array.from({ length: count }, (_, index) =>
      makeBlock(bytes.slice(index * OPEN_LAYER_BLOCK_BYTES, (index + 1) * OPEN_LAYER_BLOCK_BYTES)),
    );
  }
}

const makeBlock = (bytes: Uint8Array): Block => ({ bytes, view: new DataView(bytes.buffer) });
