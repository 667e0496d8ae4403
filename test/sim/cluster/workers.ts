import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { noTotals, type Totals } from './report.ts';
import { runSeed } from './run-seed.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));
const CHUNK_SEEDS = 20;

/** Seeds that one process runs, one after the other. */
export interface Chunk {
  readonly from: number;
  readonly seeds: number;
  readonly safekeepers: number;
}

export interface ChunkResult {
  readonly totals: Totals;
  /** The first seed that broke a rule, with which the chunk ended. */
  readonly violatingSeed: number | undefined;
}

export interface ManySeeds {
  readonly from: number;
  readonly seeds: number;
  readonly safekeepers: number;
  readonly processes: number;
  /** Begin no further chunk when this is so. */
  readonly isTimeOver: () => boolean;
  readonly onProgress: (totals: Totals) => void;
}

export async function runChunk({ from, seeds, safekeepers }: Chunk): Promise<ChunkResult> {
  const totals = noTotals();
  for (let seed = from; seed < from + seeds; seed++) {
    const { steps, commits, faults, violation } = await runSeed({ seed, safekeepers });
    totals.seeds++;
    totals.steps += steps;
    totals.commits += commits;
    totals.faults += faults.length;
    if (violation === undefined) continue;
    totals.violations++;
    return { totals, violatingSeed: seed };
  }
  return { totals, violatingSeed: undefined };
}

/** Shares seeds between processes, and ends with the first that breaks a rule. */
export async function runMany(many: ManySeeds): Promise<ChunkResult> {
  const totals = noTotals();
  let next = many.from;
  const end = many.from + many.seeds;
  let violatingSeed: number | undefined;
  const work = async (): Promise<void> => {
    const worker = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const gone = new Promise<never>((_, reject) => {
      worker.once('exit', (code) => reject(new Error(`a worker has ended with ${code}`)));
    });
    // Who waits for an answer hears of it. At the end it is sent away.
    gone.catch(() => undefined);
    try {
      while (next < end && violatingSeed === undefined && !many.isTimeOver()) {
        const chunk = { from: next, seeds: Math.min(CHUNK_SEEDS, end - next), safekeepers: many.safekeepers };
        next += chunk.seeds;
        const answer = new Promise<ChunkResult>((resolve) =>
          worker.once('message', (result) => resolve(result as ChunkResult)),
        );
        worker.send(chunk);
        const result = await Promise.race([answer, gone]);
        for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += result.totals[key];
        violatingSeed ??= result.violatingSeed;
        many.onProgress(totals);
      }
    } finally {
      worker.kill();
    }
  };
  await Promise.all(Array.from({ length: many.processes }, work));
  return { totals, violatingSeed };
}
