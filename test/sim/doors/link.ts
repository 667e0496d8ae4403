import type { SeededRandom } from '../../support/seeded-random.ts';
import type { Owner } from '../kernel-queue.ts';
import type { DoorKernel } from './world.ts';

/** The way from one node to another. The way back is another link. */
export class Link {
  minLatencyUs = 20;
  maxLatencyUs = 300;
  /** How often something takes `tailFactor` times as long. */
  tailChance = 0.01;
  tailFactor = 20;
  readonly #kernel: DoorKernel;
  readonly #random: SeededRandom;
  #blockedSinceUs: number | undefined;
  /** What has come to a blocked link, in order. */
  #held: { readonly owner: Owner; readonly action: () => void }[] = [];

  constructor(kernel: DoorKernel, random: SeededRandom) {
    this.#kernel = kernel;
    this.#random = random;
  }

  get isBlocked(): boolean {
    return this.#blockedSinceUs !== undefined;
  }

  /** For how long nothing has got through. */
  get blockedUs(): number {
    return this.#blockedSinceUs === undefined ? 0 : this.#kernel.nowUs - this.#blockedSinceUs;
  }

  /** When something that leaves now is there. */
  arrivalUs(): number {
    const random = this.#random;
    const takesUs = this.minLatencyUs + random.below(this.maxLatencyUs - this.minLatencyUs + 1);
    return this.#kernel.nowUs + (random.chance(this.tailChance) ? takesUs * this.tailFactor : takesUs);
  }

  /** Does something on the other side when it is there. Where the link is blocked then: `held` now, the rest later. */
  carry(owner: Owner, action: () => void, timeUs = this.arrivalUs(), held?: () => void): void {
    this.#kernel.at(owner, timeUs, () => {
      if (this.#blockedSinceUs === undefined) {
        action();
        return;
      }
      this.#held.push({ owner, action });
      held?.();
    });
  }

  block(): void {
    this.#blockedSinceUs ??= this.#kernel.nowUs;
  }

  heal(): void {
    if (this.#blockedSinceUs === undefined) return;
    this.#blockedSinceUs = undefined;
    let timeUs = this.#kernel.nowUs;
    for (const { owner, action } of this.#held.splice(0)) {
      timeUs = Math.max(timeUs, this.arrivalUs());
      this.carry(owner, action, timeUs);
    }
  }
}
