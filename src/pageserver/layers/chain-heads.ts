import { AssertionError } from '../../base/errors.ts';

/** A leaf has the heads of so many neighbouring indexes (as a power of two), … */
const LEAF_BITS = 4;
/** … an inner node the places of so many nodes below it. */
const INNER_BITS = 6;
const LEAF_SLOTS = 1 << LEAF_BITS;
const INNER_SLOTS = 1 << INNER_BITS;
/** How many bits of an index a tree of a height covers. The last one covers all 32, and more. */
const COVERED_BITS = [0, 4, 10, 16, 22, 28, 34];
const HEIGHT_MAX = COVERED_BITS.length - 1;

/** Nodes lie in chunks of so many words (as a power of two): growing never copies what is there. */
const CHUNK_BITS = 16;
const CHUNK_WORDS = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_WORDS - 1;
const STEMS_AT_FIRST = 64;

/** ChainHeads as plain data, the nodes in shared memory. */
export interface SharedChainHeads {
  readonly roots: Int32Array;
  readonly heights: Uint8Array;
  readonly chunks: readonly Int32Array[];
}

/**
 * A number above 0 (the head of a chain) by stem and index. For each stem there is a tree by the bits of the index,
 * only as high as its largest index asks for: a stem that has nothing but index 0 has no node at all, a dense relation
 * has little more than four bytes an index, and what one far index costs is bounded (some 1.4 KB).
 */
export class ChainHeads {
  /** By stem: where its top node is; of a tree of height 0, the head of index 0 itself. 0: nothing. */
  #roots: Int32Array;
  #heights: Uint8Array;
  readonly #chunks: Int32Array[];
  /** Words given to nodes. Those before the first node are never given away, so that 0 is no node. */
  #usedWords = INNER_SLOTS;
  /** Where the next leaf goes: four leaves are made of the room of one inner node. */
  #freeLeaf = 0;

  constructor(shared?: SharedChainHeads) {
    this.#roots = shared?.roots ?? new Int32Array(STEMS_AT_FIRST);
    this.#heights = shared?.heights ?? new Uint8Array(STEMS_AT_FIRST);
    this.#chunks = shared === undefined ? [] : [...shared.chunks];
  }

  /** What is in use, which is nearly what is allocated. */
  get bytes(): number {
    return this.#usedWords * 4 + this.#roots.byteLength + this.#heights.byteLength;
  }

  /** Stems at and above this one have nothing. */
  get stemLimit(): number {
    return this.#roots.length;
  }

  hasStem(stem: number): boolean {
    return stem < this.#roots.length && this.#roots[stem] !== 0;
  }

