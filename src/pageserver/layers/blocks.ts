import type { ReadContext } from './read-context.ts';

/** A part of a file as it is used in memory: unpacked and checked. Nobody changes it. */
export interface Block {
  readonly bytes: Uint8Array;
  /** Over the same memory. */
  readonly view: DataView;
}

/**
 * A file that is read in blocks, which are numbered as the file likes (by their position, or one after another). Blocks
 * may be kept in memory for a while by a cache that many files share.
 */
export interface BlockFile {
  /** The block, if it is in memory now. Does no I/O. */
  peek(block: number, context: ReadContext): Block | undefined;
  /**
   * Reads blocks (ascending, without repetition), joining what is close together, and gives them in the same order.
   * Several who ask for one block at the same time share one read of it, and each gets the block, however small the
   * cache is.
   * @throws CorruptionError, with file and offset; what the files door fails of
   */
  load(blocks: readonly number[], context: ReadContext): Promise<Block[]>;
}

/**
 * What a read has at hand. A read is a plain function that looks up blocks here and, where one is lacking, goes as far
 * as it can without it and says so; then `load` brings what was lacking, and the function is called anew. What was loaded
 * stays at hand until the read is over, so each round gets further, whatever the cache throws out meanwhile.
 */
export class BlockPins {
  readonly #pinned = new Map<BlockFile, Map<number, Block>>();
  #lacking = new Map<BlockFile, Set<number>>();

  /** Whether something was looked up in vain since the last `load`. */
  get isLacking(): boolean {
    return this.#lacking.size > 0;
  }

  /** undefined: it is not in memory, and has been noted for `load`. */
  find(file: BlockFile, block: number, context: ReadContext): Block | undefined {
    if (this.#pinned.size > 0) {
      const pinned = this.#pinned.get(file)?.get(block);
      if (pinned !== undefined) return pinned;
    }
    const found = file.peek(block, context);
    if (found === undefined) this.#note(file, block);
    return found;
  }

  /** Takes no notice of what was looked up in vain so far. */
  forgetLacking(): void {
    if (this.#lacking.size > 0) this.#lacking.clear();
  }

  /** Loads all that was looked up in vain. @throws as BlockFile.load */
  async load(context: ReadContext): Promise<void> {
    const lacking = this.#lacking;
    this.#lacking = new Map();
    if (lacking.size === 1) {
      for (const [file, blocks] of lacking) await this.#loadOf(file, [...blocks], context);
      return;
    }
    await Promise.all([...lacking].map(([file, blocks]) => this.#loadOf(file, [...blocks], context)));
  }

  #note(file: BlockFile, block: number): void {
    let blocks = this.#lacking.get(file);
    if (blocks === undefined) {
      blocks = new Set();
      this.#lacking.set(file, blocks);
    }
    blocks.add(block);
  }

  async #loadOf(file: BlockFile, blocks: number[], context: ReadContext): Promise<void> {
    blocks.sort((left, right) => left - right);
    const loaded = await file.load(blocks, context);
    let pinned = this.#pinned.get(file);
    if (pinned === undefined) {
      pinned = new Map();
      this.#pinned.set(file, pinned);
    }
    for (const [index, block] of blocks.entries()) pinned.set(block, loaded[index] as Block);
  }
}
