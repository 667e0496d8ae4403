import { expect, test } from 'vitest';
import { type EchoCounts, echoCluster } from './echo-cluster.ts';

interface Outcome extends EchoCounts {
  readonly hash: number;
  readonly steps: number;
  readonly lines: readonly string[];
}

async function outcomeOf(seed: number): Promise<Outcome> {
  const [kernel, counts] = echoCluster(seed, 3, 30);
  await kernel.run({ untilMs: 20_000, maxSteps: 30_000 });
  return { ...counts, hash: kernel.trace.hash, steps: kernel.steps, lines: kernel.traceLines() };
}

test('the same seed gives the same run, also beside others, and another seed another', async () => {
  const hashes = new Set<number>();
  for (let seed = 1; seed <= 5; seed++) {
    const [first, ...others] = await Promise.all([outcomeOf(seed), outcomeOf(seed), outcomeOf(seed + 100)]);
    expect(others[0]).toEqual(first);
    expect(others[1]!.hash).not.toBe(first.hash);
    hashes.add(first.hash);
    // It is about something only if much has happened.
    expect(first.steps).toBeGreaterThan(5000);
    expect(first.failures).toBeGreaterThan(10);
    expect(first.connects).toBeGreaterThan(5);
    expect(first.echoedBytes).toBeGreaterThan(20_000);
  }
  expect(hashes.size).toBe(5);
});
