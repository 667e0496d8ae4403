/**
 * Records that change pages of relations: the hot path. For a record whose blocks all exist it only looks numbers up and
 * calls the sink; nothing is allocated.
 */
import { visibilityMapBlock } from '../../postgres/page/visibility-map.ts';
import { RM_HEAP, RM_HEAP2 } from '../../postgres/rmgr/resource-manager.ts';
import type { DecodedRecord } from '../../postgres/wal/decoded-record.ts';
import {
  BLOCK_ID_MAX,
  BLOCK_WILL_INIT,
  FORK_FREE_SPACE_MAP,
  FORK_MAIN,
  FORK_VISIBILITY_MAP,
} from '../../postgres/wal/record-header.ts';
import { findVisibilityClears, VisibilityClears } from '../../redo/visibility.ts';
import {
  VALUE_KIND_MASK,
  VALUE_NEEDS_NO_BASE,
  VALUE_RECORD,
  VALUE_VISIBILITY_CLEARS,
} from '../layers/value.ts';
import { CLEAR_BYTES, CLEARS_MAX, writeClear } from '../layers/visibility-clears.ts';
import { refuseRecord } from './check-record.ts';
import type { IngestSink } from './ingest-sink.ts';
import type { Missing } from './missing.ts';
import { checkBlockNumber, type RelationSizes, SIZE_UNKNOWN } from './relation-sizes.ts';
import { ZeroPages } from './zero-pages.ts';

/** All that a record may name, and as many pages of the visibility map again. */
const TOUCHED_MAX: number = 2 * (BLOCK_ID_MAX + 1);
/** A fork is not extended by more than this at once (128 GiB of zeros): such a block number is taken for damage. */
const GAP_BLOCKS_MAX: number = 16 * 1024 * 1024;

export class BlockIngest {
  readonly #sizes: RelationSizes;
  readonly #clears = new VisibilityClears();
  readonly #clearBytes = new Uint8Array(CLEARS_MAX * CLEAR_BYTES);
  readonly #clearView = new DataView(this.#clearBytes.buffer);
  // What the record under work touches: block by block the stem, the block's number, and the value's flags.
  readonly #stems = new Int32Array(TOUCHED_MAX);
  readonly #blocks = new Uint32Array(TOUCHED_MAX);
  readonly #flags = new Uint8Array(TOUCHED_MAX);
  #count = 0;
  /** A block is at or behind the end of its fork, or nobody knows where that is. */
  #isBeyondEnd = false;
  /** By stem: up to where fillZeroPages has come for the record under work. */
  readonly #filledTo = new Map<number, number>();

  constructor(sizes: RelationSizes) {
    this.#sizes = sizes;
  }

