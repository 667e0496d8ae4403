/** Runs the model test from its first run on until one fails, and prints which one and of what; with apply.ts, of a mutant. */
import fc from 'fast-check';
import { someRuns } from '../engine-commands.ts';
import { runEngine } from '../run-engine.ts';

const HUNT_SEED = 7;

let runs = 0;
const found = (error: unknown): never => {
  console.log(`${runs} ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`);
  process.exit(0);
};
// What a task of the engine fails of nobody takes.
process.on('unhandledRejection', found);

const property = fc.asyncProperty(someRuns, async (run) => {
  runs++;
  await runEngine(run);
});
const outcome = await fc.check(property, {
  seed: HUNT_SEED,
  numRuns: Number(process.argv[2]),
  endOnFailure: true,
});
if (outcome.failed) found(outcome.errorInstance);
process.exitCode = 1;
