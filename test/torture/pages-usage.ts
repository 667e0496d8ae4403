/** Names the Unix socket at which the probe in a pageserver answers, in the pageserver's environment. */
export const PROBE_VARIABLE = 'VARVE_TORTURE_PROBE';

/** What the probe is asked for, in a line of JSON; it answers in JSON, and closes. */
export type ProbeQuestion = 'usage' | { readonly request: string };

/** What a pageserver needs, garbage collected. */
export interface ProbedUsage {
  readonly rssBytes: number;
  /** The most that it ever was, with the garbage. */
  readonly peakRssBytes: number;
  /** JavaScript's heap and the buffers beside it. */
  readonly heldBytes: number;
}

/** How long a pageserver needed for a request of its HTTP API, from when it came until it was answered. */
export interface ProbedTime {
  readonly ms: number;
  /**
   * For how much of that it was ready to run and had no processor: the main thread, or others while that had nothing to do
   * but to wait for them.
   */
  readonly starvedMs: number;
}

/** What counts of it: the rest says how busy the machine is, and nothing of the pageserver. */
export const ownMs = ({ ms, starvedMs }: ProbedTime): number => ms - starvedMs;
