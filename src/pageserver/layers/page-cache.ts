import { AssertionError } from '../../base/errors.ts';
import { BLOCK_BYTES } from '../../postgres/wal/record-header.ts';
import { type CounterByTask, countersByTask } from './cache-counts.ts';
import type { PageSlots } from './page-slots.ts';
import type { ReadContext } from './read-context.ts';

/** Of one page at different LSNs, for who reads behind the others (a standby). */
const VERSIONS_MAX = 2;

/**
 * Pages of a timeline as they were at some LSN, after redo. A slot's number is good until the next `put` of any cache
 * with the same PageSlots.
 */
export class PageCache {
  readonly #slots: PageSlots;
  readonly #owner: number;
  readonly #hits: CounterByTask;
  readonly #misses: CounterByTask;

  constructor(slots: PageSlots) {
    this.#slots = slots;
    this.#owner = slots.nextOwner();
    this.#hits = countersByTask(slots.counts.hits, 'page');
    this.#misses = countersByTask(slots.counts.misses, 'page');
  }

  /**
   * The slot of the newest version of a page that is not newer than `lsn`, or -1. The page at `lsn` is that version
   * with the values in (lsnTo, lsn] applied; none, if `lsn` is not above `lsnTo`.
   */
  find(stem: number, index: number, lsn: number, context: ReadContext): number {
    const slots = this.#slots;
    let found = -1;
    for (let slot = slots.first(this.#owner, stem, index); slot !== -1; slot = slots.next(slot)) {
      const lsnFrom = slots.lsnFrom(slot);
      if (lsnFrom <= lsn && (found === -1 || lsnFrom > slots.lsnFrom(found))) found = slot;
    }
    if (found === -1) {
      this.#misses[context.task].value++;
      return -1;
    }
    slots.touch(found);
    this.#hits[context.task].value++;
    return found;
  }

  /** LSN of the newest value that was applied to the page. */
  lsnFrom(slot: number): number {
    return this.#slots.lsnFrom(slot);
  }

  /** No value has come to the page after `lsnFrom` up to this LSN, inclusive. */
  lsnTo(slot: number): number {
    return this.#slots.lsnTo(slot);
  }

  /** Copies the page into `target`, which has its size. */
  copyTo(slot: number, target: Uint8Array): void {
    this.#slots.copyFrom(slot, target);
  }

  /** It has been found that no value came up to `lsn`. */
  extend(slot: number, lsn: number): void {
    if (lsn > this.#slots.lsnTo(slot)) this.#slots.setLsns(slot, this.#slots.lsnFrom(slot), lsn);
  }

  /**
   * Keeps a page, copied. It takes the place of the version before it, which whoever made it began with; the versions
   * that stay are then one for each who reads at some distance from the others.
   */
  put(stem: number, index: number, lsnFrom: number, lsnTo: number, bytes: Uint8Array): void {
    if (bytes.length !== BLOCK_BYTES || lsnFrom > lsnTo) {
      throw new AssertionError(`${bytes.length} bytes are put as a page from LSN ${lsnFrom} to ${lsnTo}`);
    }
    const slots = this.#slots;
    let versions = 0;
    let before = -1;
    let oldest = -1;
    for (let slot = slots.first(this.#owner, stem, index); slot !== -1; slot = slots.next(slot)) {
      const from = slots.lsnFrom(slot);
      if (from === lsnFrom) {
        this.extend(slot, lsnTo);
        return;
      }
      versions++;
      if (from < lsnFrom && (before === -1 || from > slots.lsnFrom(before))) before = slot;
      if (oldest === -1 || from < slots.lsnFrom(oldest)) oldest = slot;
    }
    let slot = before;
    if (slot === -1) slot = versions < VERSIONS_MAX ? slots.take(this.#owner, stem, index) : oldest;
    slots.setLsns(slot, lsnFrom, lsnTo);
    slots.copyTo(slot, bytes);
  }

  /** Lets go of all pages, or of those of some stems. */
  drop(stems?: ReadonlySet<number>): void {
    this.#slots.drop(this.#owner, stems);
  }
}
