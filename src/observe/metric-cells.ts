/**
 * The places where a program counts. They are plain numbers, so that counting costs nothing on a hot path; they are
 * read when the metrics are asked for.
 */

/** Only rises. */
export class Counter {
  value = 0;

  increment(): void {
    this.value++;
  }

  add(amount: number): void {
    this.value += amount;
  }
}

/** Rises and falls. */
export class Gauge {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }

  subtract(amount: number): void {
    this.value -= amount;
  }

  set(value: number): void {
    this.value = value;
  }
}

/** How often values fell into which range. */
export class Histogram {
  /** Upper ends, inclusive, ascending; beyond the last there is one more range. */
  readonly bounds: readonly number[];
  /** For each bound, and last for what is beyond: how many fell into the range below it and above the one before. */
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] as number)) index++;
    this.counts[index] = (this.counts[index] as number) + 1;
    this.sum += value;
    this.count++;
  }
}

/** Cells of one metric by their labels' values. Whoever counts often keeps the cell. */
export class Family<Cell> {
  readonly labelNames: readonly string[];
  readonly #make: () => Cell;
  readonly #cells = new Map<string, { readonly labels: Record<string, string>; readonly cell: Cell }>();

  constructor(labelNames: readonly string[], make: () => Cell) {
    this.labelNames = labelNames;
    this.#make = make;
  }

  /**
   * The cell for these values, in the order of the names. Values must come from a small known set: each combination
   * stays for as long as the process lives.
   */
  of(...values: readonly string[]): Cell {
    const key = values.join('\0');
    let entry = this.#cells.get(key);
    if (entry === undefined) {
      const labels = Object.fromEntries(this.labelNames.map((name, index) => [name, values[index] ?? '']));
      entry = { labels, cell: this.#make() };
      this.#cells.set(key, entry);
    }
    return entry.cell;
  }

  entries(): Iterable<{ readonly labels: Record<string, string>; readonly cell: Cell }> {
    return this.#cells.values();
  }
}
