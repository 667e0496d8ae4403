import type { StartSetFork, StartSetSlruSegment } from '../contracts/start-set.ts';
import type { Files } from '../io/files.ts';
import { formatRelationPath, RELATION_SEGMENT_BLOCKS } from '../postgres/files/relation-file-name.ts';
import type { PostgresVersion } from '../postgres/versions/version.ts';
import { BLOCK_BYTES } from '../postgres/wal/record-header.ts';
import type { DataDirectory, Remainder } from './data-directory.ts';
import type { PageSource } from './page-source.ts';

/** Read and written at once. */
const BLOCKS_AT_ONCE = 128;

/** How far it is. */
export type FillProgress = (filledBytes: number, totalBytes: number) => void;

/**
 * Fills a data directory with all that its start set has left out, so that a server needs nobody to read pages for it. For
 * where pages cannot be brought as they are read.
 */
export class PageFiller {
  readonly #files: Files;
  readonly #directory: DataDirectory;
  readonly #version: PostgresVersion;
  readonly #pages: PageSource;
  readonly #signal: AbortSignal;
  readonly #buffer = new Uint8Array(BLOCKS_AT_ONCE * BLOCK_BYTES);

  constructor(
    files: Files,
    directory: DataDirectory,
    version: PostgresVersion,
    pages: PageSource,
    signal: AbortSignal,
  ) {
    this.#files = files;
    this.#directory = directory;
    this.#version = version;
    this.#pages = pages;
    this.#signal = signal;
  }

  /** @throws what reading pages and writing files fail of; ‘cancelled’ */
  async fill({ segments, forks }: Remainder, onProgress: FillProgress): Promise<void> {
    const totalBytes = forks.reduce((sum, { blocks }) => sum + blocks * BLOCK_BYTES, 0);
    let filledBytes = 0;
    for (const segment of segments) await this.#fillSegment(segment);
    for (const fork of forks) {
      await this.#fillFork(fork);
      filledBytes += fork.blocks * BLOCK_BYTES;
      onProgress(filledBytes, totalBytes);
    }
  }

  async #fillSegment({ slru, segment, path }: StartSetSlruSegment): Promise<void> {
    const bytes = await this.#pages.readSlruSegment(slru, segment, this.#signal);
    await using file = await this.#files.openForUpdate(`${this.#directory.path}/${path}`);
    await file.write(bytes, 0, bytes.length, 0);
  }

  /** A fork without a block has a file, too. */
  async #fillFork({ relation, fork, contentFork, blocks }: StartSetFork): Promise<void> {
    for (let segment = 0; segment === 0 || segment * RELATION_SEGMENT_BLOCKS < blocks; segment++) {
      const first = segment * RELATION_SEGMENT_BLOCKS;
      const end = Math.min(blocks, first + RELATION_SEGMENT_BLOCKS);
      const path = formatRelationPath(this.#version, {
        relation,
        fork,
        segment,
        temporaryBackend: undefined,
      });
      await using file = await this.#files.openForUpdate(this.#directory.makeParents(path));
      for (let block = first; block < end; block += BLOCKS_AT_ONCE) {
        const count = Math.min(BLOCKS_AT_ONCE, end - block);
        await this.#pages.readPages(relation, contentFork, block, count, this.#buffer, this.#signal);
        await file.write(this.#buffer, 0, count * BLOCK_BYTES, (block - first) * BLOCK_BYTES);
      }
    }
  }
}
