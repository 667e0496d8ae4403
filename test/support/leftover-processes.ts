import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const MARK = 'VARVE_TEST_RUN';
const GRACE_MS = 3000;
/** Vitest's own workers and watchdog. */
const VITEST = /^vitest-watchdog\b|node_modules\/vitest\//;

interface Leftover {
  readonly pid: number;
  readonly command: string;
}

/** What every process started by a test inherits. Chosen by `setup`. */
let mark = '';

/** Run once before all tests, as vitest's globalSetup: marks the environment. */
export function setup(): void {
  const run = `${process.pid}-${Date.now()}`;
  process.env[MARK] = run;
  mark = `${MARK}=${run}`;
}

/** Run once after all tests: fails the run if a marked process is still there. */
export async function teardown(): Promise<void> {
  const deadline = Date.now() + GRACE_MS;
  let leftovers = findMarked();
  while (leftovers.length > 0 && Date.now() < deadline) {
    await delay(50);
    leftovers = findMarked();
  }
  if (leftovers.length === 0) return;
  const list = leftovers.map(({ pid, command }) => `  ${pid} ${command}`).join('\n');
  throw new Error(`the tests have left ${leftovers.length} processes behind:\n${list}`);
}

/** Running processes, other than vitest's own, that carry the mark (Linux; elsewhere none are found). */
function findMarked(): Leftover[] {
  const found: Leftover[] = [];
  for (const name of listProc()) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const environment = readProc(pid, 'environ');
    if (environment === undefined || !environment.split('\0').includes(mark)) continue;
    const command = (readProc(pid, 'cmdline') ?? '').split('\0').join(' ').trim();
    // An ended process that nobody has waited for has no command line.
    if (command !== '' && !VITEST.test(command)) found.push({ pid, command });
  }
  return found;
}

function listProc(): string[] {
  try {
    return readdirSync('/proc');
  } catch {
    return []; // Not Linux.
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return undefined; // It has ended, or belongs to somebody else.
  }
}
