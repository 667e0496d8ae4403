import { setTimeout as delay } from 'node:timers/promises';
import { nodeClock } from '../../src/io/node/clock.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { askAndLeave } from './page-leavers.ts';
import {
  neverRead,
  type PageClientOptions,
  type PageFindings,
  readPages,
  sendGarbage,
} from './page-readers.ts';
import { PagedTimelines } from './paged-timelines.ts';
import type { PagesProcess, PagesUsage } from './pages-process.ts';
import { ownMs } from './pages-usage.ts';
import { PagesWorld } from './pages-world.ts';
import { eventually, within } from './within.ts';

const READERS = 40;
const NEVER_READERS = 9;
const GARBAGE_SENDERS = 8;
const LEAVERS = 7;
const ACT_TIMEOUT_MS = 60_000;
const SAMPLE_INTERVAL_MS = 1000;
const KILL_INTERVAL_MS = { least: 500, most: 6000 };
/**
 * Within it every timeline is shut down, whatever its clients do. The time in which the pageserver was ready to run and had
 * no processor is no part of it.
 */
export const SHUTDOWN_MS_MAX = 2000;
const MEBIBYTE: number = 1024 * 1024;
/** What 64 connections may add to what the process has anyway. */
const PEAK_BYTES_MAX: number = 384 * MEBIBYTE;
/** What timelines, caches and pools may have grown by when all connections have gone. */
const LEFT_BYTES_MAX: number = 64 * MEBIBYTE;

export interface PagesRoundOptions {
  readonly seed: number;
  readonly durationMs: number;
  /** It goes on until each of these was done, however slow the machine is. */
  readonly actions?: readonly string[];
  readonly onEvent?: (text: string) => void;
}

export interface PagesRoundResult extends PageFindings, Pick<PagedTimelines, 'actions' | 'slowestShutdown'> {
  readonly baseBytes: number;
  readonly peakRssBytes: number;
  readonly leftBytes: number;
}

/** 64 clients of all manners, and timelines that come and go under them, on a pageserver that is killed now and then. */
export async function runPagesRound(options: PagesRoundOptions): Promise<PagesRoundResult> {
  const { seed, durationMs, actions: wantedActions = [], onEvent = () => undefined } = options;
  const random = new SeededRandom(seed);
  const findings: PageFindings = { pages: 0, wrong: [], stuck: [] };
  await using world = await PagesWorld.start(random.fork());
  const { pageserver, port } = world;
  const timelines = new PagedTimelines(world, random.fork(), onEvent);
  await timelines.begin();
  const base = await pageserver.usage();
  const memory = new MemoryWatch(pageserver, onEvent);
  const life = new AbortController();
  const { signal } = life;
  const clients = startClients(() => ({ port, timelines, findings, random: random.fork(), signal }));
  const ending = Promise.allSettled([...clients, memory.run(signal)]);
  const startMs = performance.now();
  const isLater = (ms: number, actions: readonly string[]): boolean =>
    performance.now() - startMs >= ms && actions.every((action) => timelines.actions.has(action));
  const hasFound = (): boolean => findings.wrong.length + findings.stuck.length + world.failures.length > 0;
  const acting = actWhile(timelines, () => !isLater(durationMs, wantedActions) && !hasFound());
  // In the second half nobody kills it: what it holds at the end is of a long life.
  const mayKill = (): boolean => !isLater(durationMs / 2, ['kill']) && !hasFound();
  const done = await Promise.allSettled([acting, killWhile(timelines, memory, random.fork(), mayKill)]);
  life.abort();
  let left = base;
  try {
    const ends = [...done, ...(await within(ACT_TIMEOUT_MS, 'clients do not end', ending))];
    for (const end of ends) if (end.status === 'rejected') findings.stuck.push(describe(end.reason));
    left = await disconnected(pageserver);
    memory.note(left);
    await within(ACT_TIMEOUT_MS, 'the pageserver does not close', pageserver.stop());
  } catch (error) {
    findings.stuck.push(describe(error));
  }
  findings.stuck.push(...world.failures);
  const { actions, slowestShutdown } = timelines;
  const { peakRssBytes } = memory;
  checkBounds(findings, base, left, peakRssBytes, ownMs(slowestShutdown));
  const bytes = { baseBytes: base.heldBytes, peakRssBytes, leftBytes: left.heldBytes };
  return { ...findings, actions, slowestShutdown, ...bytes };
}

