import { setTimeout as delay } from 'node:timers/promises';

/** The run's counters. */
export interface WorkloadStatistics {
  /** From the snapshot to the clean stop. */
  seconds: number;
  statements: number;
  /** How often each file was run to its end. */
  readonly files: Record<string, number>;
  /** `file: message` and how often. Most are wanted: conflicts, timeouts, kills. */
  readonly errors: Record<string, number>;
  immediateStops: number;
  cleanStops: number;
  parameterChanges: number;
  /** Recoveries that the server's own check would have stopped wrongly (consistency-flags.ts). */
  recoveriesWithoutCheck: number;
  /** WAL written since the snapshot. */
  walBytes: number;
  /** Commands run, with `exec`. */
  commands: number;
  commandFailures: number;
}

/** What all parts of a running workload share: whether the server is up, when to end, how fast to write. */
export class WorkloadControl {
  readonly statistics: WorkloadStatistics;
  readonly seconds: number;
  readonly walBytesMax: number;
  readonly #stop = new AbortController();
  readonly #startedAt = performance.now();
  readonly #isHeld: () => boolean;
  #up: Promise<void> = Promise.resolve();
  #markUp: () => void = () => undefined;
  #isUp = true;

  /** @param isHeld whether sessions are to begin nothing for now */
  constructor(seconds: number, walBytesMax: number, isHeld: () => boolean) {
    this.#isHeld = isHeld;
    this.seconds = seconds;
    this.walBytesMax = walBytesMax;
    this.statistics = {
      seconds: 0,
      statements: 0,
      files: {},
      errors: {},
      immediateStops: 0,
      cleanStops: 0,
      parameterChanges: 0,
      recoveriesWithoutCheck: 0,
      walBytes: 0,
      commands: 0,
      commandFailures: 0,
    };
  }

  get elapsedSeconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  get isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  get stopSignal(): AbortSignal {
    return this.#stop.signal;
  }

  stop(): void {
    this.#stop.abort();
    this.#markUp();
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  markDown(): void {
    this.#isUp = false;
    this.#up = new Promise((resolve) => {
      this.#markUp = resolve;
    });
  }

  markUp(): void {
    this.#isUp = true;
    this.#markUp();
  }

  /** Returns when the server takes connections or the run is over. */
  async untilUp(): Promise<void> {
    if (!this.isStopping) await this.#up;
  }

  /** Sleeps, but not past the end of the run. */
  async pause(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.stopSignal }).catch((error: unknown) => {
      if (!this.isStopping) throw error;
    });
  }

  /**
   * Holds a session back while somebody asks for it, and while more WAL has been written than the run's share so far. A
   * tenth of the limit is free from the beginning, and a twentieth is never given out, since a statement under way cannot
   * be held.
   */
  async throttle(): Promise<void> {
    while (!this.isStopping) {
      const share = Math.min(1, this.elapsedSeconds / this.seconds);
      const isEarly = this.statistics.walBytes > this.walBytesMax * (0.1 + 0.85 * share);
      if (!isEarly && !this.#isHeld()) return;
      await this.pause(20);
    }
  }

  countError(place: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const key = `${place}: ${message.replaceAll(/\d+/g, 'N')}`;
    this.statistics.errors[key] = (this.statistics.errors[key] ?? 0) + 1;
  }
}
