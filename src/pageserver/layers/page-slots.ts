import { AssertionError } from '../../base/errors.ts';
import { Counter } from '../../observe/metric-cells.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { CacheCounts } from './cache-counts.ts';

/** Pages lie in slabs of so many (as a power of two), which are made as they are needed. */
const SLAB_BITS = 9;
const SLAB_PAGES = 1 << SLAB_BITS;
/** A slot's 32 bytes, half a cache line. Words: owner, stem, index, next slot + 1 with the same hash; … */
const OWNER = 0;
const STEM = 1;
const INDEX = 2;
const NEXT = 3;
const SLOT_WORDS = 8;
/** … then two doubles: the LSNs. */
const LSN_FROM = 2;
const LSN_TO = 3;
const SLOT_DOUBLES = 4;
/** No cache has this number: the slot is free. */
const NOBODY = 0;
const SLOT_BYTES: number = BLOCK_BYTES + SLOT_WORDS * 4 + 1 + 2 * 4;

/** Memory for the pages of many timelines' caches. When there is no room, one clock over all says who has to go. */
export class PageSlots {
  readonly counts: CacheCounts;
  /** Pages that had to go for others. */
  readonly evictions: Counter;
  /** How many pages there is room for. */
  readonly capacity: number;
  readonly #slabs: Uint8Array[] = [];
  readonly #keys: Uint32Array;
  /** Over the same memory: LSN of the newest value applied, and up to where it is known that there is no newer one. */
  readonly #lsns: Float64Array;
  readonly #isReferenced: Uint8Array;
  /** By hash: the first slot + 1. */
  readonly #buckets: Int32Array;
  /** Slots below this have been used. */
  #usedLimit = 0;
  readonly #free: number[] = [];
  #hand = 0;
  #owners = 0;

