// Loaded into the pageserver of the torture of pages, by --import: tells whoever connects to a Unix socket what nobody can see
// from outside. That is what the process needs when garbage is collected, and how long it has worked on a request.
import { subscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { collectGarbage } from '../../bench/support/process-usage.ts';
import { PROBE_VARIABLE, type ProbedTime, type ProbedUsage, type ProbeQuestion } from './pages-usage.ts';

const TASKS = '/proc/self/task';

/** What the scheduler says of threads (proc_pid_schedstat(5)), in milliseconds. */
interface Clocks {
  readonly nowMs: number;
  /** The main thread has run, and has been ready to run without a processor. */
  readonly mainRanMs: number;
  readonly mainWaitedMs: number;
  /** All other threads have been ready to run without a processor. */
  readonly othersWaitedMs: number;
}

/** When requests began, and how long the newest of each kind that changes something has taken. */
const begun = new WeakMap<IncomingMessage, Clocks>();
const took = new Map<string, ProbedTime>();

function watchRequests(): void {
  subscribe('http.server.request.start', (message) => {
    const { request } = message as { request: IncomingMessage };
    if (request.method !== 'GET') begun.set(request, readClocks());
  });
  subscribe('http.server.response.finish', (message) => {
    const { request } = message as { request: IncomingMessage };
    const start = begun.get(request);
    if (start !== undefined) took.set(`${request.method} ${request.url}`, timeSince(start));
  });
}

function timeSince(start: Clocks): ProbedTime {
  const end = readClocks();
  const ms = end.nowMs - start.nowMs;
  const mainWaitedMs = end.mainWaitedMs - start.mainWaitedMs;
  const idleMs = Math.max(0, ms - mainWaitedMs - (end.mainRanMs - start.mainRanMs));
  const othersWaitedMs = Math.max(0, end.othersWaitedMs - start.othersWaitedMs);
  return { ms, starvedMs: mainWaitedMs + Math.min(idleMs, othersWaitedMs) };
}

function readClocks(): Clocks {
  const [mainRanMs, mainWaitedMs] = readSchedule(String(process.pid));
  const others = readdirSync(TASKS).filter((thread) => thread !== String(process.pid));
  const othersWaitedMs = others.reduce((sum, thread) => sum + readSchedule(thread)[1], 0);
  return { nowMs: performance.now(), mainRanMs, mainWaitedMs, othersWaitedMs };
}

/** How long a thread ran, and how long it waited. */
function readSchedule(thread: string): [ranMs: number, waitedMs: number] {
  try {
    const [ranNs, waitedNs] = readFileSync(`${TASKS}/${thread}/schedstat`, 'latin1').split(' ');
    return [Number(ranNs) / 1e6, Number(waitedNs) / 1e6];
  } catch (error) {
    // It has ended since.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [0, 0];
    throw error;
  }
}

function readUsage(): ProbedUsage {
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const peakRssBytes = process.resourceUsage().maxRSS * 1024;
  return { rssBytes: rss, peakRssBytes, heldBytes: heapUsed + external };
}

function answer(socket: Socket): void {
  // A question is so short that it comes in one piece.
  socket.once('data', (bytes) => {
    const question = JSON.parse(bytes.toString()) as ProbeQuestion;
    socket.end(JSON.stringify(question === 'usage' ? readUsage() : (took.get(question.request) ?? null)));
  });
}

const path = process.env[PROBE_VARIABLE];
if (isMainThread && path !== undefined) {
  watchRequests();
  // Left behind by one that was killed.
  rmSync(path, { force: true });
  createServer(answer).listen(path).unref();
}
