import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { MUTANTS, type PageServiceMutant } from './mutants.ts';

const APPLY = fileURLToPath(new URL('./apply.ts', import.meta.url));
const HUNT = fileURLToPath(new URL('./hunt.ts', import.meta.url));
const TIMEOUT_MS = 120_000;
/** The others are hunted where VARVE_MUTANTS is `all`. */
const SLOW: readonly PageServiceMutant['scenario'][] = ['PS-12 leaks', 'PS-11 lookups'];
const HUNTED = MUTANTS.filter(
  ({ scenario }) => !SLOW.includes(scenario) || process.env.VARVE_MUTANTS === 'all',
);

/** What the scenario says that finds the mutant; rejects where it does not. */
function hunt({ name, scenario }: PageServiceMutant): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, VARVE_MUTANT: name };
    execFile(process.execPath, ['--import', APPLY, HUNT, scenario], { env }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(new Error(`“${scenario}” did not find it: ${stdout}${stderr}`));
    });
  });
}

test('there are at least twelve mutants, each with a name of its own', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(12);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
});

test.each([...new Set(HUNTED.map(({ scenario }) => scenario))])(
  'page service: “%s” finds nothing where there is no mutant',
  async (scenario) => {
    const found = await new Promise<string | undefined>((resolve) => {
      execFile(process.execPath, [HUNT, scenario], (error, stdout) =>
        resolve(error === null ? stdout : undefined),
      );
    });
    expect(found).toBeUndefined();
  },
  TIMEOUT_MS,
);

test.each(HUNTED)(
  'page service: “$scenario” finds the mutant “$name”',
  async (mutant) => {
    expect(await hunt(mutant)).toMatch(/./);
  },
  TIMEOUT_MS,
);
