import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Mutant } from '../../support/mutants.ts';
import { MUTANTS } from './mutants.ts';

const APPLY = fileURLToPath(new URL('./apply.ts', import.meta.url));
const HUNT = fileURLToPath(new URL('./hunt.ts', import.meta.url));
const TIMEOUT_MS = 120_000;

/** What the first seed says that finds it; rejects where none does. */
function hunt({ name, seedsMax, firstSeed = 1 }: Mutant): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, VARVE_MUTANT: name };
    execFile(
      process.execPath,
      ['--import', APPLY, HUNT, String(seedsMax), String(firstSeed)],
      { env },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else reject(new Error(`${seedsMax} seeds did not find it: ${stdout}${stderr}`));
      },
    );
  });
}

test('there are at least fifteen mutants, each with a name of its own', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(15);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
});

test.each(MUTANTS)(
  'sim: $seedsMax seeds find the mutant “$name”',
  async (mutant) => {
    expect(await hunt(mutant)).toMatch(/^\d+ ./);
  },
  TIMEOUT_MS,
);