  /** 0: there is none. */
  find(stem: number, index: number): number {
    if (stem >= this.#roots.length) return 0;
    let node = this.#roots[stem] as number;
    const height = this.#heights[stem] as number;
    if (node === 0 || !isCovered(height, index)) return 0;
    if (height === 0) return node;
    for (let shift = LEAF_BITS + INNER_BITS * (height - 2); shift >= LEAF_BITS; shift -= INNER_BITS) {
      const place = node + ((index >>> shift) & (INNER_SLOTS - 1));
      node = (this.#chunks[place >>> CHUNK_BITS] as Int32Array)[place & CHUNK_MASK] as number;
      if (node === 0) return 0;
    }
    const place = node + (index & (LEAF_SLOTS - 1));
    return (this.#chunks[place >>> CHUNK_BITS] as Int32Array)[place & CHUNK_MASK] as number;
  }

  /** Puts a head in the place of the one that was there, and gives that one, or 0. */
  exchange(stem: number, index: number, head: number): number {
    if (stem >= this.#roots.length) this.#growStems(stem);
    let height = this.#heights[stem] as number;
    if (!isCovered(height, index)) height = this.#raise(stem, index);
    let node = this.#roots[stem] as number;
    if (height === 0) {
      this.#roots[stem] = head;
      return node;
    }
    if (node === 0) node = this.#roots[stem] = height === 1 ? this.#makeLeaf() : this.#makeInner();
    for (let shift = LEAF_BITS + INNER_BITS * (height - 2); shift >= LEAF_BITS; shift -= INNER_BITS) {
      const place = node + ((index >>> shift) & (INNER_SLOTS - 1));
      const chunk = this.#chunks[place >>> CHUNK_BITS] as Int32Array;
      node = chunk[place & CHUNK_MASK] as number;
      if (node === 0) {
        node = shift === LEAF_BITS ? this.#makeLeaf() : this.#makeInner();
        chunk[place & CHUNK_MASK] = node;
      }
    }
    const place = node + (index & (LEAF_SLOTS - 1));
    const chunk = this.#chunks[place >>> CHUNK_BITS] as Int32Array;
    const before = chunk[place & CHUNK_MASK] as number;
    chunk[place & CHUNK_MASK] = head;
    return before;
  }

  /** The lowest index of the stem at or above `from` that has a head, or -1. */
  nextIndex(stem: number, from: number): number {
    if (!this.hasStem(stem)) return -1;
    const height = this.#heights[stem] as number;
    if (!isCovered(height, from)) return -1;
    return height === 0 ? 0 : this.#nextBelow(this.#roots[stem] as number, height, from);
  }

  /** The stems' part is copied, the nodes are shared: nothing may be exchanged from now on. */
  share(): SharedChainHeads {
    return { roots: this.#roots.slice(), heights: this.#heights.slice(), chunks: this.#chunks };
  }

  /** As nextIndex, of the indexes below one node, counted from its first. */
  #nextBelow(node: number, level: number, from: number): number {
    const chunk = this.#chunks[node >>> CHUNK_BITS] as Int32Array;
    const first = node & CHUNK_MASK;
    if (level === 1) {
      for (let slot = from; slot < LEAF_SLOTS; slot++) if (chunk[first + slot] !== 0) return slot;
      return -1;
    }
    const span = 2 ** (COVERED_BITS[level - 1] as number);
    let below = from % span;
    for (let slot = Math.floor(from / span); slot < INNER_SLOTS; slot++) {
      const child = chunk[first + slot] as number;
      const found = child === 0 ? -1 : this.#nextBelow(child, level - 1, below);
      if (found !== -1) return slot * span + found;
      below = 0;
    }
    return -1;
  }

  /** Makes the tree of a stem high enough for an index. Returns its height. */
  #raise(stem: number, index: number): number {
    let height = this.#heights[stem] as number;
    while (!isCovered(height, index)) {
      const below = this.#roots[stem] as number;
      if (below !== 0) {
        const above = height === 0 ? this.#makeLeaf() : this.#makeInner();
        (this.#chunks[above >>> CHUNK_BITS] as Int32Array)[above & CHUNK_MASK] = below;
        this.#roots[stem] = above;
      }
      height++;
    }
    this.#heights[stem] = height;
    return height;
  }

  #makeLeaf(): number {
    // A multiple of the inner node's size: the room of the last four leaves is used up.
    if (this.#freeLeaf % INNER_SLOTS === 0) this.#freeLeaf = this.#makeInner();
    const leaf = this.#freeLeaf;
    this.#freeLeaf += LEAF_SLOTS;
    return leaf;
  }

  #makeInner(): number {
    const node = this.#usedWords;
    // Places are signed words.
    if (node >= 0x7fff_0000) throw new AssertionError('an open layer has more keys than it can count');
    while (node >>> CHUNK_BITS >= this.#chunks.length) {
      this.#chunks.push(new Int32Array(new SharedArrayBuffer(CHUNK_WORDS * 4)));
    }
    this.#usedWords = node + INNER_SLOTS;
    return node;
  }

  #growStems(stem: number): void {
    const length = Math.max(stem + 1, this.#roots.length * 2);
    const roots = new Int32Array(length);
    roots.set(this.#roots);
    this.#roots = roots;
    const heights = new Uint8Array(length);
    heights.set(this.#heights);
    this.#heights = heights;
  }
}

function isCovered(height: number, index: number): boolean {
  return height === HEIGHT_MAX || index >>> (COVERED_BITS[height] as number) === 0;
}
