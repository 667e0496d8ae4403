import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { VarveError } from '../../base/errors.ts';
import type { ProgramIdentity, ServerOptions, ServerProgram, ServerSignal, Servers } from '../servers.ts';
import { isTraversable } from './postgres-binaries.ts';
import { isRunning, listChildren, readProcess, signalProcess } from './process-table.ts';
import { type Account, findAccount, giveTo, spawnIdentity } from './unprivileged-account.ts';

/** Between two looks at whether killed processes are gone. */
const GONE_POLL_MS = 2;

/**
 * Waits for a line, which says that the program has ended; the end of the file says that its owner has, and that nobody
 * looks after the program any more.
 */
const GUARD_SCRIPT = `
read -r line
[ "$line" = ended ] && exit 0
[ -n "$2" ] && [ "$(cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null)" != "$2" ] && exit 0
kill -KILL "$1"
`;

/** The real side of the door to programs that run for long. */
export const nodeServers: Servers = {
  async makeParent(path: string): Promise<void> {
    const account = findAccount();
    await mkdir(path, { recursive: true });
    if (!account.isOther) return await chmod(path, 0o700);
    await chmod(path, 0o711);
    await checkReachable(account, path);
  },
  async makeDirectory(path: string): Promise<void> {
    const account = findAccount();
    await mkdir(path, { recursive: true });
    await chmod(path, 0o700);
    await giveTo(account, path);
    await checkReachable(account, dirname(path));
  },
  giveAll: (path: string) => giveTo(findAccount(), path, true),
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
  { directory, environment, outputPath }: ServerOptions,
): Promise<ServerProgram> {
  const output = openSync(outputPath, 'a', 0o600);
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
  const release = guard(identity);
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
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

/** @throws VarveError ‘precondition’ / UNREACHABLE_DIRECTORY where the account may not pass through a directory or one above it */
async function checkReachable(account: Account, directory: string): Promise<void> {
  if (!account.isOther || (await isTraversable(directory))) return;
  const reason = `the account of uid ${account.uid}, which PostgreSQL has to run as here, cannot get to ${directory}`;
  throw new VarveError('precondition', 'UNREACHABLE_DIRECTORY', reason, { file: directory });
}

/** Ends a process when this one dies without doing so. Gives what says that it has ended. */
function guard({ pid, startTime }: ProgramIdentity): () => void {
  const child = spawn('/bin/sh', ['-c', GUARD_SCRIPT, 'sh', String(pid), startTime], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  child.unref();
  // Broken only where somebody has killed the guard, which takes nothing from the program.
  child.stdin?.on('error', () => undefined);
  (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  return () => void child.stdin?.end('ended\n');
}

/** PostgreSQL's backends each lead a process group of their own, so they are looked for by their parent. */
async function killTree({ pid }: ProgramIdentity): Promise<void> {
  // Stopped, it starts no other while we look.
  if (!signalProcess(pid, 'SIGSTOP')) return;
  const children = listChildren(pid);
  const all = [{ pid, startTime: readProcess(pid)?.startTime ?? '' }, ...children];
  for (const each of all) signalProcess(each.pid, 'SIGKILL');
  while (all.some(isRunning)) await delay(GONE_POLL_MS);
}
