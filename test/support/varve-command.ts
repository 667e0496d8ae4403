import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/varve', import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly out: string;
  readonly error: string;
}

/** Starts `bin/varve` as a user would. */
export function startVarve(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `bin/varve` to its end. */
export async function runVarve(...args: string[]): Promise<CommandResult> {
  const child = startVarve(args);
  if (child.stdout === null || child.stderr === null) throw new Error('started without pipes');
  const [out, error, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { code, out, error };
}

/** Runs it with `--json`: standard output as one value for each line, standard error as the error's object. */
export async function runVarveJson<Value>(
  ...args: string[]
): Promise<{ code: number | null; values: Value[]; error: Record<string, unknown> | undefined }> {
  const { code, out, error } = await runVarve(...args, '--json');
  const values = out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Value);
  return {
    code,
    values,
    error: error === '' ? undefined : (JSON.parse(error) as { error: Record<string, unknown> }).error,
  };
}
