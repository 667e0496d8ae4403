import { describeFault } from './faults.ts';
import type { SeedResult } from './run-seed.ts';

const TRACE_LINES = 60;

export interface Totals {
  seeds: number;
  steps: number;
  commits: number;
  faults: number;
  violations: number;
}

export const noTotals = (): Totals => ({ seeds: 0, steps: 0, commits: 0, faults: 0, violations: 0 });

export function count(totals: Totals, result: SeedResult): void {
  totals.seeds++;
  totals.steps += result.steps;
  totals.commits += result.commits;
  totals.faults += result.faults.length;
  if (result.violation !== undefined) totals.violations++;
}

export function formatTotals({ seeds, steps, commits, faults, violations }: Totals): string {
  return `sim: seeds=${seeds} steps=${steps} commits=${commits} faults=${faults} violations=${violations}`;
}

/** What somebody needs who looks for the cause: the faults that are left, the last events, and how to see them again. */
export function formatViolation(result: SeedResult, safekeepers: number): string {
  const { seed, violation, steps, atMs, faults, places } = result;
  const list = places.length === 0 ? 'none' : places.join(',');
  const stack = violation?.stack?.split('\n').slice(1, 6) ?? [];
  return [
    `seed ${seed} breaks a rule after ${steps} events, at ${atMs.toFixed(3)} ms:`,
    `  ${violation?.message}`,
    ...stack,
    `with ${faults.length} faults:`,
    ...faults.map((fault) => `  ${describeFault(fault)}`),
    'the last events:',
    ...result
      .trace()
      .slice(-TRACE_LINES)
      .map((line) => `  ${line}`),
    'replay it with:',
    `  npm run sim -- --seeds 1 --from ${seed} --safekeepers ${safekeepers} --faults ${list}`,
  ].join('\n');
}
