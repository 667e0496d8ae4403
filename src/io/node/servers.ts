import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../base/errors.ts';
import type { ProgramIdentity, ServerOptions, ServerProgram, ServerSignal, Servers } from '../servers.ts';
import { BoundedOutput } from './bounded-output.ts';
import { toFileError, translate } from './file-errors.ts';
import { isTraversable } from './postgres-binaries.ts';
import { guardProcess } from './process-guard.ts';
import { isRunning, listChildren, readProcess, signalProcess } from './process-table.ts';
import { type Account, findAccount, giveTo, spawnIdentity } from './unprivileged-account.ts';

/** Between two looks at whether killed processes are gone. */
const GONE_POLL_MS = 2;

/** The real side of the door to programs that run for long. */
export const nodeServers: Servers = {
  async makeParent(path: string): Promise<void> {
    const account = findAccount();
    await translate(path, async () => {
      await mkdir(path, { recursive: true });
      await chmod(path, account.isOther ? 0o711 : 0o700);
    });
    await checkReachable(account, path);
  },
  async makeDirectory(path: string): Promise<void> {
    const account = findAccount();
    await translate(path, async () => {
      await mkdir(path, { recursive: true });
      await chmod(path, 0o700);
      await giveTo(account, path);
    });
    await checkReachable(account, dirname(path));
  },
  giveAll: (path: string) => translate(path, () => giveTo(findAccount(), path, true)),
  start,
  async removeSharedMemory(id: number): Promise<void> {
    const child = spawn('ipcrm', ['-m', String(id)], {
      ...spawnIdentity(findAccount()),
      stdio: 'ignore',
      cwd: '/',
    });
    // Where there is no such program, or the kernel has removed the segment with its last user, nothing is to be done.
    await new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => resolve());
    });
  },
  async killLeftOver(identity: ProgramIdentity): Promise<void> {
    if (isRunning(identity)) await killTree(identity);
  },
};

async function start(
  program: string,
  parameters: readonly string[],
  { directory, environment, outputPath, outputBytesMax }: ServerOptions,
): Promise<ServerProgram> {
  const output = openOutput(outputPath);
  let child: ChildProcess;
  try {
    child = spawn(program, parameters, {
      ...spawnIdentity(findAccount()),
      cwd: directory,
      env: { PATH: process.env.PATH, ...environment },
      // A terminal's interrupt reaches the whole foreground group: the program is ended in order, by us.
      detached: true,
      stdio: ['ignore', output, output],
    });
  } finally {
    closeSync(output);
  }
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signalName) => resolve(signalName ?? `exit status ${code}`));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(new VarveError('precondition', 'PROGRAM_NOT_STARTED', `${program}: ${error.message}`));
    });
  });
  const pid = child.pid as number;
  const identity: ProgramIdentity = { pid, startTime: readProcess(pid)?.startTime ?? '' };
  const release = guardProcess(identity);
  const bounded = outputBytesMax === undefined ? undefined : new BoundedOutput(outputPath, outputBytesMax);
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
    bounded?.close();
    release();
  });
  return {
    identity,
    ended,
    signal: (name: ServerSignal): void => void (hasEnded || signalProcess(pid, name)),
    async kill(): Promise<void> {
      if (!hasEnded) await killTree(identity);
      await ended;
    },
  };
}

function openOutput(path: string): number {
  try {
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw toFileError(path, error);
  }
}

/** @throws VarveError ‘precondition’ / UNREACHABLE_DIRECTORY where the account may not pass through a directory or one above it */
async function checkReachable(account: Account, directory: string): Promise<void> {
  if (!account.isOther || (await isTraversable(directory))) return;
  const reason = `the account of uid ${account.uid}, which PostgreSQL has to run as here, cannot get to ${directory}`;
  throw new VarveError('precondition', 'UNREACHABLE_DIRECTORY', reason, { file: directory });
}

/** PostgreSQL's backends each lead a process group of their own, so they are looked for by their parent. */
async function killTree({ pid }: ProgramIdentity): Promise<void> {
  // Stopped, it starts no other while we look.
  if (!signalProcess(pid, 'SIGSTOP')) return;
  const children = listChildren(pid);
  // It is the last, for none of them is to see it dead (GUARD_SCRIPT).
  const all = [...children, { pid, startTime: readProcess(pid)?.startTime ?? '' }];
  for (const each of all) signalProcess(each.pid, 'SIGKILL');
  while (all.some(isRunning)) await delay(GONE_POLL_MS);
}
