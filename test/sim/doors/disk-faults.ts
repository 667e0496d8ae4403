import type { SeededRandom } from '../../support/seeded-random.ts';

export type DiskOperation = 'read' | 'write' | 'sync' | 'names';

/** Microseconds that an operation takes: evenly between two bounds, and now and then many times as long. */
export interface Latency {
  minUs: number;
  maxUs: number;
  /** How often it takes `tailFactor` times as long. */
  tailChance: number;
  tailFactor: number;
}

interface PlannedFailure {
  readonly operation: DiskOperation;
  readonly pathPart: string;
  left: number;
}

/** What is slow and what fails on a disk. Everything may be set while it runs. */
export class DiskFaults {
  readonly latency: Record<DiskOperation, Latency> = {
    read: { minUs: 2, maxUs: 50, tailChance: 0.01, tailFactor: 20 },
    write: { minUs: 5, maxUs: 100, tailChance: 0.01, tailFactor: 20 },
    sync: { minUs: 50, maxUs: 2000, tailChance: 0.02, tailFactor: 20 },
    names: { minUs: 5, maxUs: 100, tailChance: 0.01, tailFactor: 20 },
  };
  /** How often an operation fails. */
  readonly failChance: Record<DiskOperation, number> = { read: 0, write: 0, sync: 0, names: 0 };
  /** How often a write comes after the operating system has written back some dirty sectors. */
  writeBackChance = 0.02;
  /** For each un-synced sector that a loss of power leaves: that a bit of it is wrong. */
  bitFlipChance = 0;
  readonly random: SeededRandom;
  #planned: PlannedFailure[] = [];

  constructor(random: SeededRandom) {
    this.random = random;
  }

  /** The next `count` operations of this kind fail whose path has this part in it. */
  failNext(operation: DiskOperation, pathPart: string, count = 1): void {
    this.#planned.push({ operation, pathPart, left: count });
  }

  fails(operation: DiskOperation, path: string): boolean {
    const chance = this.failChance[operation];
    if (chance > 0 && this.random.chance(chance)) return true;
    if (this.#planned.length === 0) return false;
    const planned = this.#planned.find(
      (failure) => failure.operation === operation && path.includes(failure.pathPart),
    );
    if (planned === undefined) return false;
    if (--planned.left === 0) this.#planned = this.#planned.filter((failure) => failure !== planned);
    return true;
  }

  /** Nothing fails any more. */
  heal(): void {
    this.#planned = [];
    for (const operation of Object.keys(this.failChance) as DiskOperation[]) this.failChance[operation] = 0;
  }

  drawUs(operation: DiskOperation): number {
    const { minUs, maxUs, tailChance, tailFactor } = this.latency[operation];
    const takesUs = minUs + this.random.below(maxUs - minUs + 1);
    return this.random.chance(tailChance) ? takesUs * tailFactor : takesUs;
  }
}
