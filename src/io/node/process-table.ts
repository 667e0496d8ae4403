import { readdirSync, readFileSync } from 'node:fs';
import type { ProgramIdentity } from '../servers.ts';

interface ProcessState extends ProgramIdentity {
  readonly parentPid: number;
  /** As proc(5): `Z` and `X` have ended. */
  readonly state: string;
}

/** undefined: there is no such process, or the operating system does not say (only Linux does here). */
export function readProcess(pid: number): ProcessState | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // It has ended, or there is no such file system.
    return undefined;
  }
  // The second field, the command, is in parentheses and may hold anything (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] ?? '', parentPid: Number(fields[1]), startTime: fields[19] ?? '' };
}

/** What a process has started itself. */
export function listChildren(parentPid: number): ProgramIdentity[] {
  const children: ProgramIdentity[] = [];
  for (const name of listProcesses()) {
    const found = readProcess(Number(name));
    if (found !== undefined && found.parentPid === parentPid) children.push(found);
  }
  return children;
}

function listProcesses(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    // There is no such file system.
    return [];
  }
}

/** A zombie does not run: it has released all that it held. */
export function isRunning(identity: ProgramIdentity): boolean {
  const now = readProcess(identity.pid);
  return now !== undefined && now.startTime === identity.startTime && now.state !== 'Z' && now.state !== 'X';
}

/** Sends a signal; false if there is no such process any more. */
export function signalProcess(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}
