const names: string[] = [];
const nameHashes: number[] = [];

/** A kind of trace entry. Called once for each kind, when its module is loaded. */
export function traceLabel(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  names.push(name);
  nameHashes.push(hash);
  return names.length - 1;
}

const ENTRY_NUMBERS = 5;

/**
 * The last things that happened, and a hash of all that ever did: equal hashes mean equal runs. An entry is a few
 * numbers; text is made of it only when somebody reads it.
 */
export class Trace {
  readonly #capacity: number;
  readonly #ring: Float64Array;
  #count = 0;
  #hash = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#ring = new Float64Array(capacity * ENTRY_NUMBERS);
  }

  /** `nodeIndex` is -1 for what belongs to no node. `first` and `second` are whatever the kind of entry says. */
  add(timeUs: number, nodeIndex: number, label: number, first: number, second: number): void {
    const at = (this.#count++ % this.#capacity) * ENTRY_NUMBERS;
    const ring = this.#ring;
    ring[at] = timeUs;
    ring[at + 1] = nodeIndex;
    ring[at + 2] = label;
    ring[at + 3] = first;
    ring[at + 4] = second;
    let hash = Math.imul(this.#hash ^ timeUs, 0x9e3779b1);
    hash = Math.imul((hash ^ (hash >>> 15)) + nodeIndex, 0x85ebca77);
    hash = Math.imul((hash ^ (hash >>> 13)) + (nameHashes[label] as number), 0xc2b2ae3d);
    hash = Math.imul((hash ^ (hash >>> 16)) + (first | 0), 0x27d4eb2f);
    this.#hash = Math.imul((hash ^ (hash >>> 15)) + (second | 0), 0x165667b1);
  }

  get hash(): number {
    return (this.#hash ^ this.#count) >>> 0;
  }

  /** Entries that were ever added. */
  get count(): number {
    return this.#count;
  }

  /** What is kept, oldest first: `time in ms  node  what first second`. */
  lines(nodeNames: readonly string[]): string[] {
    const lines: string[] = [];
    for (let entry = Math.max(0, this.#count - this.#capacity); entry < this.#count; entry++) {
      const at = (entry % this.#capacity) * ENTRY_NUMBERS;
      const [timeUs, nodeIndex, label, first, second] = this.#ring.subarray(at, at + ENTRY_NUMBERS);
      const node = nodeNames[nodeIndex as number] ?? '-';
      lines.push(
        `${((timeUs as number) / 1000).toFixed(3)} ${node} ${names[label as number]} ${first} ${second}`,
      );
    }
    return lines;
  }
}
