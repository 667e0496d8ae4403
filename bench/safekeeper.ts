import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AppendsResult, formatAppends, measureAppends } from './safekeeper/appends.ts';
import { type CommitsResult, formatCommits, measureCommits } from './safekeeper/commits.ts';
import { formatIdle, type IdleResult, measureIdle } from './safekeeper/idle.ts';

export interface SafekeeperOptions {
  readonly pgBin: string | undefined;
  /** Measures each commit figure for so long. */
  readonly seconds: number;
  readonly repeats: number;
  /** A little of everything, to see whether it runs. */
  readonly isQuick: boolean;
  /** Only the parts whose names contain this. */
  readonly only: string;
}

export interface SafekeeperResult {
  readonly appends: readonly AppendsResult[] | undefined;
  readonly idle: IdleResult | undefined;
  readonly commits: CommitsResult | undefined;
}

/** Appends, idle timelines and commits of safekeepers on this machine's disk. */
export async function measureSafekeeper(
  { pgBin, seconds, repeats, isQuick, only }: SafekeeperOptions,
  progress: (text: string) => void,
): Promise<SafekeeperResult> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-bench-safekeeper-'));
  const runPart = async <Result>(name: string, run: () => Promise<Result>): Promise<Result | undefined> => {
    if (!name.includes(only)) return undefined;
    progress(`safekeeper: ${name}`);
    return run();
  };
  try {
    const totalBytes = (isQuick ? 16 : 256) * 1024 * 1024;
    return {
      appends: await runPart('appends', () => measureAppends(directory, { totalBytes, repeats })),
      idle: await runPart('idle', () => measureIdle(directory, isQuick ? 100 : 10_000)),
      commits: await runPart('commits', () =>
        measureCommits(directory, { pgBin, seconds, isQuick }, progress),
      ),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export function formatSafekeeper({ appends, idle, commits }: SafekeeperResult): string {
  return [
    ...(appends === undefined ? [] : [formatAppends(appends)]),
    ...(idle === undefined ? [] : [formatIdle(idle)]),
    ...(commits === undefined ? [] : [formatCommits(commits)]),
  ].join('\n\n');
}
