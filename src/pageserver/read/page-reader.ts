import { CorruptionError } from '../../base/errors.ts';
import { throwIfCancelled } from '../../io/cancelled.ts';
import type { Page } from '../../postgres/page/page.ts';
import { formatKey, type Key } from '../keyspace/key.ts';
import { ValueApplier } from '../layers/apply-value.ts';
import { BlockPins } from '../layers/blocks.ts';
import { FoundValues } from '../layers/found-values.ts';
import type { ReadContext } from '../layers/read-context.ts';
import { isRetired, RETIRED_MAX } from '../layers/retired-layer.ts';
import { VALUE_IMAGE, VALUE_KIND_MASK } from '../layers/value.ts';
import { collectValues } from './collect-values.ts';
import { withLsn } from './place-error.ts';
import type { ReadableTimeline } from './readable-timeline.ts';

/** Below all LSNs. */
const NO_FLOOR = -1;

/** Of all timelines: nothing is awaited between looking for something and using what was found. */
const found = new FoundValues();
/** For reads that load nothing. */
const probe = new BlockPins();

/** A page that is asked for, and where it is to go. */
export interface PageRequest {
  readonly key: Key;
  /** Inclusive. */
  readonly lsn: number;
  readonly target: Page;
}

/**
 * Reads what a timeline held under a key at an LSN. It does not ask whether the LSN may be asked for.
 *
 * Where all blocks are in memory nothing is awaited, and a page costs about a microsecond.
 */
export class PageReader {
  readonly #timeline: ReadableTimeline;
  readonly #applier: ValueApplier;
  /** So that looking is not left out because nothing comes of it. */
  #touched = 0;

  constructor(timeline: ReadableTimeline) {
    this.#timeline = timeline;
    this.#applier = ValueApplier.of(timeline.version);
  }

  /**
   * Reads a page from what is in memory. False where that does not suffice; `target` is undefined then.
   * @throws CorruptionError where what is stored does not make a page
   */
  readNow(key: Key, lsn: number, target: Page, context: ReadContext): boolean {
    const isDone = this.#tryPage(key, lsn, target, probe, context);
    if (!isDone) probe.forgetLacking();
    return isDone;
  }

  /** @throws CorruptionError where what is stored does not make a page; what reading files fails of */
  async readPage(key: Key, lsn: number, target: Page, context: ReadContext): Promise<void> {
    await this.readPages([{ key, lsn, target }], context);
  }

  /**
   * Reads pages with as few and as large reads of files as can be.
   * @throws as readPage, of the first that fails
   */
  async readPages(requests: readonly PageRequest[], context: ReadContext): Promise<void> {
    let pending = requests;
    let lsn = 0;
    try {
      await untilAtHand(context, (pins) => {
        pending = pending.filter((request) => {
          lsn = request.lsn;
          return !this.#tryPage(request.key, lsn, request.target, pins, context);
        });
        lsn = pending[0]?.lsn ?? lsn;
        return pending.length === 0 ? true : undefined;
      });
    } catch (error) {
      throw withLsn(error, lsn);
    }
  }

  /** What a key that is no page's held, copied. undefined where it did not exist. */
  async readValue(key: Key, lsn: number, context: ReadContext): Promise<Uint8Array | undefined> {
    try {
      const bytes = await untilAtHand(context, (pins) => {
        if (!collectValues(this.#timeline, key, lsn, NO_FLOOR, found, pins, context)) return undefined;
        return newestImage(key);
      });
      return bytes.length === 0 ? undefined : bytes;
    } catch (error) {
      throw withLsn(error, lsn);
    }
  }

  #tryPage(key: Key, lsn: number, target: Page, pins: BlockPins, context: ReadContext): boolean {
    const { stems, pages } = this.#timeline;
    const stem = stems.find(key.kind, key.field2, key.field3, key.field4, key.field5);
    const slot = stem < 0 ? -1 : pages.find(stem, key.index, lsn, context);
    if (slot < 0) return this.#tryFromLayers(key, lsn, target, pins, context);
    const knownLsn = pages.lsnTo(slot);
    if (lsn <= knownLsn) {
      pages.copyTo(slot, target.bytes);
      return true;
    }
    if (!collectValues(this.#timeline, key, lsn, knownLsn, found, pins, context)) return false;
    this.#touched |= found.touch();
    pages.copyTo(slot, target.bytes);
    if (found.count === 0) {
      pages.extend(slot, lsn);
      return true;
    }
    if (found.isComplete) this.#applier.reconstruct(key, found, target);
    else this.#applier.applyFrom(key, found, found.count - 1, target);
    pages.put(stem, key.index, found.lsns[0] as number, lsn, target.bytes);
    return true;
  }

  #tryFromLayers(key: Key, lsn: number, target: Page, pins: BlockPins, context: ReadContext): boolean {
    if (!collectValues(this.#timeline, key, lsn, NO_FLOOR, found, pins, context)) return false;
    this.#touched |= found.touch();
    this.#applier.reconstruct(key, found, target);
    const stem = this.#timeline.stems.intern(key.kind, key.field2, key.field3, key.field4, key.field5);
    this.#timeline.pages.put(stem, key.index, found.lsns[0] as number, lsn, target.bytes);
    return true;
  }
}

/** The content as of the newest value; empty where there is none. Copied, since memory of the open layer is used again. */
function newestImage(key: Key): Uint8Array {
  if (found.count === 0) return new Uint8Array(0);
  if (((found.flags[0] as number) & VALUE_KIND_MASK) !== VALUE_IMAGE) {
    throw new CorruptionError('BAD_VALUE', `what is stored under ${formatKey(key)} is no image`, {
      lsn: found.lsns[0] as number,
    });
  }
  const offset = found.offsets[0] as number;
  return (found.bytes[0] as Uint8Array).slice(offset, offset + (found.lengths[0] as number));
}

/** Calls `attempt` until it gives something, loading between what it lacked. */
async function untilAtHand<Result>(
  context: ReadContext,
  attempt: (pins: BlockPins) => Result | undefined,
): Promise<Result> {
  let pins = new BlockPins();
  for (let retired = 0; ; ) {
    const result = attempt(pins);
    if (result !== undefined) return result;
    throwIfCancelled(context.signal);
    try {
      await pins.load(context);
    } catch (error) {
      if (!isRetired(error) || ++retired > RETIRED_MAX) throw error;
      pins = new BlockPins();
    }
  }
}
