import { type BranchResult, measureBranches } from './engine/branches.ts';
import { measureCreations } from './engine/creations.ts';
import { measureManyLayers } from './engine/many-layers.ts';
import { measureColdReads, measureWarmReads, type ReadResult } from './engine/reads.ts';
import { measureStorageCost, type StorageCost } from './engine/storage-cost.ts';
import type { Recording } from './support/recording.ts';
import { formatNumber, formatTable } from './support/table.ts';

export interface EngineOptions {
  readonly seconds: number;
  readonly repeats: number;
  /** Only the parts whose names contain this. */
  readonly only: string;
  readonly layers: number;
  readonly branches: number;
}

export interface EngineResult {
  readonly reads: readonly ReadResult[];
  /** And timelines that are new clusters. */
  readonly branches: readonly BranchResult[];
  readonly cost: StorageCost | undefined;
}

const BRANCH_SAMPLES = 200;

/** Reads, branches and storage of a pageserver's engine, in process, on a recording. */
export async function measureEngine(
  recording: Recording,
  options: EngineOptions,
  progress: (text: string) => void,
): Promise<EngineResult> {
  const runPart = async <Result>(name: string, run: () => Promise<Result>): Promise<Result | undefined> => {
    if (!name.includes(options.only)) return undefined;
    progress(`engine: ${name}`);
    return run();
  };
  const warm = await runPart('warm', () => measureWarmReads(recording, options));
  const layers = await runPart('layers', () => measureManyLayers(recording, options.layers, options));
  const cold = await runPart('cold', async () => [
    ...(await measureColdReads(recording, 'portable', options)),
    ...(await measureColdReads(recording, 'direct', options)),
  ]);
  const samples = Math.min(BRANCH_SAMPLES, options.branches);
  const branches = await runPart('branches', () => measureBranches(recording, options.branches, samples));
  const creation = await runPart('creations', () => measureCreations(samples));
  const cost = await runPart('cost', () => measureStorageCost(recording));
  const made = [...(branches ?? []), ...(creation === undefined ? [] : [creation])];
  return { reads: [...(warm ?? []), ...(layers ?? []), ...(cold ?? [])], branches: made, cost };
}

export function formatEngine({ reads, branches, cost }: EngineResult): string {
  return [
    ...(reads.length === 0 ? [] : [formatReads(reads)]),
    ...(branches.length === 0 ? [] : [formatBranches(branches)]),
    ...(cost === undefined ? [] : [formatCost(cost)]),
  ].join('\n\n');
}

function formatReads(reads: readonly ReadResult[]): string {
  const rows = reads.map(({ name, atOnce, pages, valuesPerPage, loopUs, elapsedUs, allUs }) => [
    name,
    String(atOnce),
    String(pages),
    formatNumber(valuesPerPage),
    formatNumber(loopUs.median),
    formatNumber(loopUs.p10),
    formatNumber(loopUs.p90),
    formatNumber(1000 / loopUs.median),
    formatNumber(1000 / elapsedUs.median),
    formatNumber(allUs),
  ]);
  const header = ['reads of one page', 'at once', 'pages', 'values', 'loop CPU µs', 'p10', 'p90'];
  return formatTable([...header, 'k per loop CPU s', 'k/s', 'all CPU µs'], rows);
}

function formatBranches(branches: readonly BranchResult[]): string {
  const rows = branches.map(({ name, parentBytes, present, ms, loopMs }) => [
    name,
    formatNumber(parentBytes / 2 ** 20),
    String(present),
    formatNumber(ms.median),
    formatNumber(ms.p90),
    formatNumber(loopMs),
  ]);
  return formatTable(['branch', 'parent MiB', 'branches before', 'ms', 'p90', 'loop CPU ms'], rows);
}

function formatCost({ walBytes, liveBytes, storedBytes, layers, writtenBytes }: StorageCost): string {
  const perWal = (bytes: number): string => formatNumber(bytes / walBytes);
  return [
    `storage: ${formatNumber(walBytes / 1e6)} MB of WAL, ${formatNumber(liveBytes / 1e6)} MB of live pages,`,
    `${formatNumber(storedBytes / 1e6)} MB in ${layers} layers: ${perWal(storedBytes)} per byte of WAL,`,
    `${formatNumber(storedBytes / liveBytes)} per live byte; written per byte of WAL: ${perWal(writtenBytes ?? Number.NaN)}`,
  ].join(' ');
}
