import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MUTANTS } from './mutants.ts';

const APPLY = fileURLToPath(new URL('./apply.ts', import.meta.url));
const HUNT = fileURLToPath(new URL('./hunt.ts', import.meta.url));
const TIMEOUT_MS = 180_000;
/** Those that are found at once are hunted always, the others where VARVE_MUTANTS is `all`. */
const QUICK_RUNS = 30;
const HUNTED = MUTANTS.filter(
  ({ seedsMax }) => seedsMax <= QUICK_RUNS || process.env.VARVE_MUTANTS === 'all',
);

/** What the first run says that finds it; rejects where none does. */
function hunt(name: string, runsMax: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, VARVE_MUTANT: name };
    const run = ['--import', APPLY, HUNT, String(runsMax)];
    execFile(process.execPath, run, { env }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(new Error(`${runsMax} runs did not find it: ${stdout}${stderr}`));
    });
  });
}

test('there are at least fifteen mutants, each with a name of its own', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(15);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
});

test.each(HUNTED)(
  'engine: $seedsMax runs find the mutant “$name”',
  async ({ name, seedsMax }) => {
    expect(await hunt(name, seedsMax)).toMatch(/^\d+ ./);
  },
  TIMEOUT_MS,
);
