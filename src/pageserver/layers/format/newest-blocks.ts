import type { ReadableFile } from '../../../io/files.ts';
import { compareEncodedKeys } from '../../keyspace/key.ts';
import {
  findIndexRow,
  indexRowAt,
  indexRowCountOf,
  lsnOfIndexRow,
  positionOfIndexRow,
  rawLengthOfIndexRow,
  storedLengthOfIndexRow,
} from './index-block.ts';
import { BLOCK_LEAF, badLayer } from './layout.ts';
import { type KnownBlock, type LayerRoot, readBlocks } from './read-layer.ts';

/** What is asked for at once is no more than this, as it is stored and unpacked, but for a block that is larger itself. */
const STORED_BYTES_MAX: number = 512 * 1024;
const RAW_BYTES_MAX: number = 1024 * 1024;

/** A data block that has to be read. */
export interface NewestBlock extends KnownBlock {
  /** Of the index, the row of the block behind it; undefined where there is none. */
  readonly nextView: DataView | undefined;
  readonly nextRow: number;
}

/**
 * The data blocks of a layer in which the newest value of a key below an LSN may be, found in the index alone. A block
 * between two that begin with one key has only values of that key: it matters if its first value is below the LSN and that
 * of the next block is not. So of the blocks that have nothing but values of one key at most one is read, however many there
 * are, and leaves are passed by in the same way.
 */
export class NewestBlocks {
  readonly #file: ReadableFile;
  readonly #root: DataView;
  /** Data blocks end here. */
  readonly #dataEnd: number;
  readonly #keyStart: DataView;
  /** Exclusive; undefined: there is no end. */
  readonly #keyEnd: DataView | undefined;
  readonly #lsnEnd: number;
  /** Rows that come next, of the root and of the leaf. */
  #leafRow: number;
  #leaf: DataView | undefined;
  #row = 0;
  #isFirstLeaf = true;

  constructor(
    file: ReadableFile,
    { header, root }: LayerRoot,
    keyStart: DataView,
    keyEnd: DataView | undefined,
    lsnEnd: number,
  ) {
    this.#file = file;
    this.#root = root.view;
    this.#dataEnd = header.indexPosition;
    this.#keyStart = keyStart;
    this.#keyEnd = keyEnd;
    this.#lsnEnd = lsnEnd;
    // What is before has older values of the first key, if any of the range.
    this.#leafRow = Math.max(0, findIndexRow(root.view, keyStart, lsnEnd));
  }

  /** Those that come next, in order. None: there are no more. @throws CorruptionError; what reading fails of */
  async next(): Promise<NewestBlock[]> {
    const blocks: NewestBlock[] = [];
    while (blocks.length === 0) {
      const leaf = this.#leaf ?? (await this.#openLeaf());
      if (leaf === undefined) break;
      this.#collect(leaf, blocks);
    }
    return blocks;
  }

  /** Adds blocks of a leaf. At its end, or at that of the range, it is left. */
  #collect(leaf: DataView, blocks: NewestBlock[]): void {
    const count = indexRowCountOf(leaf);
    let storedBytes = 0;
    let rawBytes = 0;
    for (; this.#row < count; this.#row++) {
      const row = this.#row;
      if (this.#isBehind(leaf, row)) {
        this.#leafRow = indexRowCountOf(this.#root);
        break;
      }
      const isLast = row + 1 === count;
      const nextRow = isLast ? this.#leafRow : row + 1;
      const nextView = !isLast ? leaf : nextRow < indexRowCountOf(this.#root) ? this.#root : undefined;
      if (!this.#matters(leaf, row, nextView, nextRow)) continue;
      const storedLength = storedLengthOfIndexRow(leaf, row);
      storedBytes += storedLength;
      rawBytes += rawLengthOfIndexRow(leaf, row);
      if (blocks.length > 0 && (storedBytes > STORED_BYTES_MAX || rawBytes > RAW_BYTES_MAX)) return;
      const position = positionOfIndexRow(leaf, row);
      if (position + storedLength > this.#dataEnd) {
        throw badLayer(this.#file.path, position, 'the index leads behind the data');
      }
      blocks.push({ position, storedLength, nextView, nextRow });
    }
    this.#leaf = undefined;
  }

  /** Goes to the next leaf that matters. */
  async #openLeaf(): Promise<DataView | undefined> {
    const root = this.#root;
    const count = indexRowCountOf(root);
    for (; this.#leafRow < count; this.#leafRow++) {
      const row = this.#leafRow;
      if (this.#isBehind(root, row)) return undefined;
      if (!this.#matters(root, row, row + 1 < count ? root : undefined, row + 1)) continue;
      const position = positionOfIndexRow(root, row);
      const storedLength = storedLengthOfIndexRow(root, row);
      const [leaf] = await readBlocks(this.#file, [{ position, storedLength }], BLOCK_LEAF);
      if (leaf === undefined || indexRowCountOf(leaf.view) === 0) {
        throw badLayer(this.#file.path, position, 'a leaf leads nowhere');
      }
      this.#row = this.#isFirstLeaf ? Math.max(0, findIndexRow(leaf.view, this.#keyStart, this.#lsnEnd)) : 0;
      this.#isFirstLeaf = false;
      this.#leafRow = row + 1;
      this.#leaf = leaf.view;
      return leaf.view;
    }
    return undefined;
  }

  /** Whether what a row leads to begins behind the range. */
  #isBehind(view: DataView, row: number): boolean {
    const keyEnd = this.#keyEnd;
    return keyEnd !== undefined && compareEncodedKeys(view, indexRowAt(row), keyEnd, 0) >= 0;
  }

  /** Whether the newest value of a key may be in what a row leads to, the next row being that of what follows. */
  #matters(view: DataView, row: number, nextView: DataView | undefined, nextRow: number): boolean {
    if (nextView === undefined) return true;
    if (compareEncodedKeys(view, indexRowAt(row), nextView, indexRowAt(nextRow)) !== 0) return true;
    return lsnOfIndexRow(view, row) < this.#lsnEnd && lsnOfIndexRow(nextView, nextRow) >= this.#lsnEnd;
  }
}
