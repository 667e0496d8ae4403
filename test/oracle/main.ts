// npm run oracle: a stock server makes WAL, we replay it, and every page must be what PostgreSQL made of it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encodeRedoCase } from '../../src/redo/redo-case.ts';
import { writeRecordSamples } from '../golden/record-samples.ts';
import { formatStatistics } from './format-statistics.ts';
import { type OracleOptions, runOracle } from './oracle.ts';
import { SampleCollector } from './sample-collector.ts';
import type { WalCompression } from './workload-settings.ts';

const USAGE = `npm run oracle -- [options]

  --seconds N          how long the workload runs (30)
  --pg MAJOR           major version of the server (17)
  --pg-bin DIR         the server's programs, instead of the npm package's
  --sql DIR            run the SQL files of DIR instead of test/oracle/corpus
  --exec CMD           run CMD instead, with PGHOST, PGPORT, PGUSER, PGDATABASE set
  --compression C      off, pglz, lz4 or zstd, as the server was built (pglz)
  --fpw on|off         full_page_writes (on)
  --sessions N         concurrent sessions (6)
  --seed N             which files, data and kills (random)
  --samples FILE       write a record of each form, with its pages, to FILE (JSON lines, zstd)
  --cases DIR          where to write a redo case for each mismatch (a folder below ${tmpdir()})

The exit code is 1 if there was any mismatch.`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    pg: { type: 'string', default: '17' },
    'pg-bin': { type: 'string' },
    sql: { type: 'string' },
    exec: { type: 'string' },
    compression: { type: 'string', default: 'pglz' },
    fpw: { type: 'string', default: 'on' },
    sessions: { type: 'string' },
    seed: { type: 'string' },
    cases: { type: 'string' },
    samples: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

function oneOf<Choice extends string>(name: string, value: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw new Error(`--${name} is one of ${choices.join(', ')}, not "${value}"`);
  return choice;
}

function wholeNumber(name: string, value: string): number {
  const number = Number(value);
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} is a whole number from 1 on, not "${value}"`);
  return number;
}

const MISMATCHES_SHOWN = 20;
const CASES_WRITTEN = 50;
const SAMPLES_PER_FORM = 1;

async function main(): Promise<void> {
  const seed = values.seed === undefined ? 1 + (Date.now() % 1_000_000) : wholeNumber('seed', values.seed);
  const options: OracleOptions = {
    seconds: wholeNumber('seconds', values.seconds),
    major: wholeNumber('pg', values.pg),
    seed,
    compression: oneOf<WalCompression>('compression', values.compression, ['off', 'pglz', 'lz4', 'zstd']),
    fullPageWrites: oneOf('fpw', values.fpw, ['on', 'off']) === 'on',
    ...(values['pg-bin'] === undefined ? {} : { pgBin: values['pg-bin'] }),
    ...(values.sql === undefined ? {} : { sqlDirectory: values.sql }),
    ...(values.exec === undefined ? {} : { exec: values.exec }),
    ...(values.sessions === undefined ? {} : { sessions: wholeNumber('sessions', values.sessions) }),
    onProgress: showProgress,
  };
  console.log(`oracle: seed ${seed}, ${options.seconds} s of workload`);
  const cases = values.cases ?? join(tmpdir(), `varve-oracle-${seed}`);
  let written = 0;
  const samples = new SampleCollector(SAMPLES_PER_FORM);
  const result = await runOracle({
    ...options,
    ...(values.samples === undefined ? {} : { samples }),
    onMismatch: ({ kind, message, redoCase }) => {
      written++;
      if (written <= MISMATCHES_SHOWN) console.error(`mismatch: ${kind}: ${message}`);
      if (written > CASES_WRITTEN) return;
      mkdirSync(cases, { recursive: true });
      const file = join(
        cases,
        `${String(written).padStart(4, '0')}-${kind.replaceAll(/[^A-Za-z0-9]+/g, '-')}.redo.json`,
      );
      writeFileSync(file, encodeRedoCase(redoCase));
    },
  });
  showProgress('');
  for (const difference of result.differences.slice(0, MISMATCHES_SHOWN))
    console.error(`mismatch: ${difference}`);
  if (written > 0) console.error(`redo cases of the mismatches: ${cases}`);
  if (values.samples !== undefined) writeRecordSamples(values.samples, samples.samples());
  console.log(formatStatistics(result));
  console.log(result.summary);
  if (result.mismatches > 0) process.exitCode = 1;
}

function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

if (values.help) console.log(USAGE);
else await main();