/** What is left when all connections have gone. */
async function disconnected(pageserver: PagesProcess): Promise<PagesUsage> {
  return await eventually(ACT_TIMEOUT_MS, 'connections stay', async () => {
    const usage = await pageserver.usage();
    return usage.connections === 0 && usage;
  });
}

function startClients(client: () => PageClientOptions): Promise<void>[] {
  const some = (count: number, manner: (options: PageClientOptions) => Promise<void>): Promise<void>[] =>
    Array.from({ length: count }, () => manner(client()));
  return [
    ...some(READERS, readPages),
    ...some(NEVER_READERS, neverRead),
    ...some(GARBAGE_SENDERS, sendGarbage),
    ...some(LEAVERS, askAndLeave),
  ];
}

async function actWhile(timelines: PagedTimelines, isDue: () => boolean): Promise<void> {
  while (isDue()) {
    await within(ACT_TIMEOUT_MS, 'what is done with a timeline is not over', timelines.act());
    await nodeClock.yieldToOthers();
  }
}

async function killWhile(
  timelines: PagedTimelines,
  memory: MemoryWatch,
  random: SeededRandom,
  isDue: () => boolean,
): Promise<void> {
  while (isDue()) {
    await delay(random.between(KILL_INTERVAL_MS.least, KILL_INTERVAL_MS.most));
    if (!isDue()) return;
    await memory.sample();
    await within(ACT_TIMEOUT_MS, 'the pageserver does not come back', timelines.kill());
  }
}

function checkBounds(
  findings: PageFindings,
  base: PagesUsage,
  left: PagesUsage,
  peakRssBytes: number,
  slowestShutdownMs: number,
): void {
  const inMebibytes = (bytes: number): string => `${(bytes / MEBIBYTE).toFixed(0)} MiB`;
  if (slowestShutdownMs > SHUTDOWN_MS_MAX)
    findings.stuck.push(`a shutdown took ${slowestShutdownMs.toFixed(0)} ms of its own`);
  if (peakRssBytes - base.rssBytes > PEAK_BYTES_MAX)
    findings.stuck.push(`memory grew from ${inMebibytes(base.rssBytes)} to ${inMebibytes(peakRssBytes)}`);
  if (left.heldBytes - base.heldBytes > LEFT_BYTES_MAX)
    findings.stuck.push(
      `of ${inMebibytes(left.heldBytes)} nothing but ${inMebibytes(base.heldBytes)} was there`,
    );
}

/** The most memory that a pageserver had in any of its lives. */
class MemoryWatch {
  peakRssBytes = 0;
  readonly #pageserver: PagesProcess;
  readonly #onEvent: (text: string) => void;

  constructor(pageserver: PagesProcess, onEvent: (text: string) => void) {
    this.#pageserver = pageserver;
    this.#onEvent = onEvent;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#pageserver.isRunning) await this.sample();
      // The signal ends the wait, and the loop.
      await delay(SAMPLE_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One that is killed meanwhile says nothing. */
  async sample(): Promise<void> {
    const { pid } = this.#pageserver;
    try {
      this.note(await this.#pageserver.usage());
    } catch (error) {
      if (this.#pageserver.isRunning && this.#pageserver.pid === pid) throw error;
    }
  }

  note({ connections, rssBytes, peakRssBytes, heldBytes }: PagesUsage): void {
    this.peakRssBytes = Math.max(this.peakRssBytes, peakRssBytes);
    const inMebibytes = (bytes: number): string => (bytes / MEBIBYTE).toFixed(0);
    this.#onEvent(`${connections} connections, ${inMebibytes(rssBytes)} MiB, ${inMebibytes(heldBytes)} held`);
  }
}

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);
