/** The door to what the run time knows of where a process spends its time and its memory. */
export interface Profiler {
  /**
   * Where time is spent from now on, for so long: a V8 CPU profile (`.cpuprofile`), as JSON.
   * @throws VarveError ‘conflict’ / PROFILE_RUNNING, since one is taken at a time; ‘cancelled’
   */
  cpu(durationMs: number, signal: AbortSignal): Promise<string>;
  /**
   * Who allocates what is still in use, of what is allocated from now on, for so long: a sampled V8 heap profile
   * (`.heapprofile`), as JSON. Errors as `cpu`.
   */
  heap(durationMs: number, signal: AbortSignal): Promise<string>;
}
