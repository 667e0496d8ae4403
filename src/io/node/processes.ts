import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VarveError } from '../../base/errors.ts';
import { cancelledError, throwIfCancelled } from '../cancelled.ts';
import type { Processes, ProgramDirectory, RunOptions } from '../processes.ts';
import { isTraversable } from './postgres-binaries.ts';
import { type Account, findAccount, findNamedUid, giveTo, spawnIdentity } from './unprivileged-account.ts';

/** What a program has printed is kept up to here: enough to see why it failed. */
const OUTPUT_CHARACTERS_MAX = 64 * 1024;

/** The real side of the door to other programs. */
export const nodeProcesses: Processes = {
  async openDirectory(): Promise<ProgramDirectory> {
    const account = findAccount();
    const path = await makeDirectory(account);
    return {
      path,
      run: (program, parameters, options) => run(account, path, program, parameters, options),
      [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
    };
  },
};

/** A directory of the account's, which it can reach. */
async function makeDirectory(account: Account): Promise<string> {
  for (const candidate of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    if (account.isOther && !(await isTraversable(candidate))) continue;
    const path = await mkdtemp(join(candidate, 'varve-program-'));
    await chmod(path, 0o700);
    await giveTo(account, path);
    return path;
  }
  throw new VarveError(
    'precondition',
    'NO_ACCOUNT',
    `the account of uid ${account.uid} can reach no temporary directory`,
  );
}

async function run(
  account: Account,
  directory: string,
  program: string,
  parameters: readonly string[],
  { signal, environment, needsName = false }: RunOptions,
): Promise<string> {
  throwIfCancelled(signal);
  const command = [program, ...parameters];
  if (needsName && !account.hasName) {
    // Within a user namespace its uid looks like one that has a name; the files belong to the real one.
    command.unshift('unshare', '--user', `--map-user=${findNamedUid()}`, `--map-group=${account.gid}`);
  }
  const child = spawn(command[0] as string, command.slice(1), {
    ...spawnIdentity(account),
    cwd: directory,
    env: { PATH: process.env.PATH, ...environment },
    // A group of its own: it is killed with whatever it has started.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (text: string): void => {
    output = (output + text).slice(-OUTPUT_CHARACTERS_MAX);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  const kill = (): void => {
    if (child.pid !== undefined) killGroup(child.pid);
  };
  signal.addEventListener('abort', kill, { once: true });
  try {
    const ended = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signalName) => resolve(code ?? signalName ?? 'unknown'));
    });
    if (signal.aborted) throw cancelledError(signal);
    if (ended !== 0) throw failed(program, `it ended with ${ended}: ${output.trim()}`);
    return output;
  } catch (error) {
    if (error instanceof VarveError) throw error;
    throw failed(program, error instanceof Error ? error.message : String(error));
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // It has ended by itself meanwhile.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

const failed = (program: string, reason: string): VarveError =>
  new VarveError('unavailable', 'PROGRAM_FAILED', `${program} failed: ${reason}`);
