// npm run page-oracle: a stock server makes WAL, storage takes it in, and every page at an LSN must be PostgreSQL's.
import { parseArgs } from 'node:util';
import { runPageOracle } from './page-oracle.ts';

const USAGE = `npm run page-oracle -- [options]

  A stock server runs a workload while a storage engine in a process of its own takes in its WAL, is killed and started
  again. At LSNs on the way another stock server recovers to exactly there, and every page, size, SLRU, relation map
  and prepared transaction that storage has at that LSN is compared with that server's directory, on the main timeline
  and on branches.

  --seconds N      how long the workload runs (30)
  --pg-bin DIR     the server's programs, instead of the npm package's
  --sql DIR        run the SQL files of DIR instead of test/oracle/corpus
  --exec CMD       run CMD instead, with PGHOST, PGPORT, PGUSER, PGDATABASE set
  --seed N         which files, data, branches, kills and settings (random); when they happen is up to the machine
  --verbose        print what happens

Where pgbench is on PATH it runs beside the SQL files. The exit code is 1 if there was any mismatch.`;

const MISMATCHES_SHOWN = 20;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    'pg-bin': { type: 'string' },
    sql: { type: 'string' },
    exec: { type: 'string' },
    seed: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function wholeNumber(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} is a whole number from 1 on, not "${value}"`);
  return number;
}

async function main(): Promise<void> {
  const seed = values.seed === undefined ? 1 + (Date.now() % 1_000_000) : wholeNumber('seed', values.seed);
  const seconds = wholeNumber('seconds', values.seconds);
  console.log(`page-oracle: seed ${seed}, ${seconds} s of workload`);
  try {
    await run(seconds, seed);
  } catch (error) {
    console.error(`page-oracle: seed ${seed} failed: ${error instanceof Error ? error.stack : error}`);
    process.exitCode = 1;
  }
}

async function run(seconds: number, seed: number): Promise<void> {
  const result = await runPageOracle({
    seconds,
    seed,
    ...(values['pg-bin'] === undefined ? {} : { pgBin: values['pg-bin'] }),
    ...(values.sql === undefined ? {} : { sqlDirectory: values.sql }),
    ...(values.exec === undefined ? {} : { exec: values.exec }),
    ...(values.verbose ? { onEvent: showEvent } : {}),
  });
  for (const mismatch of result.mismatches.slice(0, MISMATCHES_SHOWN)) console.error(`mismatch: ${mismatch}`);
  if (result.mismatches.length > 0) console.error(`page-oracle: this was seed ${seed}`);
  const tidied = [...result.tidied].map(([task, count]) => `${task} ${count}×`).join(', ');
  console.log(
    `${(result.walBytes / 1e6).toFixed(1)} MB of WAL, ${result.repeats} comparisons repeated; on request: ${tidied}`,
  );
  console.log(result.summary);
  if (result.mismatches.length > 0) process.exitCode = 1;
}

function showEvent(text: string): void {
  console.log(`  ${(performance.now() / 1000).toFixed(2)} s ${text}`);
}

if (values.help) console.log(USAGE);
else await main();
