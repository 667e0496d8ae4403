import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StockPostgres } from '../support/stock-postgres.ts';

/** Leaves room for the corpus. */
const TRANSACTIONS_PER_SECOND = 200;
const RETRY_MS = 200;

/** pgbench, where PATH has it. */
export function findPgbench(): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      const path = join(directory, 'pgbench');
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not there.
    }
  }
  return undefined;
}

/**
 * Fills pgbench's tables and runs its transactions until `signal` is given, through restarts of the server. It does not
 * vacuum nor truncate: from when the tables are there on, what catalogs say of them stays.
 */
export async function runPgbenchLoad(
  program: string,
  server: StockPostgres,
  signal: AbortSignal,
): Promise<void> {
  const environment = (): NodeJS.ProcessEnv => ({ ...process.env, ...server.clientEnvironment() });
  let isFilled = false;
  while (!signal.aborted) {
    const args = isFilled
      ? ['-n', '-c', '2', '-T', '3600', '-R', String(TRANSACTIONS_PER_SECOND)]
      : ['-i', '-q', '-s', '1'];
    const child = spawn(program, args, { env: environment(), stdio: 'ignore' });
    const status = await ended(child, signal);
    isFilled ||= status === 0;
    // The signal ends the wait, and then the loop.
    if (status !== 0) await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function ended(child: ChildProcess, signal: AbortSignal): Promise<number | null> {
  const kill = (): void => void child.kill('SIGKILL');
  if (signal.aborted) kill();
  signal.addEventListener('abort', kill, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
  } finally {
    signal.removeEventListener('abort', kill);
  }
}
