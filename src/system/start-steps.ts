import type { Clock } from '../io/clock.ts';

export interface FinishedStep {
  readonly step: string;
  /** Steps go on at the same time: their times add up to more than the whole. */
  readonly ms: number;
}

/** Whoever watches a start. */
export interface StartWatcher {
  onBegin(step: string): void;
  onEnd(finished: FinishedStep): void;
}

/** The steps of a start, each with its time. */
export class StartSteps {
  readonly finished: FinishedStep[] = [];
  readonly #clock: Clock;
  readonly #watcher: StartWatcher;
  readonly #beganAtMs: number;

  constructor(clock: Clock, watcher: StartWatcher) {
    this.#clock = clock;
    this.#watcher = watcher;
    this.#beganAtMs = clock.monotonicMs();
  }

  async run<Result>(step: string, action: () => Promise<Result>): Promise<Result> {
    const beganAtMs = this.#clock.monotonicMs();
    this.#watcher.onBegin(step);
    const result = await action();
    const finished = { step, ms: this.#clock.monotonicMs() - beganAtMs };
    this.finished.push(finished);
    this.#watcher.onEnd(finished);
    return result;
  }

  get totalMs(): number {
    return this.#clock.monotonicMs() - this.#beganAtMs;
  }
}