  constructor(
    capacityBytes: number,
    counts: CacheCounts = new CacheCounts(),
    evictions: Counter = new Counter(),
  ) {
    this.capacity = Math.max(1, Math.floor(capacityBytes / SLOT_BYTES));
    this.counts = counts;
    this.evictions = evictions;
    this.#keys = new Uint32Array(this.capacity * SLOT_WORDS);
    this.#lsns = new Float64Array(this.#keys.buffer);
    this.#isReferenced = new Uint8Array(this.capacity);
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(this.capacity + 1)));
  }

  /** Pages that are kept. */
  get count(): number {
    return this.#usedLimit - this.#free.length;
  }

  get usedBytes(): number {
    return this.count * SLOT_BYTES;
  }

  get capacityBytes(): number {
    return this.capacity * SLOT_BYTES;
  }

  /** A number for a cache, which no other has. */
  nextOwner(): number {
    return ++this.#owners;
  }

  lsnFrom(slot: number): number {
    return this.#lsns[slot * SLOT_DOUBLES + LSN_FROM] as number;
  }

  lsnTo(slot: number): number {
    return this.#lsns[slot * SLOT_DOUBLES + LSN_TO] as number;
  }

  setLsns(slot: number, lsnFrom: number, lsnTo: number): void {
    this.#lsns[slot * SLOT_DOUBLES + LSN_FROM] = lsnFrom;
    this.#lsns[slot * SLOT_DOUBLES + LSN_TO] = lsnTo;
  }

  touch(slot: number): void {
    this.#isReferenced[slot] = 1;
  }

  copyFrom(slot: number, target: Uint8Array): void {
    const slab = this.#slabs[slot >>> SLAB_BITS] as Uint8Array;
    const start = (slot & (SLAB_PAGES - 1)) * BLOCK_BYTES;
    target.set(slab.subarray(start, start + BLOCK_BYTES));
  }

  copyTo(slot: number, page: Uint8Array): void {
    (this.#slabs[slot >>> SLAB_BITS] as Uint8Array).set(page, (slot & (SLAB_PAGES - 1)) * BLOCK_BYTES);
  }

  /** The first slot of a page, or -1. */
  first(owner: number, stem: number, index: number): number {
    const bucket = hash(owner, stem, index) & (this.#buckets.length - 1);
    return this.#match((this.#buckets[bucket] as number) - 1, owner, stem, index);
  }

  /** The next slot of the same page, or -1. */
  next(slot: number): number {
    const word = slot * SLOT_WORDS;
    const keys = this.#keys;
    const next = (keys[word + NEXT] as number) - 1;
    return this.#match(
      next,
      keys[word + OWNER] as number,
      keys[word + STEM] as number,
      keys[word + INDEX] as number,
    );
  }

  /** A slot for a page, whose bytes and LSNs the caller sets. */
  take(owner: number, stem: number, index: number): number {
    const slot = this.#free.pop() ?? (this.#usedLimit < this.capacity ? this.#extend() : this.#evict());
    const word = slot * SLOT_WORDS;
    const bucket = hash(owner, stem, index) & (this.#buckets.length - 1);
    this.#keys[word + OWNER] = owner;
    this.#keys[word + STEM] = stem;
    this.#keys[word + INDEX] = index;
    this.#keys[word + NEXT] = this.#buckets[bucket] as number;
    this.#buckets[bucket] = slot + 1;
    this.#isReferenced[slot] = 0;
    return slot;
  }

  /** Frees all slots of an owner, or those of some of its stems. Looks at every slot. */
  drop(owner: number, stems?: ReadonlySet<number>): void {
    const keys = this.#keys;
    for (let slot = 0; slot < this.#usedLimit; slot++) {
      if (keys[slot * SLOT_WORDS + OWNER] !== owner) continue;
      if (stems !== undefined && !stems.has(keys[slot * SLOT_WORDS + STEM] as number)) continue;
      this.#unlink(slot);
      this.#free.push(slot);
    }
  }

  #match(from: number, owner: number, stem: number, index: number): number {
    const keys = this.#keys;
    for (let slot = from; slot !== -1; slot = (keys[slot * SLOT_WORDS + NEXT] as number) - 1) {
      const word = slot * SLOT_WORDS;
      if (keys[word + INDEX] === index && keys[word + STEM] === stem && keys[word + OWNER] === owner) {
        return slot;
      }
    }
    return -1;
  }

  #extend(): number {
    const slot = this.#usedLimit++;
    if (slot >>> SLAB_BITS === this.#slabs.length) {
      const pages = Math.min(SLAB_PAGES, this.capacity - slot);
      this.#slabs.push(new Uint8Array(pages * BLOCK_BYTES));
    }
    return slot;
  }

  /** All slots are in use. At the latest in the second round the hand comes to one that is not referenced. */
  #evict(): number {
    const referenced = this.#isReferenced;
    while (referenced[this.#hand] === 1) {
      referenced[this.#hand] = 0;
      this.#hand = (this.#hand + 1) % this.capacity;
    }
    const slot = this.#hand;
    this.#hand = (slot + 1) % this.capacity;
    this.#unlink(slot);
    this.evictions.value++;
    return slot;
  }

  #unlink(slot: number): void {
    const keys = this.#keys;
    const word = slot * SLOT_WORDS;
    const bucket =
      hash(keys[word + OWNER] as number, keys[word + STEM] as number, keys[word + INDEX] as number) &
      (this.#buckets.length - 1);
    const next = keys[word + NEXT] as number;
    keys[word + OWNER] = NOBODY;
    if (this.#buckets[bucket] === slot + 1) {
      this.#buckets[bucket] = next;
      return;
    }
    let before = (this.#buckets[bucket] as number) - 1;
    while (keys[before * SLOT_WORDS + NEXT] !== slot + 1) {
      before = (keys[before * SLOT_WORDS + NEXT] as number) - 1;
      if (before === -1) throw new AssertionError(`slot ${slot} of the page cache is lost`);
    }
    keys[before * SLOT_WORDS + NEXT] = next;
  }
}

/** The constants are odd and otherwise arbitrary. */
function hash(owner: number, stem: number, index: number): number {
  let mixed = Math.imul(index, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ stem, 0x85ebca77);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ owner, 0xc2b2ae3d);
  return mixed ^ (mixed >>> 16);
}
