/** Longer than anything waits: only its being there counts. */
const KEEP_ALIVE_MS = 2 ** 30;
const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** The first signal asks for an end in order, the second one for an end. Keeps the process alive until it is let go of. */
export class StopSignals implements Disposable {
  readonly first: AbortController = new AbortController();
  readonly second: AbortController = new AbortController();
  readonly firstGiven: Promise<void>;
  /** Timers of the clock door keep no process alive, and while no safekeeper can be reached there is nothing else. */
  readonly #keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS);
  readonly #listener = (): void => {
    if (this.first.signal.aborted) this.second.abort();
    this.first.abort();
  };

  constructor() {
    this.firstGiven = new Promise((resolve) => {
      this.first.signal.addEventListener('abort', () => resolve());
    });
    for (const signal of STOP_SIGNALS) process.on(signal, this.#listener);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#keepAlive);
    for (const signal of STOP_SIGNALS) process.off(signal, this.#listener);
  }
}
