import { AssertionError, VarveError } from '../../base/errors.ts';
import { Counter } from '../../observe/metric-cells.ts';
import { BlockTable } from './block-table.ts';
import type { Block } from './blocks.ts';
import { CacheCounts, type ContentKind, type CounterByTask, countersByTask } from './cache-counts.ts';
import type { ReadContext, TaskKind } from './read-context.ts';

/** What a block takes beside its bytes: the objects around it and its entry in its file's map. */
const BLOCK_OVERHEAD_BYTES = 400;

/** A block that is kept. */
interface ResidentBlock {
  readonly block: Block;
  readonly number: number;
  readonly owner: CachedBlocks;
  /** Where it stands in the ring. */
  readonly slot: number;
  readonly costBytes: number;
  /** It was used since the hand last passed. */
  isReferenced: boolean;
}

/**
 * Blocks of many files in bounded memory. Each file finds its own by number (CachedBlocks); here is only who has to go
 * when there is no room: one clock over all. A new block is not spared at the hand's first pass unless it was used
 * again, so that a scan does not throw out what is used often.
 */
export class BlockCache {
  readonly capacityBytes: number;
  readonly counts: CacheCounts;
  /** Blocks that had to go for others. */
  readonly evictions: Counter;
  readonly #ring: (ResidentBlock | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  #hand = 0;
  #usedBytes = 0;

  constructor(
    capacityBytes: number,
    counts: CacheCounts = new CacheCounts(),
    evictions: Counter = new Counter(),
  ) {
    this.capacityBytes = capacityBytes;
    this.counts = counts;
    this.evictions = evictions;
  }

  /** Never above the capacity. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  get blockCount(): number {
    return this.#ring.length - this.#freeSlots.length;
  }

  /** For CachedBlocks. undefined: the block is larger than the cache. */
  admit(owner: CachedBlocks, number: number, block: Block): ResidentBlock | undefined {
    const costBytes = block.bytes.byteLength + BLOCK_OVERHEAD_BYTES;
    if (costBytes > this.capacityBytes) return undefined;
    while (this.#usedBytes + costBytes > this.capacityBytes) this.#evictOne();
    const slot = this.#freeSlots.pop() ?? this.#ring.length;
    const resident = { block, number, owner, slot, costBytes, isReferenced: false };
    this.#ring[slot] = resident;
    this.#usedBytes += costBytes;
    return resident;
  }

  /** For CachedBlocks. */
  release(resident: ResidentBlock): void {
    if (this.#ring[resident.slot] !== resident) {
      throw new AssertionError('a block was released that is not kept', { offset: resident.number });
    }
    this.#ring[resident.slot] = undefined;
    this.#freeSlots.push(resident.slot);
    this.#usedBytes -= resident.costBytes;
  }

  #evictOne(): void {
    // At the latest in the second round the hand comes to a block that is not referenced.
    for (let step = this.#ring.length * 2; step > 0; step--) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const resident = this.#ring[this.#hand++];
      if (resident === undefined) continue;
      if (!resident.isReferenced) {
        this.release(resident);
        resident.owner.forget(resident.number);
        this.evictions.increment();
        return;
      }
      resident.isReferenced = false;
    }
    throw new AssertionError('a cache without blocks is full');
  }
}

/** A read that is under way. */
interface Flight {
  readonly numbers: readonly number[];
  /** In the order of `numbers`. */
  blocks: Promise<Block[]>;
}

/** The blocks of one file, or of one part of it, that are in memory: what a BlockFile is made of. */
export class CachedBlocks {
  readonly #cache: BlockCache;
  readonly #hits: CounterByTask;
  readonly #misses: CounterByTask;
  /** The cell of who looked for something last: a look into `#hits` costs as much as the rest of `peek`. */
  #lastTask: TaskKind = 'page-request';
  #lastHits: Counter;
  readonly #resident = new BlockTable<ResidentBlock>();
  /** By number of block. Empty but for blocks that are being read now. */
  readonly #underWay = new Map<number, Flight>();

  /** @param content for counting only */
  constructor(cache: BlockCache, content: ContentKind) {
    this.#cache = cache;
    this.#hits = countersByTask(cache.counts.hits, content);
    this.#misses = countersByTask(cache.counts.misses, content);
    this.#lastHits = this.#hits[this.#lastTask];
  }

