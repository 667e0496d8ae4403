import { compareEncodedKeys, compareKeys, KEY_BYTES, writeKey } from '../keyspace/key.ts';
import { isInRange, type KeyRange } from '../keyspace/key-range.ts';

/** An image layer among the inputs of a job. */
export interface CoveringImage {
  readonly keys: KeyRange;
  readonly lsn: number;
}

const NONE: readonly number[] = [];

/**
 * Which image layers cover a key. An image layer hides all that is older in its range of keys, also under keys that it
 * has no value for: those did not exist then. To be asked with ascending keys.
 */
export class ImageCover {
  /** Keys where the answer may change, ascending, KEY_BYTES each. */
  readonly #borders: DataView;
  /** The answer from each border on. */
  readonly #answers: (readonly number[])[] = [];
  #next = 0;
  #answer = NONE;

  constructor(images: readonly CoveringImage[]) {
    const borders = images.flatMap(({ keys }) => [keys.start, keys.end]).sort(compareKeys);
    this.#borders = new DataView(new ArrayBuffer(borders.length * KEY_BYTES));
    for (const [index, border] of borders.entries()) {
      writeKey(this.#borders, index * KEY_BYTES, border);
      const lsns = images.filter(({ keys }) => isInRange(keys, border)).map(({ lsn }) => lsn);
      this.#answers.push([...new Set(lsns)].sort((left, right) => left - right));
    }
  }

  /** The LSNs of the image layers that cover the key, ascending. The key must not be below the one asked before. */
  lsnsOf(key: DataView, keyOffset: number): readonly number[] {
    while (
      this.#next < this.#answers.length &&
      compareEncodedKeys(this.#borders, this.#next * KEY_BYTES, key, keyOffset) <= 0
    ) {
      this.#answer = this.#answers[this.#next++] as readonly number[];
    }
    return this.#answer;
  }
}
