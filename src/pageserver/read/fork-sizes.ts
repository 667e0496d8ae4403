import { CorruptionError } from '../../base/errors.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import { KIND_RELATION_SIZE } from '../keyspace/keys.ts';
import { decodeSize } from '../keyspace/stored-values.ts';
import { BlockPins } from '../layers/blocks.ts';
import { FoundValues } from '../layers/found-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { VALUE_IMAGE, VALUE_KIND_MASK } from '../layers/value.ts';
import { collectValues } from './collect-values.ts';
import type { ReadableTimeline } from './readable-timeline.ts';

/** There is no such fork. */
export const NO_FORK = -1;
/** What is in memory does not say. */
export const SIZE_LACKING = -2;

/** Below all LSNs. */
const NO_FLOOR = -1;
const STEMS_AT_FIRST = 64;
const NOTHING = new Float64Array(0);
/** Of all timelines: nothing is awaited between looking for something and using what was found. */
const found = new FoundValues();
/** For reads that load nothing. */
const probe = new BlockPins();

/** The timeline, as far as it is needed here. */
interface SizedTimeline extends ReadableTimeline {
  /** What was below may have been forgotten, also that a fork was dropped. */
  readonly gcCutoffLsn: number;
}

/**
 * How many blocks the forks of a timeline's relations have, at any LSN: whoever asks for a page has to know. Of each fork
 * one size is kept, with the LSNs between which it is known that no other came. 24 bytes a fork.
 */
export class ForkSizes {
  readonly #timeline: SizedTimeline;
  /** By stem: the LSN of the newest value. Not a number where nothing is known. */
  #lsnFrom: Float64Array = NOTHING;
  /** No value has come after it up to this LSN, inclusive. */
  #lsnTo: Float64Array = NOTHING;
  #blocks: Float64Array = NOTHING;

  constructor(timeline: SizedTimeline) {
    this.#timeline = timeline;
  }

  /**
   * Blocks of a fork at an LSN; NO_FORK, or SIZE_LACKING, after which TimelineReads.relationSize says it and brings what
   * was lacking. It does not ask whether the LSN may be asked for.
   * @throws CorruptionError where what is stored is no size
   */
  readNow(
    tablespace: number,
    database: number,
    relation: number,
    fork: number,
    lsn: number,
    context: ReadContext,
  ): number {
    const stem = this.#timeline.stems.find(KIND_RELATION_SIZE, tablespace, database, relation, fork);
    let floorLsn = NO_FLOOR;
    if (stem >= 0 && stem < this.#blocks.length && lsn >= (this.#lsnFrom[stem] as number)) {
      const knownLsn = this.#lsnTo[stem] as number;
      if (lsn <= knownLsn) return this.#blocks[stem] as number;
      if (knownLsn >= this.#timeline.gcCutoffLsn) floorLsn = knownLsn;
    }
    const key: Key = {
      kind: KIND_RELATION_SIZE,
      field2: tablespace,
      field3: database,
      field4: relation,
      field5: fork,
      index: 0,
    };
    if (!collectValues(this.#timeline, key, lsn, floorLsn, found, probe, context)) {
      probe.forgetLacking();
      return SIZE_LACKING;
    }
    // Images have no value of a fork that was dropped: what was known of it holds no longer.
    if (found.count === 0 && floorLsn !== NO_FLOOR && !found.isAbsent) {
      this.#lsnTo[stem] = lsn;
      return this.#blocks[stem] as number;
    }
    const blocks = newestSize(key);
    this.#keep(stem, key, lsn, blocks);
    return blocks;
  }

  #keep(stem: number, key: Key, lsn: number, blocks: number): void {
    const { count, lsns } = found;
    // Nothing is kept of what never was: anybody may ask for any number.
    if (count === 0) return;
    const { kind, field2, field3, field4, field5 } = key;
    const at = stem >= 0 ? stem : this.#timeline.stems.intern(kind, field2, field3, field4, field5);
    if (at >= this.#blocks.length) this.#grow(at);
    // Who reads behind the others finds what he needs in the layers, and leaves theirs.
    if (lsn < (this.#lsnTo[at] as number)) return;
    this.#lsnFrom[at] = lsns[0] as number;
    this.#lsnTo[at] = lsn;
    this.#blocks[at] = blocks;
  }

  #grow(stem: number): void {
    const length = Math.max(stem + 1, STEMS_AT_FIRST, this.#blocks.length * 2);
    const grow = (old: Float64Array, filling: number): Float64Array => {
      const bigger = new Float64Array(length).fill(filling);
      bigger.set(old);
      return bigger;
    };
    this.#lsnFrom = grow(this.#lsnFrom, Number.NaN);
    this.#lsnTo = grow(this.#lsnTo, 0);
    this.#blocks = grow(this.#blocks, 0);
  }
}

function newestSize(key: Key): number {
  if (found.count === 0) return NO_FORK;
  const lsn = found.lsns[0] as number;
  if (((found.flags[0] as number) & VALUE_KIND_MASK) !== VALUE_IMAGE) {
    throw new CorruptionError('BAD_VALUE', `what is stored under ${formatKey(key)} is no image`, { lsn });
  }
  const offset = found.offsets[0] as number;
  const length = found.lengths[0] as number;
  if (length === 0) return NO_FORK;
  return decodeSize((found.bytes[0] as Uint8Array).subarray(offset, offset + length));
}
