import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';

/** What held the event loop up. */
export interface LoopDelays {
  /** From when a timer of 1 ms was due to when it was called. */
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly collections: number;
  readonly longestCollectionMs: number;
}

const RESOLUTION_MS = 1;

/** Watches the event loop from its making on. What other processes take from the core counts, so compare with a calm one. */
export class LoopWatch {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #pausesMs: number[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) this.#pausesMs.push(duration);
  });

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
    this.#histogram.enable();
  }

  stop(): LoopDelays {
    this.#histogram.disable();
    for (const { duration } of this.#observer.takeRecords()) this.#pausesMs.push(duration);
    this.#observer.disconnect();
    const delayMs = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    return {
      p99Ms: delayMs(this.#histogram.percentile(99)),
      maxMs: delayMs(this.#histogram.max),
      collections: this.#pausesMs.length,
      longestCollectionMs: Math.max(0, ...this.#pausesMs),
    };
  }
}

/** The same of a loop that has as much to do for so long, in pieces of a tenth of a millisecond: what the machine alone does. */
export async function watchCalmLoop(durationMs: number): Promise<LoopDelays> {
  const watch = new LoopWatch();
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) {
    const pieceEndMs = performance.now() + 0.1;
    while (performance.now() < pieceEndMs);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  return watch.stop();
}
