import { ChainHeads } from './chain-heads.ts';
import {
  CHUNK_ENTRY_BITS,
  CHUNK_ENTRY_MASK,
  ENTRY_FLAG_BITS,
  ENTRY_LENGTH_AND_FLAGS,
  ENTRY_LSN,
  ENTRY_OLDER,
  ENTRY_POSITION,
  ENTRY_WORDS,
  POSITION_UNIT,
  type SharedOpenLayerIndex,
} from './open-layer-index.ts';
import { compareStems } from './stems.ts';

/**
 * Walks through the values of an open layer in the order of key, LSN, and when they were put. Only the stems have to
 * be sorted: the heads are in order of index, and each key's chain in order of LSN.
 */
export class SortedEntries {
  /** Of the value that `advance` came to. */
  stem = -1;
  index = -1;
  lsn = 0;
  position = 0;
  lengthBytes = 0;
  flags = 0;
  readonly #shared: SharedOpenLayerIndex;
  readonly #heads: ChainHeads;
  /** Stems that have values, in the order of their keys. */
  readonly #stems: Uint32Array;
  #nextStem = 0;
  /** Entries of the current key, from the newest on; those below `#left` are still to come. */
  #chain: Uint32Array = new Uint32Array(64);
  #left = 0;

  /** @param stemWords as Stems.copyWords gives them, made when the last value had been put or later */
  constructor(shared: SharedOpenLayerIndex, stemWords: Uint32Array) {
    this.#shared = shared;
    this.#heads = new ChainHeads(shared.heads);
    const stems: number[] = [];
    for (let stem = 0; stem < this.#heads.stemLimit; stem++) if (this.#heads.hasStem(stem)) stems.push(stem);
    this.#stems = Uint32Array.from(stems).sort((left, right) => compareStems(stemWords, left, right));
  }

  /** Goes to the next value. false: there is none. */
  advance(): boolean {
    if (this.#left === 0 && !this.#advanceKey()) return false;
    const entry = this.#chain[--this.#left] as number;
    const chunk = this.#shared.chunks[entry >>> CHUNK_ENTRY_BITS] as Uint32Array;
    const word = (entry & CHUNK_ENTRY_MASK) * ENTRY_WORDS;
    const lengthAndFlags = chunk[word + ENTRY_LENGTH_AND_FLAGS] as number;
    this.lsn = this.#shared.lsnStart + (chunk[word + ENTRY_LSN] as number);
    this.position = (chunk[word + ENTRY_POSITION] as number) * POSITION_UNIT;
    this.lengthBytes = lengthAndFlags >>> ENTRY_FLAG_BITS;
    this.flags = lengthAndFlags & ((1 << ENTRY_FLAG_BITS) - 1);
    return true;
  }

  #advanceKey(): boolean {
    let index = this.stem === -1 ? -1 : this.#heads.nextIndex(this.stem, this.index + 1);
    while (index === -1) {
      if (this.#nextStem === this.#stems.length) return false;
      this.stem = this.#stems[this.#nextStem++] as number;
      index = this.#heads.nextIndex(this.stem, 0);
    }
    this.index = index;
    this.#collectChain(this.#heads.find(this.stem, index));
    return true;
  }

  #collectChain(head: number): void {
    let count = 0;
    for (let next = head; next !== 0; count++) {
      const entry = next - 1;
      if (count === this.#chain.length) {
        const longer = new Uint32Array(count * 2);
        longer.set(this.#chain);
        this.#chain = longer;
      }
      this.#chain[count] = entry;
      const chunk = this.#shared.chunks[entry >>> CHUNK_ENTRY_BITS] as Uint32Array;
      next = chunk[(entry & CHUNK_ENTRY_MASK) * ENTRY_WORDS + ENTRY_OLDER] as number;
    }
    this.#left = count;
  }
}
