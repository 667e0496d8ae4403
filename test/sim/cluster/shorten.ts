import { runSeed, type SeedResult } from './run-seed.ts';

/** So many runs are spent at most on making a violation shorter. */
const RUNS_MAX = 80;
const TRACE_ENTRIES = 400;

/**
 * Looks for fewer faults with which a seed still violates what it violated: leaves out halves of the plan, then
 * quarters, and so on. What is left need not be the least there is.
 */
export async function shorten(found: SeedResult, safekeepers: number): Promise<SeedResult> {
  const { seed } = found;
  const rule = ruleOf(found.violation);
  let places = found.places;
  let runs = 0;
  for (let pieces = 2; places.length > 0 && runs < RUNS_MAX; ) {
    const size = Math.ceil(places.length / pieces);
    let shorter: readonly number[] | undefined;
    for (let at = 0; at < places.length && shorter === undefined && runs < RUNS_MAX; at += size) {
      const faults = [...places.slice(0, at), ...places.slice(at + size)];
      runs++;
      const { violation } = await runSeed({ seed, safekeepers, faults });
      if (ruleOf(violation) === rule) shorter = faults;
    }
    if (shorter !== undefined) {
      places = shorter;
      pieces = Math.max(2, pieces - 1);
    } else if (size === 1) {
      break;
    } else {
      pieces = Math.min(places.length, pieces * 2);
    }
  }
  return runSeed({ seed, safekeepers, faults: places, traceCapacity: TRACE_ENTRIES });
}

/** What a violation is of: its message up to what differs from run to run. */
function ruleOf(violation: Error | undefined): string | undefined {
  return violation === undefined ? undefined : (/^[^:]*/.exec(violation.message)?.[0] ?? '');
}
