import type { IngestSink } from './ingest-sink.ts';

/** So many are written in one go, in about a millisecond. */
const SLICE_BLOCKS = 16_384;

/**
 * Blocks between the end of a fork and a block far behind it that a record writes: they become pages of zeros. Hash
 * indexes leave such gaps when they double (hashpage.c, _hash_alloc_buckets), so a gap is not short by its nature; it is
 * filled in slices, for the event loop's sake.
 */
export class ZeroPages {
  readonly stem: number;
  /** Exclusive. */
  readonly end: number;
  readonly #named: ReadonlySet<number>;
  #next: number;

  /** `named`: blocks in between that the record itself brings. */
  constructor(stem: number, start: number, end: number, named: ReadonlySet<number>) {
    this.stem = stem;
    this.end = end;
    this.#next = start;
    this.#named = named;
  }

  get left(): number {
    return this.end - this.#next;
  }

  /** Whether they are few enough to be written at once, on the side. */
  get isShort(): boolean {
    return this.left <= SLICE_BLOCKS;
  }

  /** Puts the next ones. Returns whether all have been put. */
  fill(sink: IngestSink): boolean {
    const end = Math.min(this.end, this.#next + SLICE_BLOCKS);
    for (let block = this.#next; block < end; block++) {
      if (!this.#named.has(block)) sink.putZeroPage(this.stem, block);
    }
    this.#next = end;
    return end === this.end;
  }
}
