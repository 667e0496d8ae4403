import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

/** So long after one that failed, as all do whose server is killed. */
const PAUSE_MS = 100;

/** Somebody's own program as a part of the load: in a database of its own, run again whenever it has ended. */
export class OracleCommand {
  static readonly database = 'exec';
  readonly #command: string;
  runs = 0;
  failures = 0;

  constructor(command: string) {
    this.#command = command;
  }

  /** @param url of the server, by which the program is told of it: PGHOST, PGPORT, PGUSER, PGDATABASE */
  async run(url: string, signal: AbortSignal): Promise<void> {
    const { hostname, port, username } = new URL(url);
    const env = {
      ...process.env,
      PGHOST: hostname,
      PGPORT: port,
      PGUSER: username,
      PGDATABASE: OracleCommand.database,
    };
    while (!signal.aborted) {
      const status = await runOnce(this.#command, env, signal);
      this.runs++;
      if (status === 0 || signal.aborted) continue;
      this.failures++;
      await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** The group of processes is killed when the signal is given. */
async function runOnce(command: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number | null> {
  const child = spawn('/bin/sh', ['-c', command], {
    detached: true,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = Promise.withResolvers<number | null>();
  child.once('error', ended.reject);
  child.once('exit', ended.resolve);
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // It has ended by itself meanwhile.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  signal.addEventListener('abort', kill, { once: true });
  try {
    return await ended.promise;
  } finally {
    signal.removeEventListener('abort', kill);
  }
}
