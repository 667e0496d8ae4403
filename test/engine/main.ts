/**
 * The storage engine on a simulated disk, clock and bucket, compared with a plain model:
 *
 *     npm run engine-model [-- --runs N --seed S --path P --trace --no-shrink]
 *
 * A run that fails is made shorter and printed, with its seed and path: with these two it is run again.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { someRuns } from './engine-commands.ts';
import { type RunCounts, runEngine } from './run-engine.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    path: { type: 'string' },
    seconds: { type: 'string', default: '100000' },
    trace: { type: 'boolean', default: false },
    'no-shrink': { type: 'boolean', default: false },
  },
});

process.on('unhandledRejection', (error) => {
  console.error('nobody has taken this error:', error);
  process.exit(2);
});

const seed = Number(values.seed);
const totals: RunCounts = { records: 0, layers: 0, crashes: 0, branches: 0, detached: 0, comparisons: 0 };
let runs = 0;
const trace = values.trace ? (line: string): void => console.log(line) : undefined;
const property = fc.asyncProperty(someRuns, async (run) => {
  if (values.trace) console.log('run', JSON.stringify({ ...run, commands: run.commands.length }));
  const counts = await runEngine(run, trace);
  runs++;
  for (const name of Object.keys(totals) as (keyof RunCounts)[]) totals[name] += counts[name];
});
const startedAtMs = performance.now();
const outcome = await fc.check(property, {
  seed,
  numRuns: Number(values.runs),
  endOnFailure: values['no-shrink'],
  interruptAfterTimeLimit: Number(values.seconds) * 1000,
  ...(values.path === undefined ? {} : { path: values.path }),
});
const seconds = (performance.now() - startedAtMs) / 1000;
console.log(`${runs} runs in ${seconds.toFixed(1)} s: ${JSON.stringify(totals)}`);
if (outcome.failed) {
  console.log(`--seed ${outcome.seed} --path ${outcome.counterexamplePath}`);
  console.log(JSON.stringify(outcome.counterexample?.[0]));
  console.log(outcome.errorInstance);
  process.exitCode = 1;
}
