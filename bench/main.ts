// Measures reading and replaying WAL on one core, safekeepers, and the pageserver's storage engine and page service. `npm run bench -- --help` says how.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatBranch, measureBranch } from './branch.ts';
import { REDO_INSERTS } from './engine/insert-workload.ts';
import { measureInsertReads, type ReadResult } from './engine/reads.ts';
import { formatEngine, measureEngine } from './engine.ts';
import { formatGetpage, measureGetpage } from './getpage.ts';
import { formatIngest, type IngestResult, measureIngest } from './ingest.ts';
import { formatLoad, measureLoad, QUICK_SIZES, SIZES } from './load.ts';
import { formatRedo, measureRedo, type RedoResult } from './redo.ts';
import { formatSafekeeper, measureSafekeeper } from './safekeeper.ts';
import { formatStart, measureStart, shapesOf } from './start.ts';
import { formatStartSet, measureStartSet, startSetShapes } from './startset.ts';
import { HELP } from './support/help.ts';
import { describeMachine, formatMachine } from './support/machine.ts';
import { Recording } from './support/recording.ts';
import { describeWaldump } from './support/waldump.ts';
import type { Workload } from './support/workload.ts';
import { COPY, PGBENCH, QUICK_PGBENCH, REDO_WORKLOADS, WORKLOADS } from './support/workloads.ts';
import { formatWal, measureWal, type WalResult } from './wal.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string', default: '' },
    seconds: { type: 'string', default: '2' },
    repeats: { type: 'string', default: '5' },
    'chunk-size': { type: 'string', default: '128' },
    'segment-size': { type: 'string', default: '16' },
    quick: { type: 'boolean', default: false },
    size: { type: 'string', default: '10' },
    relations: { type: 'string', default: '10000' },
    keep: { type: 'string' },
    recordings: { type: 'string' },
    'pg-bin': { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

function parseNumber(name: 'seconds' | 'repeats' | 'chunk-size' | 'segment-size' | 'size'): number {
  const value = Number(values[name]);
  if (!(value > 0)) throw new RangeError(`--${name} needs a number above 0, not "${values[name]}"`);
  return value;
}

/** Says on standard error what is going on, since recording takes its time. */
function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(postgres: string, results: Readonly<Record<string, unknown>>, text: string): void {
  const machine = describeMachine(postgres);
  if (values.json) console.log(JSON.stringify({ machine, ...results }, undefined, 2));
  else console.log(`${formatMachine(machine)}\n${text}`);
}

/** Start sets are made at least so often, since one is short. */
const STARTS_MIN = 10;
const COMPUTE_STARTS_MIN = 50;
const BRANCHES_MIN = 20;
/** How long pages are read while WAL is taken in, for all depths together. */
const BUSY_SECONDS = 60;

type Command =
  | 'wal'
  | 'redo'
  | 'safekeeper'
  | 'ingest'
  | 'engine'
  | 'getpage'
  | 'startset'
  | 'start'
  | 'branch'
  | 'load';

/** The workloads that any of the commands wants, each once: it is recorded once for both. */
function chooseWorkloads(commands: ReadonlySet<Command>): readonly Workload[] {
  const wanted = [...(commands.has('wal') ? WORKLOADS : []), ...(commands.has('redo') ? REDO_WORKLOADS : [])];
  const chosen = [...new Set(wanted)].filter(({ name }) => name.includes(values.only));
  if (chosen.length === 0) throw new RangeError(`no workload's name contains "${values.only}"`);
  return chosen;
}

async function main(commands: ReadonlySet<Command>): Promise<void> {
  const recordingOptions = { pgBin: values['pg-bin'], segmentSizeMiB: parseNumber('segment-size') };
  const options = {
    seconds: parseNumber('seconds'),
    repeats: parseNumber('repeats'),
    chunkBytes: parseNumber('chunk-size') * 1024,
    pgBin: values['pg-bin'],
  };
  const workloads = chooseWorkloads(commands);
  const directory = values.recordings ?? (await mkdtemp(join(tmpdir(), 'varve-bench-')));
  await mkdir(directory, { recursive: true });
  const walResults: WalResult[] = [];
  const redoResults: RedoResult[] = [];
  const references: string[] = [];
  let postgres = '';
  try {
    for (const workload of workloads) {
      progress(`${workload.name}: recording`);
      const recording = await Recording.open(workload, directory, recordingOptions);
      postgres = recording.postgres;
      progress(`${workload.name}: measuring`);
      if (commands.has('wal') && WORKLOADS.includes(workload)) {
        const results = measureWal(recording, options);
        walResults.push(...results);
        references.push(describeWaldump(recording, results.at(-1)?.ms.median ?? 0));
      }
      if (commands.has('redo') && REDO_WORKLOADS.includes(workload)) {
        redoResults.push(await measureRedo(recording, options));
      }
      if (values.recordings === undefined) await rm(recording.directory, { recursive: true });
    }
  } finally {
    if (values.recordings === undefined) await rm(directory, { recursive: true, force: true });
  }
  const machine = describeMachine(postgres);
  if (values.json) {
    console.log(JSON.stringify({ machine, wal: walResults, redo: redoResults, references }, undefined, 2));
    return;
  }
  console.log(formatMachine(machine));
  if (walResults.length > 0) console.log(formatWal(walResults));
  for (const line of references) console.log(line);
  if (redoResults.length > 0) console.log(formatRedo(redoResults));
}

async function benchSafekeeper(): Promise<void> {
  const isQuick = values.quick;
  const options = {
    pgBin: values['pg-bin'],
    seconds: isQuick ? 0.3 : parseNumber('seconds'),
    repeats: isQuick ? 1 : parseNumber('repeats'),
    isQuick,
    only: values.only,
  };
  const result = await measureSafekeeper(options, progress);
  print(result.commits?.postgres ?? 'not used', { safekeeper: result }, formatSafekeeper(result));
}

/** Gives `use` the recordings of these workloads, one after another, which are removed unless they are to be kept. */
async function withRecordings(
  workloads: readonly Workload[],
  use: (recording: Recording) => Promise<void>,
): Promise<string> {
  const directory = values.recordings ?? (await mkdtemp(join(tmpdir(), 'varve-bench-')));
  await mkdir(directory, { recursive: true });
  const options = { pgBin: values['pg-bin'], segmentSizeMiB: parseNumber('segment-size') };
  let postgres = '';
  try {
    for (const workload of workloads) {
      progress(`${workload.name}: recording`);
      const recording = await Recording.open(workload, directory, options);
      postgres = recording.postgres;
      progress(`${workload.name}: measuring`);
      await use(recording);
      if (values.recordings === undefined) await rm(recording.directory, { recursive: true });
    }
    return postgres;
  } finally {
    if (values.recordings === undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function benchIngest(): Promise<void> {
  const workloads = values.quick ? [QUICK_PGBENCH] : [PGBENCH, COPY];
  const chosen = workloads.filter(({ name }) => name.includes(values.only));
  const repeats = values.quick ? 1 : parseNumber('repeats');
  const results: IngestResult[] = [];
  const postgres = await withRecordings(chosen, async (recording) => {
    results.push(await measureIngest(recording, { repeats, pgBin: values['pg-bin'] }));
  });
  print(postgres, { ingest: results }, formatIngest(results));
}

async function benchEngine(): Promise<void> {
  const isQuick = values.quick;
  const options = {
    seconds: isQuick ? 0.1 : parseNumber('seconds'),
    repeats: isQuick ? 1 : parseNumber('repeats'),
    only: values.only,
    layers: isQuick ? 1000 : 100_000,
    branches: isQuick ? 20 : 10_000,
  };
  const inserts: ReadResult[] = [];
  if (!isQuick && 'inserts'.includes(values.only)) {
    await withRecordings([REDO_INSERTS], async (recording) => {
      inserts.push(...(await measureInsertReads(recording, options)));
    });
  }
  await withRecordings([isQuick ? QUICK_PGBENCH : PGBENCH], async (recording) => {
    const measured = await measureEngine(recording, options, progress);
    const result = { ...measured, reads: [...measured.reads, ...inserts] };
    print(recording.postgres, { engine: result }, formatEngine(result));
  });
}

async function benchGetpage(): Promise<void> {
  const isQuick = values.quick;
  const options = {
    segmentSizeMiB: parseNumber('segment-size'),
    seconds: isQuick ? 0.3 : parseNumber('seconds') * parseNumber('repeats'),
    repeats: isQuick ? 1 : parseNumber('repeats'),
    busySeconds: isQuick ? 2 : BUSY_SECONDS,
    isQuick,
    only: values.only,
  };
  const directory = values.recordings ?? (await mkdtemp(join(tmpdir(), 'varve-bench-')));
  await mkdir(directory, { recursive: true });
  try {
    const workload = isQuick ? QUICK_PGBENCH : PGBENCH;
    progress(`${workload.name}: recording`);
    const { postgres } = await Recording.open(workload, directory, {
      pgBin: values['pg-bin'],
      segmentSizeMiB: options.segmentSizeMiB,
    });
    const result = await measureGetpage({ ...options, recordings: directory }, progress);
    print(postgres, { getpage: result }, formatGetpage(result));
  } finally {
    if (values.recordings === undefined) await rm(directory, { recursive: true, force: true });
  }
}

async function benchStartSet(): Promise<void> {
  const rows = await measureStartSet(
    {
      repeats: values.quick ? 1 : Math.max(parseNumber('repeats'), STARTS_MIN),
      shapes: startSetShapes(values.quick ? 0.01 : 1),
      pgBin: values['pg-bin'],
    },
    progress,
  );
  print('not run', { startset: rows }, formatStartSet(rows));
}

async function benchStart(): Promise<void> {
  const isQuick = values.quick;
  const relations = values.relations.split(',').map(Number);
  const shapes = isQuick ? shapesOf(1 / 64, [100]) : shapesOf(parseNumber('size'), relations);
  const result = await measureStart(
    {
      shapes: shapes.filter(({ name }) => name.includes(values.only)),
      repeats: isQuick ? 1 : Math.max(parseNumber('repeats'), COMPUTE_STARTS_MIN),
      warmUps: isQuick ? 0 : 2,
      keep: values.keep,
      pgBin: values['pg-bin'],
    },
    progress,
  );
  print(result.postgres, { start: result }, formatStart(result));
}

async function benchBranch(): Promise<void> {
  const shapes = shapesOf(values.quick ? 1 / 64 : parseNumber('size'), []);
  const repeats = values.quick ? 1 : Math.max(parseNumber('repeats'), BRANCHES_MIN);
  const rows = await measureBranch({ shapes, repeats }, progress);
  print('of the npm package', { branch: rows }, formatBranch(rows));
}

async function benchLoad(): Promise<void> {
  const isQuick = values.quick;
  const result = await measureLoad(
    {
      ...(isQuick ? QUICK_SIZES : SIZES),
      seconds: isQuick ? 0.3 : parseNumber('seconds'),
      repeats: isQuick ? 1 : parseNumber('repeats'),
      only: values.only,
      keep: values.keep,
      pgBin: values['pg-bin'],
    },
    progress,
  );
  print(result.postgres, { load: result }, formatLoad(result));
}

const COMMANDS: readonly string[] = [
  'wal',
  'redo',
  'safekeeper',
  'ingest',
  'engine',
  'getpage',
  'startset',
  'start',
  'branch',
  'load',
] satisfies Command[];
const isCommand = (text: string): text is Command => COMMANDS.includes(text);
if (values.help || positionals.length === 0 || !positionals.every(isCommand)) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else {
  const commands = new Set(positionals);
  if (commands.has('wal') || commands.has('redo')) await main(commands);
  if (commands.has('safekeeper')) await benchSafekeeper();
  if (commands.has('ingest')) await benchIngest();
  if (commands.has('engine')) await benchEngine();
  if (commands.has('getpage')) await benchGetpage();
  if (commands.has('startset')) await benchStartSet();
  if (commands.has('start')) await benchStart();
  if (commands.has('branch')) await benchBranch();
  if (commands.has('load')) await benchLoad();
}
