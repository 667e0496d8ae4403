import { type Spread, spreadOf } from '../support/measure.ts';
import type { ProcessUsage } from '../support/process-usage.ts';
import {
  type BedOptions,
  type GetpageBed,
  type HostProcess,
  type LoadProcess,
  OPEN,
  openBed,
  startLoad,
} from './getpage-bed.ts';
import type { PageKind } from './host-messages.ts';
import type { LoadResult, Target } from './load-messages.ts';

/** Of one case: what the page service gives, beside a server with nothing behind it in the same minute. */
export interface RateResult {
  readonly name: string;
  readonly connections: number;
  readonly depth: number;
  readonly valuesPerPage: number;
  readonly pagesPerS: Spread;
  /** Of the run with the median rate. */
  readonly load: LoadResult;
  /** Of the service's event loop and of all its threads, for each page. */
  readonly loopCpuUs: number;
  readonly allCpuUs: number;
  readonly bare: {
    readonly pagesPerS: Spread;
    readonly p50Us: number;
    readonly p99Us: number;
    readonly loopCpuUs: number;
  };
  readonly goal: string;
}

export interface RateOptions extends BedOptions {
  readonly seconds: number;
  readonly repeats: number;
}

interface RateCase {
  readonly bed: 'hot' | 'redo' | 'cold';
  readonly name: string;
  readonly kind: PageKind;
  readonly connections: number;
  readonly depth: number;
  readonly goal: string;
}

const PAGES_MAX = 20_000;
const WARM_UP_MS = 500;

const CASES: readonly RateCase[] = [
  { bed: 'hot', name: 'hot', kind: 'any', connections: 1, depth: 1, goal: 'p50 ≤ 20 µs' },
  { bed: 'hot', name: 'hot', kind: 'any', connections: 1, depth: 16, goal: '' },
  { bed: 'hot', name: 'hot', kind: 'any', connections: 1, depth: 64, goal: '≥ 300 k/s' },
  { bed: 'hot', name: 'hot', kind: 'any', connections: 64, depth: 8, goal: '≥ 0.8 of 1 × 64' },
  { bed: 'redo', name: 'redo of an image alone', kind: 'image', connections: 1, depth: 64, goal: '' },
  { bed: 'redo', name: 'redo of ten records', kind: 'redo', connections: 1, depth: 64, goal: '≥ 150 k/s' },
  { bed: 'cold', name: 'cold', kind: 'image', connections: 1, depth: 1, goal: 'p99 ≤ 1 ms' },
  { bed: 'cold', name: 'cold', kind: 'image', connections: 1, depth: 16, goal: '' },
  { bed: 'cold', name: 'cold', kind: 'image', connections: 1, depth: 64, goal: '≥ 30 k/s' },
];

/** Each case with a bed of its kind, and a bare server beside it. */
export async function measureRates(
  beds: readonly RateCase['bed'][],
  options: RateOptions,
  progress: (text: string) => void,
): Promise<RateResult[]> {
  const results: RateResult[] = [];
  await using bareServer = startLoad();
  const barePort = await bareServer.ask('serveBare', undefined);
  for (const kind of beds) {
    progress(`getpage: ${kind}`);
    await using bed = await openBed(OPEN[kind](options));
    const bare = { server: bareServer, target: { ...bed.target, port: barePort } };
    for (const each of CASES.filter((candidate) => candidate.bed === kind)) {
      results.push(await measureCase(each, bed, bare, options));
    }
  }
  return results;
}

interface Bare {
  readonly server: LoadProcess;
  readonly target: Target;
}

async function measureCase(
  { name, kind, connections, depth, goal }: RateCase,
  { host, load, target }: GetpageBed,
  bare: Bare,
  { seconds, repeats }: RateOptions,
): Promise<RateResult> {
  const { pages, lsn, valuesPerPage } = await host.ask('pick', { kind, pagesMax: PAGES_MAX });
  const timing = { warmUpMs: Math.min(WARM_UP_MS, seconds * 500), measuredMs: (seconds * 1000) / repeats };
  const runs: Measured[] = [];
  const bareRuns: Measured[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const request = { pages, lsn, connections, depth, ...timing };
    runs.push(await measure(host, () => load.ask('run', { ...target, ...request })));
    bareRuns.push(await measure(bare.server, () => load.ask('run', { ...bare.target, ...request })));
  }
  const middle = medianRun(runs);
  const bareMiddle = medianRun(bareRuns);
  return {
    name,
    connections,
    depth,
    valuesPerPage,
    goal,
    pagesPerS: spreadOf(runs.map((run) => run.load.pagesPerS)),
    ...middle,
    bare: {
      pagesPerS: spreadOf(bareRuns.map((run) => run.load.pagesPerS)),
      p50Us: bareMiddle.load.p50Us,
      p99Us: bareMiddle.load.p99Us,
      loopCpuUs: bareMiddle.loopCpuUs,
    },
  };
}

interface Measured {
  readonly load: LoadResult;
  readonly loopCpuUs: number;
  readonly allCpuUs: number;
}

async function measure(server: HostProcess | LoadProcess, run: () => Promise<LoadResult>): Promise<Measured> {
  const before = await readUsageOf(server);
  const load = await run();
  const after = await readUsageOf(server);
  // Pages of the warm-up and of the end were made as well.
  const perPage = (ms: number): number => (ms * 1000) / load.allPages;
  return {
    load,
    loopCpuUs: perPage(after.loopCpuMs - before.loopCpuMs),
    allCpuUs: perPage(after.cpuMs - before.cpuMs),
  };
}

const readUsageOf = (server: HostProcess | LoadProcess): Promise<ProcessUsage> =>
  (server as HostProcess).ask('usage', { collects: false });

function medianRun(runs: readonly Measured[]): Measured {
  const sorted = runs.toSorted((left, right) => left.load.pagesPerS - right.load.pagesPerS);
  return sorted[Math.floor(sorted.length / 2)] as Measured;
}
