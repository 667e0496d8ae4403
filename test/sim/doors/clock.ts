import type { Clock, Timer } from '../../../src/io/clock.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { SimEvent } from '../kernel-queue.ts';
import { traceLabel } from '../kernel-trace.ts';
import type { DoorIncarnation } from './world.ts';

const TIMER = traceLabel('timer');

const TIMER_LATENESS_US = 1000;
/** 2026-01-01 */
const EPOCH_MS = 1_767_225_600_000;

/** The time that a machine shows: it is what somebody set it to. */
export class WallClock {
  readonly #kernel: { readonly nowUs: number };
  #offsetMs = 0;

  constructor(kernel: { readonly nowUs: number }) {
    this.#kernel = kernel;
  }

  nowMs(): number {
    return EPOCH_MS + Math.floor(this.#kernel.nowUs / 1000) + this.#offsetMs;
  }

  jump(deltaMs: number): void {
    this.#offsetMs += deltaMs;
  }
}

class SimTimer implements Timer {
  readonly #event: SimEvent;

  constructor(event: SimEvent) {
    this.#event = event;
  }

  cancel(): void {
    this.#event.action = undefined;
  }
}

const NO_TIMER: Timer = { cancel: () => undefined };

/** The simulated side of the clock door. For the dead, time stands still. */
export class SimClock implements Clock {
  readonly #incarnation: DoorIncarnation;
  readonly #random: SeededRandom;
  #diedUs: number | undefined;

  constructor(incarnation: DoorIncarnation, random: SeededRandom) {
    this.#incarnation = incarnation;
    this.#random = random;
  }

  monotonicMs(): number {
    return this.#nowUs() / 1000 + this.#incarnation.node.monotonicOffsetMs;
  }

  wallMs(): number {
    return this.#incarnation.node.wallClock.nowMs();
  }

  /** A timer is a little late, by a random time. */
  setTimer(delayMs: number, callback: () => void): Timer {
    const incarnation = this.#incarnation;
    if (!incarnation.isAlive) return NO_TIMER;
    const delayUs = Math.ceil(Math.max(0, delayMs) * 1000) + 1 + this.#random.below(TIMER_LATENESS_US);
    const event = incarnation.kernel.after(incarnation, delayUs, () => {
      incarnation.kernel.note(incarnation.node.index, TIMER);
      callback();
    });
    return new SimTimer(event);
  }

  yieldToOthers(): Promise<void> {
    const incarnation = this.#incarnation;
    return new Promise((resolve) => {
      // It takes time, or a loop that yields would hold all others up for ever.
      if (incarnation.isAlive) incarnation.kernel.after(incarnation, 1 + this.#random.below(20), resolve);
    });
  }

  #nowUs(): number {
    if (this.#incarnation.isAlive) return this.#incarnation.kernel.nowUs;
    this.#diedUs ??= this.#incarnation.kernel.nowUs;
    return this.#diedUs;
  }
}
