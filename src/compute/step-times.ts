import type { Clock } from '../io/clock.ts';

/** How long one step of a start took. */
export interface StepTime {
  readonly step: string;
  readonly ms: number;
}

/** Times the steps of a start. */
export class StepTimes {
  readonly steps: StepTime[] = [];
  readonly #clock: Clock;
  readonly #beganAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beganAtMs = clock.monotonicMs();
  }

  async time<Result>(step: string, action: () => Promise<Result>): Promise<Result> {
    const beganAtMs = this.#clock.monotonicMs();
    const result = await action();
    this.steps.push({ step, ms: this.#clock.monotonicMs() - beganAtMs });
    return result;
  }

  /** Since the beginning. */
  get totalMs(): number {
    return this.#clock.monotonicMs() - this.#beganAtMs;
  }
}
