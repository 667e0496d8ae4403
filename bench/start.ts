import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TimelineId } from '../src/base/ids.ts';
import { CommandProcess } from '../test/support/command-process.ts';
import { StockPostgres } from '../test/support/stock-postgres.ts';
import type { AgentCommands } from './start/agent-messages.ts';
import { type ClusterShape, fillCluster, prepareCluster } from './start/clusters.ts';
import { Storage, serverVersion } from './start/storage.ts';
import { makeDoors, type TimedStart, timeProcessStart } from './start/timed-starts.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface StartOptions {
  readonly shapes: readonly ClusterShape[];
  /** Starts of each kind on each shape. */
  readonly repeats: number;
  /** Of each kind, before. */
  readonly warmUps: number;
  /** Where storage is kept from one run to the next. */
  readonly keep: string | undefined;
  readonly pgBin: string | undefined;
}

/** Of many starts of one kind. */
export interface StartRow {
  readonly name: string;
  readonly repeats: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** p50 beside that of a plain start. */
  readonly ratio: number;
  /** Medians. */
  readonly steps: Readonly<Record<string, number>>;
  readonly goal: string;
}

export interface StartResult {
  /** Version of the server. */
  readonly postgres: string;
  readonly rows: readonly StartRow[];
  /** Of the services behind the last start, by name. */
  readonly residentBytes: Readonly<Record<string, number>>;
}

const SMALL: ClusterShape = { name: '10 MB', filledBytes: 0, relations: 0 };
const GIBIBYTE: number = 1024 ** 3;
/** From so many relations on, the list of them takes its time. */
const MANY_RELATIONS = 100_000;

/** A small cluster, one of that size, and one for each number of relations. */
export function shapesOf(gibibytes: number, relations: readonly number[]): ClusterShape[] {
  const large = gibibytes >= 1 ? `${gibibytes} GB` : `${Math.round(gibibytes * 1024)} MB, filled`;
  return [
    SMALL,
    { name: large, filledBytes: gibibytes * GIBIBYTE, relations: 0 },
    ...relations.map((count) => ({ name: `${count} relations`, filledBytes: 0, relations: count })),
  ];
}

const AGENT_MAIN = fileURLToPath(new URL('start-agent.ts', import.meta.url));
const MEBIBYTE: number = 1024 * 1024;

