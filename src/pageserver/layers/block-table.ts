const SLOTS_AT_FIRST = 8;

/**
 * Things by a whole number, such as a block's: a Map that costs a third of one to look into. Open addressing, at most
 * half full.
 */
export class BlockTable<Thing> {
  #numbers = new Float64Array(SLOTS_AT_FIRST);
  #things: (Thing | undefined)[] = new Array<Thing | undefined>(SLOTS_AT_FIRST).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(number: number): Thing | undefined {
    const numbers = this.#numbers;
    const things = this.#things;
    const mask = numbers.length - 1;
    for (let slot = hash(number) & mask; ; slot = (slot + 1) & mask) {
      const thing = things[slot];
      if (thing === undefined || numbers[slot] === number) return thing;
    }
  }

  set(number: number, thing: Thing): void {
    if ((this.#size + 1) * 2 > this.#numbers.length) this.#resize(this.#numbers.length * 2);
    const slot = this.#slotOf(number);
    if (this.#things[slot] === undefined) this.#size++;
    this.#numbers[slot] = number;
    this.#things[slot] = thing;
  }

  delete(number: number): void {
    const numbers = this.#numbers;
    const things = this.#things;
    const mask = numbers.length - 1;
    let hole = this.#slotOf(number);
    if (things[hole] === undefined) return;
    this.#size--;
    // What stands behind the hole and could not be found across it moves into it.
    for (let slot = (hole + 1) & mask; things[slot] !== undefined; slot = (slot + 1) & mask) {
      const wanted = hash(numbers[slot] as number) & mask;
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      numbers[hole] = numbers[slot] as number;
      things[hole] = things[slot];
      hole = slot;
    }
    things[hole] = undefined;
  }

  clear(): void {
    this.#numbers = new Float64Array(SLOTS_AT_FIRST);
    this.#things = new Array<Thing | undefined>(SLOTS_AT_FIRST).fill(undefined);
    this.#size = 0;
  }

  /** All things. Nothing may be set or deleted meanwhile. */
  *values(): Iterable<Thing> {
    for (const thing of this.#things) if (thing !== undefined) yield thing;
  }

  /** Where the number is, or where it would go. */
  #slotOf(number: number): number {
    const mask = this.#numbers.length - 1;
    let slot = hash(number) & mask;
    while (this.#things[slot] !== undefined && this.#numbers[slot] !== number) slot = (slot + 1) & mask;
    return slot;
  }

  #resize(slots: number): void {
    const numbers = this.#numbers;
    const things = this.#things;
    this.#numbers = new Float64Array(slots);
    this.#things = new Array<Thing | undefined>(slots).fill(undefined);
    for (const [slot, thing] of things.entries()) {
      if (thing === undefined) continue;
      const number = numbers[slot] as number;
      const to = this.#slotOf(number);
      this.#numbers[to] = number;
      this.#things[to] = thing;
    }
  }
}

/** The constant is odd and otherwise arbitrary. */
function hash(number: number): number {
  const mixed = Math.imul(number | 0, 0x9e3779b1);
  return mixed ^ (mixed >>> 15);
}
