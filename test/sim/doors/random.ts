import type { Random } from '../../../src/io/random.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';

/** The simulated side of the random door. Everybody could guess its bytes. */
export class SimRandom implements Random {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  fraction(): number {
    return this.#random.fraction();
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = this.#random.next() >>> 24;
    return bytes;
  }
}
