import fc from 'fast-check';
import { expect, test } from 'vitest';
import { someRuns } from './engine-commands.ts';
import { type RunCounts, runEngine } from './run-engine.ts';

/** More of them, and other seeds: npm run engine-model. */
const RUNS = 40;
const SEED = 20_260_101;

test('what the engine says is what a plain model says, whatever fails and crashes in between', async () => {
  const totals: RunCounts = { records: 0, layers: 0, crashes: 0, branches: 0, detached: 0, comparisons: 0 };
  const property = fc.asyncProperty(someRuns, async (run) => {
    const counts = await runEngine(run);
    for (const name of Object.keys(totals) as (keyof RunCounts)[]) totals[name] += counts[name];
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: 150_000 });
  // The runs get to where it matters.
  expect(totals.records).toBeGreaterThan(RUNS * 30);
  expect(totals.layers).toBeGreaterThan(RUNS * 3);
  expect(totals.crashes).toBeGreaterThan(RUNS);
  expect(totals.branches).toBeGreaterThan(RUNS / 2);
  expect(totals.comparisons).toBeGreaterThan(RUNS * 20);
}, 180_000);
