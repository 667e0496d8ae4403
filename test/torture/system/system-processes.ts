import { readdirSync, readFileSync } from 'node:fs';
import { listChildren, signalProcess } from '../../../src/io/node/process-table.ts';

export interface SystemProcess {
  readonly pid: number;
  /** `main`, `safekeeper-2`, `pageserver`, `database`, or `compute ep-…`. */
  readonly name: string;
}

/** The processes of a system, but for those that a server of PostgreSQL's has started. */
export function listProcesses(mainPid: number): SystemProcess[] {
  const children = listChildren(mainPid).flatMap(({ pid }) => {
    const name = nameOf(commandOf(pid));
    return name === undefined ? [] : [{ pid, name }];
  });
  return [{ pid: mainPid, name: 'main' }, ...children];
}

export const isCompute = ({ name }: Pick<SystemProcess, 'name'>): boolean => name.startsWith('compute ');

function nameOf(command: readonly string[]): string | undefined {
  const service = command.findIndex((part) => part.endsWith('/varve')) + 1;
  if (service > 0 && command[service] === 'pageserver') return 'pageserver';
  if (service > 0 && command[service] === 'safekeeper')
    return `safekeeper-${command[command.indexOf('--id') + 1]}`;
  if (command[0]?.endsWith('/postgres') !== true) return undefined;
  const directory = command[command.indexOf('-D') + 1] ?? '';
  const endpoint = /\/(ep-[^/]+)/.exec(directory)?.[1];
  if (endpoint !== undefined) return `compute ${endpoint}`;
  return /\/control\/data$|\/proc\/self\/cwd$/.test(directory) ? 'database' : undefined;
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It has ended.
    return [];
  }
}

/** A process with all that it has started itself, it first. */
export function treeOf(pid: number): number[] {
  if (pid <= 0) return [];
  return [pid, ...listChildren(pid).flatMap((child) => treeOf(child.pid))];
}

/** @returns how many there were to get it */
export function signalAll(pids: readonly number[], name: NodeJS.Signals): number {
  return pids.filter((pid) => signalProcess(pid, name)).length;
}

/** Those that were started with the name of something below a directory. */
export function listThoseOf(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const command = commandOf(Number(pid)).join(' ').trim();
      return command.includes(directory) && !command.startsWith('/bin/sh -c') ? [`${pid} ${command}`] : [];
    });
}
