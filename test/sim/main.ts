/**
 * Safekeepers and proposers on simulated time, network and disks:
 *
 *     npm run sim [-- --seeds N --from S --minutes M --safekeepers 3|5 --faults 1,4]
 *
 * `--faults` leaves out all faults of the seeds' plans but these, and `none` all: as a violation's report says.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { count, formatTotals, formatViolation, noTotals, type Totals } from './cluster/report.ts';
import { runSeed, type SeedResult } from './cluster/run-seed.ts';
import { shorten } from './cluster/shorten.ts';
import { runMany } from './cluster/workers.ts';

const SEEDS_DEFAULT = 1000;
const PROCESSES_MAX = 2;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    safekeepers: { type: 'string', default: '3' },
    faults: { type: 'string' },
  },
});

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new Error(`--${name} is to be a whole number from 1 on`);
  return value;
}

const from = wholeNumber('from', values.from);
const safekeepers = wholeNumber('safekeepers', values.safekeepers);
if (safekeepers !== 3 && safekeepers !== 5) throw new Error('--safekeepers is to be 3 or 5');
const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
if (minutes !== undefined && !(minutes > 0)) throw new Error('--minutes is to be a number above 0');
const seedsDefault = minutes === undefined ? SEEDS_DEFAULT : Number.MAX_SAFE_INTEGER - from;
const seeds = values.seeds === undefined ? seedsDefault : wholeNumber('seeds', values.seeds);

const startedAtMs = performance.now();
const isTimeOver = (): boolean => minutes !== undefined && performance.now() - startedAtMs > minutes * 60_000;

/** On a terminal, from the first second on. */
function showProgress(totals: Totals): void {
  if (!process.stderr.isTTY || performance.now() - startedAtMs < 1000) return;
  const seconds = (performance.now() - startedAtMs) / 1000;
  process.stderr.write(`\r${formatTotals(totals)} after ${seconds.toFixed(0)} s `);
}

function endProgress(): void {
  if (process.stderr.isTTY && performance.now() - startedAtMs >= 1000) process.stderr.write('\n');
}

/** Few seeds, or some faults of theirs: in this process. */
async function runHere(faults: readonly number[] | undefined): Promise<Totals> {
  const totals = noTotals();
  for (let seed = from; seed < from + seeds && !isTimeOver(); seed++) {
    const result = await runSeed({
      seed,
      safekeepers,
      ...(faults === undefined ? {} : { faults }),
      traceCapacity: 400,
    });
    count(totals, result);
    showProgress(totals);
    if (result.violation === undefined) continue;
    endProgress();
    report(faults === undefined ? await shorten(result, safekeepers) : result);
    return totals;
  }
  endProgress();
  return totals;
}

function report(result: SeedResult): void {
  console.log(formatViolation(result, safekeepers));
}

async function runShared(): Promise<Totals> {
  const processes = Math.min(PROCESSES_MAX, availableParallelism());
  const outcome = await runMany({
    from,
    seeds,
    safekeepers,
    processes,
    isTimeOver,
    onProgress: showProgress,
  });
  endProgress();
  const { totals, violatingSeed } = outcome;
  if (violatingSeed === undefined) return totals;
  report(await shorten(await runSeed({ seed: violatingSeed, safekeepers }), safekeepers));
  return totals;
}

const chosen = values.faults;
const faults =
  chosen === undefined ? undefined : chosen === 'none' ? [] : chosen.split(',').map((place) => Number(place));
const totals = faults !== undefined || seeds <= 20 ? await runHere(faults) : await runShared();
console.log(formatTotals(totals));
process.exitCode = totals.violations === 0 ? 0 : 1;
