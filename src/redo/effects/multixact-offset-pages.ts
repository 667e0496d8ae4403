import type { MultixactOffsetsEffect } from './effect.ts';

const NONE = -1;

/**
 * Which pages of multixact offsets replay makes and when (multixact.c, RecordNewMultiXact and multixact_redo).
 *
 * A multixact's record also sets the *next* multixact's offset. Servers from the minor releases that do so
 * themselves (17.8 and its like) log the zeroing of that entry's page before; older ones log it after, with the
 * next multixact. So where the page has not been zeroed yet the record makes it, and the zeroing that follows is
 * passed over.
 *
 * One object for one run of replay: as in a server, which pages exist decides when nothing is known yet.
 */
export class MultixactOffsetPages {
  #lastInitialized: number;
  #preInitialized: number;

  /** Without arguments for a run that begins; else what an earlier object's fields were, to go on with its run. */
  constructor(lastInitialized: number = NONE, preInitialized: number = NONE) {
    this.#lastInitialized = lastInitialized;
    this.#preInitialized = preInitialized;
  }

  /** last_initialized_offsets_page: the page that was zeroed last, -1 before any was. */
  get lastInitialized(): number {
    return this.#lastInitialized;
  }

  /** pre_initialized_offsets_page: the page whose zeroing is still to come in WAL, and has been done, or -1. */
  get preInitialized(): number {
    return this.#preInitialized;
  }

  /** Whether a slru-zero-page effect is carried out. To be asked once for each, in order. */
  zeroPage(page: number): boolean {
    const isDone = this.#preInitialized === page;
    this.#preInitialized = NONE;
    if (!isDone) this.#lastInitialized = page;
    return !isDone;
  }

  /**
   * Whether the effect's page is zeroed before the effect is applied. To be asked once for each such effect, in
   * order. `pageExists` is only called when no zeroing has been seen yet; it must tell how things are before the
   * effect.
   */
  nextPage(effect: MultixactOffsetsEffect, pageExists: (page: number) => boolean): boolean {
    this.#preInitialized = NONE;
    if (effect.previousPage === undefined) return false;
    const isMissing =
      this.#lastInitialized === NONE
        ? !pageExists(effect.page)
        : this.#lastInitialized === effect.previousPage;
    if (isMissing) {
      this.#preInitialized = effect.page;
      this.#lastInitialized = effect.page;
    }
    return isMissing;
  }
}
