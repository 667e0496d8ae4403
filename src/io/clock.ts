/** A timer that has been set. */
export interface Timer {
  /** The callback will not be called any more. May be called again, and after it has been called. */
  cancel(): void;
}

/** The door to time. A simulated clock makes a run repeatable, and hours pass in milliseconds. */
export interface Clock {
  /** Milliseconds, with fractions, since some moment. Never goes back, whatever happens to the machine's time. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01 UTC. May jump, forwards and back: fit for showing, never for measuring. */
  wallMs(): number;
  /**
   * Calls back once, after at least `delayMs`. A callback must not throw. A timer keeps no process alive: whoever
   * waits is held by what it waits for.
   */
  setTimer(delayMs: number, callback: () => void): Timer;
  /** Resolves after everything that is ready to run now: for loops that would hold all others up. */
  yieldToOthers(): Promise<void>;
}
