import { AssertionError } from '../../base/errors.ts';
import type { SortedEntries } from './sorted-entries.ts';
import { isBase, VALUE_KIND_MASK, VALUE_POISON } from './value.ts';

const ENTRIES_MAX = 65_536;
const BYTES_MAX: number = 64 * 1024 * 1024;

/** Some values of an open layer, one behind the other in order of key and LSN, no two of both the same. */
export class EntryBatch {
  count = 0;
  /** Of all values together. */
  valueBytes = 0;
  readonly stems: Uint32Array = new Uint32Array(ENTRIES_MAX);
  readonly indexes: Uint32Array = new Uint32Array(ENTRIES_MAX);
  readonly lsns: Float64Array = new Float64Array(ENTRIES_MAX);
  /** In the open layer's file. */
  readonly positions: Float64Array = new Float64Array(ENTRIES_MAX);
  readonly lengths: Uint32Array = new Uint32Array(ENTRIES_MAX);
  readonly flags: Uint8Array = new Uint8Array(ENTRIES_MAX);
  /** Where the value is in what OpenLayerReader has read of the batch. */
  readonly offsets: Float64Array = new Float64Array(ENTRIES_MAX);
  #hasEntry = false;

  /**
   * Forgets what is there and takes the next values. false: there are none.
   * @throws AssertionError for two values of one key and LSN that do not replace one another
   */
  fill(entries: SortedEntries): boolean {
    this.count = 0;
    this.valueBytes = 0;
    this.#hasEntry ||= entries.advance();
    while (this.#hasEntry) {
      if (this.#isOfLast(entries)) this.#replaceLast(entries);
      else if (this.#isFullFor(entries.lengthBytes)) break;
      else this.#append(entries);
      this.#hasEntry = entries.advance();
    }
    return this.count > 0;
  }

  #isFullFor(lengthBytes: number): boolean {
    return this.count === ENTRIES_MAX || (this.count > 0 && this.valueBytes + lengthBytes > BYTES_MAX);
  }

  #isOfLast(entries: SortedEntries): boolean {
    const last = this.count - 1;
    return (
      last >= 0 &&
      this.lsns[last] === entries.lsn &&
      this.indexes[last] === entries.index &&
      this.stems[last] === entries.stem
    );
  }

  #replaceLast(entries: SortedEntries): void {
    const last = this.count - 1;
    const isSame = this.positions[last] === entries.position && this.lengths[last] === entries.lengthBytes;
    // Nobody reads past poison: one is enough, and records beside it do not matter.
    const isPoison = (entries.flags & VALUE_KIND_MASK) === VALUE_POISON;
    const isPoisoned = ((this.flags[last] as number) & VALUE_KIND_MASK) === VALUE_POISON;
    if (isPoisoned && !isPoison && !isBase(entries.flags)) return;
    if (!isSame && !isPoison && !isBase(entries.flags)) {
      throw new AssertionError('a key has two values at one LSN that both matter', { lsn: entries.lsn });
    }
    this.count = last;
    this.valueBytes -= this.lengths[last] as number;
    this.#append(entries);
  }

  #append(entries: SortedEntries): void {
    const entry = this.count++;
    this.stems[entry] = entries.stem;
    this.indexes[entry] = entries.index;
    this.lsns[entry] = entries.lsn;
    this.positions[entry] = entries.position;
    this.lengths[entry] = entries.lengthBytes;
    this.flags[entry] = entries.flags;
    this.valueBytes += entries.lengthBytes;
  }
}
