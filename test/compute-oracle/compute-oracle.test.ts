import { expect, test } from 'vitest';
import { runOracle } from './oracle.ts';

/** More of it: npm run compute-oracle. */
test('a compute that is killed in all ways loses nothing that it has acknowledged', {
  timeout: 180_000,
}, async () => {
  const { restarts, acknowledged, lost, difference, problems } = await runOracle({
    seed: 4,
    milliseconds: 12_000,
    restartsMax: 3,
  });
  expect({ lost, difference, problems }).toEqual({ lost: [], difference: undefined, problems: [] });
  expect(restarts).toBeGreaterThan(1);
  expect(acknowledged).toBeGreaterThan(20);
});
