import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { AssertionError, VarveError } from '../../base/errors.ts';
import { cancelledError } from '../cancelled.ts';
import type { RunningService } from '../services.ts';
import { guardProcess } from './process-guard.ts';
import { readProcess, signalProcess } from './process-table.ts';

export interface ServiceProcess {
  /** For messages. */
  readonly name: string;
  /** A program that Node.js runs, and its arguments. It prints one line of JSON when it serves. */
  readonly program: string;
  readonly parameters: readonly string[];
  /** What it prints to standard error goes to the end of this file. */
  readonly logPath: string;
  /** Ends its start. */
  readonly signal: AbortSignal;
}

/**
 * Starts a service in a process of its own, which ends with this one at the latest.
 * @throws VarveError ‘unavailable’ / SERVICE_ENDED where it ends without having served
 */
export async function startServiceProcess<Answer>({
  name,
  program,
  parameters,
  logPath,
  signal,
}: ServiceProcess): Promise<RunningService<Answer>> {
  const log = openSync(logPath, 'a', 0o600);
  // A terminal's interrupt reaches the whole foreground group: it is ended in order, by us.
  const child = spawn(process.execPath, [program, ...parameters], {
    detached: true,
    stdio: ['ignore', 'pipe', log],
  });
  closeSync(log);
  const serving = Promise.withResolvers<Answer>();
  let isTold = false;
  const ended = new Promise<Error | undefined>((resolve) => {
    const end = (how: string): void => {
      const error = new VarveError(
        'unavailable',
        'SERVICE_ENDED',
        `the ${name} has ended (${how}): see ${logPath}`,
      );
      serving.reject(error);
      resolve(isTold ? undefined : error);
    };
    child.once('error', ({ message }) => end(message));
    child.once('exit', (code, signalName) => end(signalName ?? `exit status ${code}`));
  });
  const { pid } = child;
  const release =
    pid === undefined ? undefined : guardProcess({ pid, startTime: readProcess(pid)?.startTime ?? '' });
  void ended.then(() => release?.());
  if (child.stdout === null) throw new AssertionError('it was started with a pipe');
  createInterface({ input: child.stdout }).once('line', (line) => {
    try {
      serving.resolve(JSON.parse(line) as Answer);
    } catch {
      serving.reject(
        new VarveError('unavailable', 'SERVICE_ENDED', `the ${name} said ‘${line.slice(0, 200)}’`),
      );
    }
  });
  const end = async (signalName: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    if (!isTold || signalName === 'SIGKILL') {
      isTold = true;
      if (pid !== undefined && child.exitCode === null && child.signalCode === null)
        signalProcess(pid, signalName);
    }
    await ended;
  };
  const onAbort = (): void => serving.reject(cancelledError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const answer = await serving.promise;
    // Its memory is its own.
    return { answer, ended, tidy: () => undefined, close: () => end('SIGTERM'), kill: () => end('SIGKILL') };
  } catch (error) {
    await end('SIGKILL');
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
