import { expect } from 'vitest';
import { formatTotals, formatViolation } from './report.ts';
import { runSeed } from './run-seed.ts';
import { shorten } from './shorten.ts';
import { runChunk } from './workers.ts';

/** Runs seeds, the first of which is `from`, and shows the first that breaks a rule as `npm run sim` does. */
export async function expectSeedsHold(from: number, seeds: number, safekeepers: number): Promise<void> {
  const { totals, violatingSeed } = await runChunk({ from, seeds, safekeepers });
  if (violatingSeed !== undefined) {
    const found = await runSeed({ seed: violatingSeed, safekeepers });
    throw new Error(formatViolation(await shorten(found, safekeepers), safekeepers));
  }
  // The runs get to where it matters.
  expect(totals.commits, formatTotals(totals)).toBeGreaterThan(seeds * 20);
  expect(totals.faults).toBeGreaterThan(seeds * 8);
}
