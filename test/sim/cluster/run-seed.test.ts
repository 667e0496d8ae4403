import { expect, test } from 'vitest';
import { runSeed } from './run-seed.ts';

test('the same seed gives the same run', async () => {
  const first = await runSeed({ seed: 7, safekeepers: 3 });
  const second = await runSeed({ seed: 7, safekeepers: 3 });
  expect(second.hash).toBe(first.hash);
  expect(second.steps).toBe(first.steps);
  expect((await runSeed({ seed: 8, safekeepers: 3 })).hash).not.toBe(first.hash);
});

test('faults can be left out', async () => {
  const { faults } = await runSeed({ seed: 7, safekeepers: 3 });
  const some = await runSeed({ seed: 7, safekeepers: 3, faults: [0, 2] });
  expect(some.faults).toEqual([faults[0], faults[2]]);
  expect(some.violation).toBeUndefined();
});
