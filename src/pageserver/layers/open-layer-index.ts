import { AssertionError } from '../../base/errors.ts';
import type { Lsn } from '../../base/lsn.ts';
import { ChainHeads, type SharedChainHeads } from './chain-heads.ts';
import { VALUE_BYTES_MAX, VALUE_FLAGS_KNOWN } from './value.ts';

/** Words of an entry: LSN from the layer's start, position in units, length and flags, older entry + 1. */
export const ENTRY_WORDS = 4;
export const ENTRY_LSN = 0;
export const ENTRY_POSITION = 1;
export const ENTRY_LENGTH_AND_FLAGS = 2;
export const ENTRY_OLDER = 3;
/** Flags are the low bits of ENTRY_LENGTH_AND_FLAGS. */
export const ENTRY_FLAG_BITS = 4;
const FLAGS_MASK = (1 << ENTRY_FLAG_BITS) - 1;
/** Values begin at multiples of this in the file, as records do in WAL (MAXALIGN). */
export const POSITION_UNIT = 8;
/** Entries are in chunks of 65 536: growing never copies what is there. */
export const CHUNK_ENTRY_BITS = 16;
export const CHUNK_ENTRY_MASK: number = (1 << CHUNK_ENTRY_BITS) - 1;
const U32_MAX = 0xffff_ffff;

/** An index as plain data, for who is in another thread. What is large is in shared memory. Nothing may change it. */
export interface SharedOpenLayerIndex {
  readonly lsnStart: Lsn;
  /** How many entries there are. */
  readonly count: number;
  readonly heads: SharedChainHeads;
  readonly chunks: readonly Uint32Array[];
}

/**
 * Which values an open layer has, and where in its file: an entry for each value, chained by key from the newest to
 * older ones. Of two values with one LSN the one that was put later is the newer.
 */
export class OpenLayerIndex {
  readonly lsnStart: Lsn;
  readonly #heads = new ChainHeads();
  readonly #chunks: Uint32Array[] = [];
  #count = 0;
  /** Of all entries. What is not below it needs no look at its key's newest entry, which is rarely in a CPU's cache. */
  #highestLsnWord = 0;

  constructor(lsnStart: Lsn) {
    this.lsnStart = lsnStart;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#count * ENTRY_WORDS * 4 + this.#heads.bytes;
  }

  /** Whether a value may be put. If not, the layer must be frozen, and the value goes into the next one. */
  fits(lsn: number, position: number): boolean {
    return lsn - this.lsnStart <= U32_MAX && position / POSITION_UNIT <= U32_MAX && this.#count < 0x7fff_ffff;
  }

  /**
   * @param lsn not below that of the key's newest value
   * @param position in the layer's file, a multiple of POSITION_UNIT
   */
  put(stem: number, index: number, lsn: number, position: number, length: number, flags: number): void {
    const entry = this.#count;
    const lsnWord = lsn - this.lsnStart;
    const positionWord = position / POSITION_UNIT;
    if (
      lsnWord >>> 0 !== lsnWord ||
      positionWord >>> 0 !== positionWord ||
      index >>> 0 !== index ||
      length >>> 0 !== length ||
      length > VALUE_BYTES_MAX ||
      (flags & ~VALUE_FLAGS_KNOWN) !== 0 ||
      entry === 0x7fff_ffff
    ) {
      throw new AssertionError(`a value of ${length} bytes at ${position} does not fit in the layer`, {
        lsn,
      });
    }
    const word = (entry & CHUNK_ENTRY_MASK) * ENTRY_WORDS;
    if (word === 0 && entry >>> CHUNK_ENTRY_BITS === this.#chunks.length) this.#addChunk();
    const older = this.#heads.exchange(stem, index, entry + 1);
    if (lsnWord >= this.#highestLsnWord) this.#highestLsnWord = lsnWord;
    else if (older !== 0 && this.#word(older - 1, ENTRY_LSN) > lsnWord) {
      this.#heads.exchange(stem, index, older);
      throw new AssertionError("a value is older than its key's newest", { lsn });
    }
    const chunk = this.#chunks[entry >>> CHUNK_ENTRY_BITS] as Uint32Array;
    chunk[word + ENTRY_LSN] = lsnWord;
    chunk[word + ENTRY_POSITION] = positionWord;
    chunk[word + ENTRY_LENGTH_AND_FLAGS] = (length << ENTRY_FLAG_BITS) | flags;
    chunk[word + ENTRY_OLDER] = older;
    this.#count = entry + 1;
  }

  /** The key's newest entry, or -1. */
  newest(stem: number, index: number): number {
    return this.#heads.find(stem, index) - 1;
  }

  /** The next older entry of the same key, or -1. */
  older(entry: number): number {
    return this.#word(entry, ENTRY_OLDER) - 1;
  }

  lsnOf(entry: number): number {
    return this.lsnStart + this.#word(entry, ENTRY_LSN);
  }

  positionOf(entry: number): number {
    return this.#word(entry, ENTRY_POSITION) * POSITION_UNIT;
  }

  lengthOf(entry: number): number {
    return this.#word(entry, ENTRY_LENGTH_AND_FLAGS) >>> ENTRY_FLAG_BITS;
  }

  flagsOf(entry: number): number {
    return this.#word(entry, ENTRY_LENGTH_AND_FLAGS) & FLAGS_MASK;
  }

  hasStem(stem: number): boolean {
    return this.#heads.hasStem(stem);
  }

  /** The lowest index of the stem at or above `from` that has a value, or -1. */
  nextIndex(stem: number, from: number): number {
    return this.#heads.nextIndex(stem, from);
  }

  share(): SharedOpenLayerIndex {
    return {
      lsnStart: this.lsnStart,
      count: this.#count,
      heads: this.#heads.share(),
      chunks: this.#chunks,
    };
  }

  #word(entry: number, word: number): number {
    const chunk = this.#chunks[entry >>> CHUNK_ENTRY_BITS] as Uint32Array;
    return chunk[(entry & CHUNK_ENTRY_MASK) * ENTRY_WORDS + word] as number;
  }

  #addChunk(): void {
    this.#chunks.push(new Uint32Array(new SharedArrayBuffer((ENTRY_WORDS * 4) << CHUNK_ENTRY_BITS)));
  }
}
