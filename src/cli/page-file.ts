import { basename } from 'node:path';
import { CorruptionError, VarveError } from '../base/errors.ts';
import type { ReadableFile } from '../io/files.ts';
import { parseRelationFileName, RELATION_SEGMENT_BLOCKS } from '../postgres/files/relation-file-name.ts';
import { Page } from '../postgres/page/page.ts';
import { BLOCK_BYTES, FORK_MAIN } from '../postgres/wal/record-header.ts';

const CHUNK_BLOCKS = 32;

/** A file of data pages: a segment of a relation's fork, or pages that somebody has put into a file. */
export class PageFile {
  readonly #file: ReadableFile;
  readonly #chunk: Uint8Array = new Uint8Array(CHUNK_BLOCKS * BLOCK_BYTES);
  #chunkBlock = 0;
  #chunkBlocks = 0;
  /** Whole blocks in the file. */
  readonly blocks: number;
  /** From the file's name; the main fork where that says nothing. */
  readonly fork: number;
  /** Which block of its fork the file's first block is, by the `.1` in its name. */
  readonly firstBlock: number;

  /** @throws CorruptionError for a file that does not consist of whole pages. */
  constructor(file: ReadableFile) {
    this.#file = file;
    const { path, sizeBytes } = file;
    const name = parseRelationFileName(basename(path));
    this.fork = name?.fork ?? FORK_MAIN;
    this.firstBlock = (name?.segment ?? 0) * RELATION_SEGMENT_BLOCKS;
    this.blocks = Math.floor(sizeBytes / BLOCK_BYTES);
    if (sizeBytes % BLOCK_BYTES !== 0) {
      throw new CorruptionError('BAD_PAGE_FILE', `${sizeBytes} bytes are not whole pages of ${BLOCK_BYTES}`, {
        file: path,
        offset: this.blocks * BLOCK_BYTES,
      });
    }
  }

  get path(): string {
    return this.#file.path;
  }

  /**
   * The page of a block of the file, which is valid until it is asked for another one.
   * @throws VarveError not-found behind the end.
   */
  async read(block: number): Promise<Page> {
    if (block < this.#chunkBlock || block >= this.#chunkBlock + this.#chunkBlocks) {
      const length = await this.#file.read(this.#chunk, 0, this.#chunk.length, block * BLOCK_BYTES);
      this.#chunkBlock = block;
      this.#chunkBlocks = Math.floor(length / BLOCK_BYTES);
      if (this.#chunkBlocks === 0) {
        throw new VarveError(
          'not-found',
          'NO_SUCH_BLOCK',
          `the file has ${this.blocks} blocks, and no block ${block}`,
          {
            file: this.path,
          },
        );
      }
    }
    const offset = (block - this.#chunkBlock) * BLOCK_BYTES;
    return new Page(this.#chunk.slice(offset, offset + BLOCK_BYTES));
  }
}
