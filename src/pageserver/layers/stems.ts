import { AssertionError } from '../../base/errors.ts';
import type { Key } from '../keyspace/key.ts';

/** Words that a stem has in `words`: kind and field5 in one (kind << 8 | field5), field2, field3, field4. */
export const STEM_WORDS = 4;
const STEMS_AT_FIRST = 8;

/**
 * A key without its index, as a small integer: 0, 1, 2 … in the order in which they were first seen. What is kept for
 * many keys of one relation is found by that integer. Only grows: 32 bytes a stem.
 */
export class Stems {
  #words: Uint32Array = new Uint32Array(STEMS_AT_FIRST * STEM_WORDS);
  /** Open addressing: a stem + 1, or 0. At most half full. */
  #slots: Int32Array = new Int32Array(STEMS_AT_FIRST * 2);
  #size = 0;
  /** What was found last, since one relation's records come in groups. */
  #last = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#words.byteLength + this.#slots.byteLength;
  }

  /** The number of a stem, a new one if it has none yet. @throws AssertionError if a field does not fit in a key */
  intern(kind: number, field2: number, field3: number, field4: number, field5: number): number {
    const found = this.find(kind, field2, field3, field4, field5);
    return found === -1 ? this.#add(kind, field2, field3, field4, field5) : found;
  }

  /** -1: it was never interned. */
  find(kind: number, field2: number, field3: number, field4: number, field5: number): number {
    const kindAndField5 = joinBytes(kind, field5);
    const words = this.#words;
    const last = this.#last * STEM_WORDS;
    if (
      words[last + 3] === field4 &&
      words[last] === kindAndField5 &&
      words[last + 2] === field3 &&
      words[last + 1] === field2 &&
      this.#size > 0
    ) {
      return this.#last;
    }
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash(kindAndField5, field2, field3, field4) & mask;
    for (let taken = slots[slot] as number; taken !== 0; taken = slots[slot] as number) {
      const word = (taken - 1) * STEM_WORDS;
      if (
        words[word + 3] === field4 &&
        words[word] === kindAndField5 &&
        words[word + 2] === field3 &&
        words[word + 1] === field2
      ) {
        this.#last = taken - 1;
        return taken - 1;
      }
      slot = (slot + 1) & mask;
    }
    return -1;
  }

  kindOf(stem: number): number {
    return this.#wordOf(stem, 0) >>> 8;
  }

  field2Of(stem: number): number {
    return this.#wordOf(stem, 1);
  }

  field3Of(stem: number): number {
    return this.#wordOf(stem, 2);
  }

  field4Of(stem: number): number {
    return this.#wordOf(stem, 3);
  }

  field5Of(stem: number): number {
    return this.#wordOf(stem, 0) & 0xff;
  }

  keyOf(stem: number, index: number): Key {
    this.#wordOf(stem, 0);
    return stemKey(this.#words, stem, index);
  }

  /** A copy of the fields of all stems, STEM_WORDS each, for who is elsewhere. */
  copyWords(): Uint32Array {
    return this.#words.slice(0, this.#size * STEM_WORDS);
  }

  #wordOf(stem: number, word: number): number {
    if (stem >= this.#size) throw new AssertionError(`there is no stem ${stem}`);
    return this.#words[stem * STEM_WORDS + word] as number;
  }

  #add(kind: number, field2: number, field3: number, field4: number, field5: number): number {
    if (field2 >>> 0 !== field2 || field3 >>> 0 !== field3 || field4 >>> 0 !== field4) {
      throw new AssertionError(`${field2}, ${field3} or ${field4} is no unsigned number of 32 bits`);
    }
    const stem = this.#size;
    if ((stem + 1) * 2 > this.#slots.length) this.#grow();
    const word = stem * STEM_WORDS;
    this.#words[word] = joinBytes(kind, field5);
    this.#words[word + 1] = field2;
    this.#words[word + 2] = field3;
    this.#words[word + 3] = field4;
    this.#size = stem + 1;
    this.#place(stem);
    this.#last = stem;
    return stem;
  }

  #place(stem: number): void {
    const word = stem * STEM_WORDS;
    const words = this.#words;
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot =
      hash(
        words[word] as number,
        words[word + 1] as number,
        words[word + 2] as number,
        words[word + 3] as number,
      ) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = stem + 1;
  }

  #grow(): void {
    const words = new Uint32Array(this.#words.length * 2);
    words.set(this.#words);
    this.#words = words;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let stem = 0; stem < this.#size; stem++) this.#place(stem);
  }
}

/** A key from the words of `Stems.copyWords`. */
export function stemKey(words: Uint32Array, stem: number, index: number): Key {
  const word = stem * STEM_WORDS;
  const kindAndField5 = words[word] as number;
  return {
    kind: kindAndField5 >>> 8,
    field2: words[word + 1] as number,
    field3: words[word + 2] as number,
    field4: words[word + 3] as number,
    field5: kindAndField5 & 0xff,
    index,
  };
}

/** As the keys are ordered, of two stems in the words of `Stems.copyWords`. */
export function compareStems(words: Uint32Array, left: number, right: number): number {
  const leftWord = left * STEM_WORDS;
  const rightWord = right * STEM_WORDS;
  const leftBytes = words[leftWord] as number;
  const rightBytes = words[rightWord] as number;
  return (
    (leftBytes >>> 8) - (rightBytes >>> 8) ||
    (words[leftWord + 1] as number) - (words[rightWord + 1] as number) ||
    (words[leftWord + 2] as number) - (words[rightWord + 2] as number) ||
    (words[leftWord + 3] as number) - (words[rightWord + 3] as number) ||
    (leftBytes & 0xff) - (rightBytes & 0xff)
  );
}

function joinBytes(kind: number, field5: number): number {
  if ((kind | field5) >>> 8 !== 0) throw new AssertionError(`kind ${kind} or field5 ${field5} is no byte`);
  return (kind << 8) | field5;
}

/** The constants are odd and otherwise arbitrary. */
function hash(kindAndField5: number, field2: number, field3: number, field4: number): number {
  let mixed = Math.imul(field4, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15) ^ field3, 0x85ebca77);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ field2, 0xc2b2ae3d);
  mixed = Math.imul(mixed ^ (mixed >>> 16) ^ kindAndField5, 0x27d4eb2f);
  return mixed ^ (mixed >>> 15);
}
