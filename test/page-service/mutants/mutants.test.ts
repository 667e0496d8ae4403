import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Limiter } from '../../../src/io/limiter.ts';
import { MUTANTS, type PageServiceMutant } from './mutants.ts';

const APPLY = fileURLToPath(new URL('./apply.ts', import.meta.url));
const HUNT = fileURLToPath(new URL('./hunt.ts', import.meta.url));
const TIMEOUT_MS = 120_000;
/** Most of the time is spent on waiting for what a mutant keeps from happening. */
const HUNTS_AT_ONCE = 3;
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

/** All of them are begun with the first one that is asked for. */
class Hunts {
  #results: Map<PageServiceMutant, Promise<string>> | undefined;

  resultOf(mutant: PageServiceMutant): Promise<string> {
    this.#results ??= this.#begin();
    return this.#results.get(mutant) as Promise<string>;
  }

  #begin(): Map<PageServiceMutant, Promise<string>> {
    const turns = new Limiter(HUNTS_AT_ONCE);
    const { signal } = new AbortController();
    const results = HUNTED.map((each) => [each, turns.run(signal, () => hunt(each))] as const);
    // Each test looks at its own.
    for (const [, result] of results) void result.catch(() => undefined);
    return new Map(results);
  }
}

const hunts = new Hunts();

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
    expect(await hunts.resultOf(mutant)).toMatch(/./);
  },
  TIMEOUT_MS,
);