  /**
   * Puts the record under each block that it names, and what it clears under each page of the visibility map that it does
   * not name. `settingsFlags` are VALUE_HINTS_LOGGED or 0.
   * @throws CorruptionError, having put nothing
   */
  ingest(record: DecodedRecord, sink: IngestSink, settingsFlags: number): Missing | undefined {
    this.#collect(record, VALUE_RECORD | settingsFlags);
    if (this.#isBeyondEnd) {
      const missing = this.#extend(record, sink, false);
      if (missing !== undefined) return missing;
    }
    for (let index = 0; index < this.#count; index++) {
      const flags = this.#flags[index] as number;
      if ((flags & VALUE_KIND_MASK) === VALUE_VISIBILITY_CLEARS) this.#putClears(index, sink);
      else sink.putRecord(this.#stems[index] as number, this.#blocks[index] as number, flags);
    }
    return undefined;
  }

  /**
   * Puts poison under each block that the record names, and, for heap records, under the pages of the visibility map
   * that speak of them, since bits that must be cleared may stay set. Returns how many, 0 if it names none.
   */
  poison(record: DecodedRecord, text: Uint8Array, sink: IngestSink): Missing | number {
    this.#collectPoisoned(record);
    if (this.#isBeyondEnd) {
      const missing = this.#extend(record, sink, true);
      if (missing !== undefined) return missing;
    }
    for (let index = 0; index < this.#count; index++) {
      sink.putPoison(this.#stems[index] as number, this.#blocks[index] as number, text);
    }
    return this.#count;
  }

  /** Of a MissingZeroPages. Returns whether all are there. */
  fillZeroPages(pages: ZeroPages, sink: IngestSink): boolean {
    if (!pages.fill(sink)) return false;
    this.#filledTo.set(pages.stem, pages.end);
    return true;
  }

  #collect(record: DecodedRecord, valueFlags: number): void {
    const sizes = this.#sizes;
    this.#count = 0;
    this.#isBeyondEnd = false;
    for (let id = 0; id < record.blockCount; id++) {
      if (record.blockInUse[id] === 0) continue;
      const fork = record.blockFork[id] as number;
      if (fork === FORK_FREE_SPACE_MAP) continue;
      const stem = sizes.stemOf(
        record.blockTablespace[id] as number,
        record.blockDatabase[id] as number,
        record.blockRelation[id] as number,
        fork,
      );
      const isWhole =
        ((record.blockFlags[id] as number) & BLOCK_WILL_INIT) !== 0 || record.blockApplyImage[id] === 1;
      const block = record.blockNumber[id] as number;
      if (this.#touches(stem, block)) refuseRecord(record, `it names ${record.describeBlock(id)} twice`);
      this.#touch(stem, block, isWhole ? valueFlags | VALUE_NEEDS_NO_BASE : valueFlags);
    }
    if (record.resourceManager !== RM_HEAP && record.resourceManager !== RM_HEAP2) return;
    if (findVisibilityClears(record, this.#clears) > 0) this.#collectClears(record);
  }

  /**
   * Pages of the visibility map that the record changes without naming them. They do not get the record, which may have
   * images of other pages: one page of the map speaks of 32 672 blocks, whose records would all be its history.
   */
  #collectClears(record: DecodedRecord): void {
    const { count, tablespace, database, relation, heapBlocks } = this.#clears;
    const named = this.#count;
    const stem = this.#sizes.stemOf(tablespace, database, relation, FORK_VISIBILITY_MAP);
    for (let index = 0; index < count; index++) {
      const mapBlock = visibilityMapBlock(heapBlocks[index] as number);
      if (index > 0 && mapBlock === this.#blocks[named]) continue;
      if (this.#touches(stem, mapBlock))
        refuseRecord(record, 'it names a page of the visibility map, and clears others');
      this.#touch(stem, mapBlock, VALUE_VISIBILITY_CLEARS);
    }
  }

  /** Of the page of the map that was touched as `index`. */
  #putClears(index: number, sink: IngestSink): void {
    const { count, heapBlocks, flags } = this.#clears;
    const mapBlock = this.#blocks[index] as number;
    let length = 0;
    for (let clear = 0; clear < count; clear++) {
      const heapBlock = heapBlocks[clear] as number;
      if (visibilityMapBlock(heapBlock) !== mapBlock) continue;
      writeClear(this.#clearView, length, heapBlock, flags[clear] as number);
      length += CLEAR_BYTES;
    }
    sink.putVisibilityClears(
      this.#stems[index] as number,
      mapBlock,
      this.#flags[index] as number,
      this.#clearBytes,
      length,
    );
  }

  #touches(stem: number, block: number): boolean {
    for (let index = 0; index < this.#count; index++) {
      if (this.#blocks[index] === block && this.#stems[index] === stem) return true;
    }
    return false;
  }

  #touch(stem: number, block: number, flags: number): void {
    const index = this.#count++;
    this.#stems[index] = stem;
    this.#blocks[index] = block;
    this.#flags[index] = flags;
    // SIZE_UNKNOWN and SIZE_ABSENT are below all block numbers.
    if (block >= (this.#sizes.blocks[stem] as number)) this.#isBeyondEnd = true;
  }

  #collectPoisoned(record: DecodedRecord): void {
    const sizes = this.#sizes;
    const isHeap = record.resourceManager === RM_HEAP || record.resourceManager === RM_HEAP2;
    this.#count = 0;
    this.#isBeyondEnd = false;
    for (let id = 0; id < record.blockCount; id++) {
      if (record.blockInUse[id] === 0) continue;
      const fork = record.blockFork[id] as number;
      if (fork === FORK_FREE_SPACE_MAP) continue;
      const tablespace = record.blockTablespace[id] as number;
      const database = record.blockDatabase[id] as number;
      const relation = record.blockRelation[id] as number;
      const block = record.blockNumber[id] as number;
      const stem = sizes.stemOf(tablespace, database, relation, fork);
      if (!this.#touches(stem, block)) this.#touch(stem, block, 0);
      if (!isHeap || fork !== FORK_MAIN) continue;
      const mapStem = sizes.stemOf(tablespace, database, relation, FORK_VISIBILITY_MAP);
      const mapBlock = visibilityMapBlock(block);
      const mapBlocks = sizes.blocks[mapStem] as number;
      // A page behind the map's end has no bits set.
      if (mapBlocks !== SIZE_UNKNOWN && mapBlock >= mapBlocks) continue;
      if (!this.#touches(mapStem, mapBlock)) this.#touch(mapStem, mapBlock, 0);
    }
  }

  /**
   * Makes forks as long as the touched blocks need them (XLogReadBufferExtended): they come into being, grow, and what
   * lies in between is zeros. A block behind the end is a page of zeros before the record, whatever was stored for it
   * before the fork was cut or made anew: so it needs no base. `isPoison`: a block that is too far off is left beyond
   * the end.
   */
  #extend(record: DecodedRecord, sink: IngestSink, isPoison: boolean): Missing | undefined {
    const sizes = this.#sizes;
    const missing = sizes.findUnknown(this.#stems, this.#count);
    if (missing !== undefined) return missing;
    const extended = new Map<number, Set<number>>();
    for (let index = 0; index < this.#count; index++) {
      const stem = this.#stems[index] as number;
      const block = this.#blocks[index] as number;
      if (block < (sizes.blocks[stem] as number)) continue;
      if (!isPoison) checkBlockNumber(block, record.startLsn);
      this.#flags[index] = (this.#flags[index] as number) | VALUE_NEEDS_NO_BASE;
      const blocks = extended.get(stem);
      if (blocks === undefined) extended.set(stem, new Set([block]));
      else blocks.add(block);
    }
    const gaps: ZeroPages[] = [];
    for (const [stem, named] of extended) {
      const start = this.#filledTo.get(stem) ?? Math.max(0, sizes.blocks[stem] as number);
      const gap = new ZeroPages(stem, start, Math.max(...named), named);
      if (gap.left > GAP_BLOCKS_MAX) {
        if (isPoison) continue;
        refuseRecord(record, `it extends a fork from ${start} to more than ${gap.end} blocks`);
      }
      if (!gap.isShort) return { kind: 'zero-pages', pages: gap };
      gaps.push(gap);
    }
    for (const gap of gaps) {
      gap.fill(sink);
      sizes.put(gap.stem, gap.end + 1, sink);
    }
    this.#filledTo.clear();
    return undefined;
  }
}
