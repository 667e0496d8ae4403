import { Client } from 'pg';
import { connectionStringOf } from '../src/contracts/connection-string.ts';
import type { Endpoint } from '../src/contracts/control-api.ts';
import type { ControlClient } from '../src/http/control-client.ts';
import { startVarve } from '../src/library/main.ts';
import { openControlClient } from '../src/system/main.ts';
import { type ClusterShape, FIRST_QUERY, FIRST_VALUE, fillCluster } from './start/clusters.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface BranchOptions {
  /** Filled one after the other: each has what those before it had. */
  readonly shapes: readonly ClusterShape[];
  readonly repeats: number;
}

export interface BranchRow {
  readonly name: string;
  readonly repeats: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly goal: string;
}

const PROJECT = 'main';
const WARM_UPS = 2;
/** The suspension of one that has just been used is asked for, not waited for. */
const NEVER_S = 0;

/** A system as `varve start` has it: branches of its main branch, with and without a server, and servers that are woken. */
export async function measureBranch(
  { shapes, repeats }: BranchOptions,
  progress: (text: string) => void,
): Promise<BranchRow[]> {
  await using varve = await startVarve({ suspendAfterSeconds: NEVER_S });
  const { client } = await openControlClient(varve.directory);
  const signal = new AbortController().signal;
  const main = new Client(varve.url);
  await main.connect();
  const rows: BranchRow[] = [];
  try {
    for (const [index, shape] of shapes.entries()) {
      progress(`branch: making ${shape.name}`);
      await fillCluster(main, shape, index === 0);
      progress(`branch: measuring ${shape.name}`);
      const measured = new Map<string, number[]>([
        ['a session on a server that runs', []],
        ['branch', []],
        ['branch, server, first query', []],
        ['wake of a suspended server', []],
      ]);
      for (let round = -WARM_UPS; round < repeats; round++) {
        const times = await measureOnce(client, varve.url, `round${index}-${round + WARM_UPS}`, signal);
        if (round < 0) continue;
        for (const [name, ms] of Object.entries(times)) measured.get(name)?.push(ms);
      }
      for (const [name, all] of measured) rows.push(toRow(`${shape.name}: ${name}`, all));
    }
  } finally {
    await main.end();
  }
  return rows;
}

async function measureOnce(
  client: ControlClient,
  mainUrl: string,
  name: string,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const session = await timeMs(() => askFirst(mainUrl));
  const beganAtMs = performance.now();
  const created = await client.createBranch(PROJECT, { name }, signal);
  await client.finished(created.operationId, signal);
  const branchMs = performance.now() - beganAtMs;
  const { branch } = created;
  const made = await client.createEndpoint(PROJECT, branch.id, {}, signal);
  await client.finished(made.operationId, signal);
  const endpoint = await client.endpoint(PROJECT, made.endpoint.id, signal);
  const url = urlOf(endpoint);
  await askFirst(url);
  const wholeMs = performance.now() - beganAtMs;
  const { operationId } = await client.moveEndpoint(PROJECT, endpoint.id, 'suspend', signal);
  await client.finished(operationId, signal);
  const wakeMs = await timeMs(() => askFirst(url));
  await client.deleteBranch(PROJECT, branch.id, signal);
  return {
    'a session on a server that runs': session,
    branch: branchMs,
    'branch, server, first query': wholeMs,
    'wake of a suspended server': wakeMs,
  };
}

function urlOf(endpoint: Endpoint): string {
  const url = connectionStringOf(endpoint);
  if (url === undefined) throw new Error('a server that has been started has no port');
  return url;
}

/** Connects, and asks what a benchmark's first client asks. */
async function askFirst(url: string): Promise<void> {
  const client = new Client(url);
  await client.connect();
  try {
    const { rows } = await client.query(FIRST_QUERY);
    if (rows[0]?.value !== FIRST_VALUE)
      throw new Error(`the first query was answered with ${JSON.stringify(rows)}`);
  } finally {
    await client.end();
  }
}

async function timeMs(action: () => Promise<void>): Promise<number> {
  const beganAtMs = performance.now();
  await action();
  return performance.now() - beganAtMs;
}

function toRow(name: string, times: readonly number[]): BranchRow {
  const sorted = times.toSorted((left, right) => left - right);
  const at = (part: number): number => sorted[Math.ceil(part * sorted.length) - 1] as number;
  return {
    name,
    repeats: times.length,
    p50Ms: at(0.5),
    p90Ms: at(0.9),
    p99Ms: at(0.99),
    goal: goalOf(name),
  };
}

function goalOf(name: string): string {
  if (name.endsWith(': branch')) return 'p50 ≤ 10';
  return name.endsWith('that runs') ? '' : 'p50 ≤ 100';
}

export const formatBranch = (rows: readonly BranchRow[]): string =>
  formatTable(
    ['through the API, ms', 'times', 'p50', 'p90', 'p99', 'goal'],
    rows.map(({ name, repeats, p50Ms, p90Ms, p99Ms, goal }) => [
      name,
      String(repeats),
      formatNumber(p50Ms),
      formatNumber(p90Ms),
      formatNumber(p99Ms),
      goal,
    ]),
  );