  /** As BlockFile.peek. Counts what it finds; what it does not find is counted when it is loaded. */
  peek(number: number, context: ReadContext): Block | undefined {
    const resident = this.#resident.get(number);
    if (resident === undefined) return undefined;
    resident.isReferenced = true;
    if (context.task !== this.#lastTask) {
      this.#lastTask = context.task;
      this.#lastHits = this.#hits[context.task];
    }
    this.#lastHits.value++;
    return resident.block;
  }

  /**
   * As BlockFile.load: what is not in memory and not being read already is asked of `fetch`, once and in one call, and
   * then kept if there is room. The memory under each block that `fetch` gives must be the block's alone, or the cache
   * counts it wrongly.
   */
  async load(
    numbers: readonly number[],
    context: ReadContext,
    fetch: (missing: readonly number[]) => Promise<Block[]>,
  ): Promise<Block[]> {
    const found = new Map<number, Block>();
    const others = new Map<number, Flight>();
    const missing: number[] = [];
    for (const number of numbers) {
      const block = this.peek(number, context);
      const flight = this.#underWay.get(number);
      if (block !== undefined) {
        found.set(number, block);
        continue;
      }
      this.#misses[context.task].value++;
      if (flight !== undefined) others.set(number, flight);
      else missing.push(number);
    }
    if (missing.length > 0) {
      const blocks = await this.#takeOff(missing, fetch).blocks;
      for (const [index, number] of missing.entries()) found.set(number, blocks[index] as Block);
    }
    for (const [number, flight] of others) {
      found.set(number, await this.#share(flight, number, context, fetch));
    }
    return numbers.map((number) => found.get(number) as Block);
  }

  /** Lets go of a block whose bytes in the file have changed. Who reads it now still gets what was there before. */
  invalidate(number: number): void {
    this.#underWay.delete(number);
    const resident = this.#resident.get(number);
    if (resident === undefined) return;
    this.#resident.delete(number);
    this.#cache.release(resident);
  }

  /** Lets go of all blocks. What is being read now will not be kept. */
  drop(): void {
    this.#underWay.clear();
    for (const resident of this.#resident.values()) this.#cache.release(resident);
    this.#resident.clear();
  }

  /** For the cache: the block had to go. */
  forget(number: number): void {
    this.#resident.delete(number);
  }

  /** Begins to read. Nothing is awaited before others can see that it is under way. */
  #takeOff(missing: number[], fetch: (missing: readonly number[]) => Promise<Block[]>): Flight {
    const flight: Flight = { numbers: missing, blocks: Promise.resolve([]) };
    for (const number of missing) this.#underWay.set(number, flight);
    flight.blocks = this.#land(flight, fetch);
    return flight;
  }

  async #land(flight: Flight, fetch: (missing: readonly number[]) => Promise<Block[]>): Promise<Block[]> {
    let blocks: Block[] = [];
    try {
      const fetched = await fetch(flight.numbers);
      if (fetched.length !== flight.numbers.length) {
        throw new AssertionError(`${flight.numbers.length} blocks were asked for, ${fetched.length} came`);
      }
      blocks = fetched;
      return fetched;
    } finally {
      for (const [index, number] of flight.numbers.entries()) {
        // Otherwise it was invalidated meanwhile, and may be read anew already.
        if (this.#underWay.get(number) !== flight) continue;
        this.#underWay.delete(number);
        const block = blocks[index];
        if (block !== undefined) this.#keep(number, block);
      }
    }
  }

  #keep(number: number, block: Block): void {
    const resident = this.#cache.admit(this, number, block);
    if (resident !== undefined) this.#resident.set(number, resident);
  }

  /** Waits for what another reads. When that other one gives up, this one reads for itself. */
  async #share(
    flight: Flight,
    number: number,
    context: ReadContext,
    fetch: (missing: readonly number[]) => Promise<Block[]>,
  ): Promise<Block> {
    try {
      const blocks = await flight.blocks;
      return blocks[flight.numbers.indexOf(number)] as Block;
    } catch (error) {
      const othersGaveUp = error instanceof VarveError && error.kind === 'cancelled';
      if (!othersGaveUp || context.signal.aborted) throw error;
    }
    const [block] = await this.load([number], context, fetch);
    return block as Block;
  }
}