/** Starts of computes in empty directories, in turns with each other and with plain starts of the same server. */
export async function measureStart(
  options: StartOptions,
  progress: (text: string) => void,
): Promise<StartResult> {
  await using storage = await Storage.open(options.keep);
  const clusters = new Map<ClusterShape, TimelineId>();
  for (const shape of options.shapes) {
    progress(`start: making ${shape.name}`);
    clusters.set(shape, await prepareCluster(storage, shape));
  }
  await using plain = await makePlain(options.pgBin);
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-start-'));
  // Where we are root servers run as somebody else, in directories of their own below it.
  await chmod(directory, 0o711);
  try {
    await using agent = new CommandProcess<AgentCommands>(AGENT_MAIN);
    await agent.ask('prepare', { pgBin: options.pgBin });
    const { dataDirectory, socketDirectory, rootDirectory } = plain;
    const directories = { dataDirectory, socketDirectory, outputPath: join(rootDirectory, 'log') };
    const kinds = new Map<string, () => Promise<TimedStart>>([
      ['plain', () => agent.ask('plain', directories)],
    ]);
    const doors = makeDoors();
    for (const [{ name }, id] of clusters) {
      kinds.set(`${name}, warm agent`, () =>
        agent.ask('compute', storage.computeOptions(id, join(directory, 'warm'))),
      );
      kinds.set(`${name}, new process`, () => timeProcessStart(doors, storage, id, join(directory, 'new')));
    }
    progress('start: measuring');
    const starts = await takeTurns(kinds, directory, options);
    const plainMs = percentile(starts.get('plain') as TimedStart[], 0.5);
    const rows = [...starts].map(([name, all]) => toRow(name, all, plainMs));
    const agentBytes = await agent.ask('residentBytes', undefined);
    const postgres = await serverVersion(options.pgBin);
    return { postgres, rows, residentBytes: { ...(await storage.residentBytes), agent: agentBytes } };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What slows the machine down for a while slows all of them down. */
async function takeTurns(
  kinds: ReadonlyMap<string, () => Promise<TimedStart>>,
  directory: string,
  { repeats, warmUps }: StartOptions,
): Promise<Map<string, TimedStart[]>> {
  const starts = new Map<string, TimedStart[]>([...kinds.keys()].map((name) => [name, []]));
  for (let round = -warmUps; round < repeats; round++) {
    for (const [name, start] of kinds) {
      const timed = await start();
      await rm(join(directory, 'warm'), { recursive: true, force: true });
      await rm(join(directory, 'new'), { recursive: true, force: true });
      if (round >= 0) starts.get(name)?.push(timed);
    }
  }
  return starts;
}

async function makePlain(pgBin: string | undefined): Promise<StockPostgres> {
  const server = await StockPostgres.create({ major: 17, ...(pgBin === undefined ? {} : { pgBin }) });
  try {
    await server.start();
    const client = await server.connect();
    await fillCluster(client, { name: 'plain', filledBytes: 0, relations: 0 });
    await client.end();
    await server.stop();
    return server;
  } catch (error) {
    await server.dispose();
    throw error;
  }
}

function percentile(starts: readonly TimedStart[], part: number): number {
  const sorted = starts.map(({ totalMs }) => totalMs).sort((left, right) => left - right);
  return sorted[Math.ceil(part * sorted.length) - 1] as number;
}

function toRow(name: string, starts: readonly TimedStart[], plainMs: number): StartRow {
  const p50Ms = percentile(starts, 0.5);
  return {
    name,
    repeats: starts.length,
    p50Ms,
    p90Ms: percentile(starts, 0.9),
    p99Ms: percentile(starts, 0.99),
    ratio: p50Ms / plainMs,
    steps: Object.fromEntries(
      Object.keys((starts[0] as TimedStart).steps).map((step) => {
        const all = starts.map(({ steps }) => steps[step] as number).sort((left, right) => left - right);
        return [step, all[Math.floor(all.length / 2)] as number];
      }),
    ),
    goal: goalOf(name),
  };
}

function goalOf(name: string): string {
  if (!name.endsWith('warm agent')) return '';
  const [, relations = 0] = /^(\d+) relations/.exec(name) ?? [];
  return Number(relations) >= MANY_RELATIONS ? 'p50 ≤ 150' : 'p50 ≤ 60, p99 ≤ 150';
}

export function formatStart({ rows, residentBytes }: StartResult): string {
  const table = formatTable(
    ['start to first answer, ms', 'starts', 'p50', 'p90', 'p99', '÷ plain', 'goal'],
    rows.map(({ name, repeats, p50Ms, p90Ms, p99Ms, ratio, goal }) => [
      name,
      String(repeats),
      formatNumber(p50Ms),
      formatNumber(p90Ms),
      formatNumber(p99Ms),
      formatNumber(ratio),
      goal,
    ]),
  );
  const steps = [...new Set(rows.flatMap((row) => Object.keys(row.steps)))];
  const split = formatTable(
    ['medians by step, ms', ...steps],
    rows.map((row) => [
      row.name,
      ...steps.map((step) => (step in row.steps ? formatNumber(row.steps[step] as number) : '')),
    ]),
  );
  const memory = Object.entries(residentBytes).map(
    ([name, bytes]) => `${name} ${formatNumber(bytes / MEBIBYTE)} MiB`,
  );
  const notes = [
    'plain: the same PostgreSQL on a whole local directory; started: all before the client connects; ÷ plain: of p50',
    `resident: ${memory.join(', ')}`,
  ];
  return [table, '', split, ...notes].join('\n');
}
