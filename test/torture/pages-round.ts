import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CommandProcess } from '../support/command-process.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import {
  neverRead,
  type PageClientOptions,
  type PageFindings,
  readPages,
  sendGarbage,
} from './page-readers.ts';
import { PagedTimelines } from './paged-timelines.ts';
import type { PagesHostCommands, PagesHostUsage } from './pages-host-messages.ts';
import { eventually, within } from './within.ts';

const MAIN = fileURLToPath(new URL('./pages-host.ts', import.meta.url));
const READERS = 44;
const NEVER_READERS = 10;
const GARBAGE_SENDERS = 10;
const ACT_TIMEOUT_MS = 60_000;
const SAMPLE_INTERVAL_MS = 1000;
/** Within it every timeline is shut down, whatever its clients do. */
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

export interface PagesRoundResult extends PageFindings {
  readonly actions: ReadonlyMap<string, number>;
  readonly slowestShutdownMs: number;
  readonly baseBytes: number;
  readonly peakRssBytes: number;
  readonly leftBytes: number;
}

/** 64 clients of all manners, and timelines that come and go under them. */
export async function runPagesRound({
  seed,
  durationMs,
  actions: wantedActions = [],
  onEvent = () => undefined,
}: PagesRoundOptions): Promise<PagesRoundResult> {
  const random = new SeededRandom(seed);
  const findings: PageFindings = { pages: 0, wrong: [], stuck: [] };
  await using host = new CommandProcess<PagesHostCommands>(MAIN);
  const { port } = await host.ask('open', undefined);
  const timelines = new PagedTimelines(host, random.fork());
  await timelines.begin();
  const base = await host.ask('usage', undefined);
  const life = new AbortController();
  const client = (): PageClientOptions => ({
    port,
    timelines,
    findings,
    random: random.fork(),
    signal: life.signal,
  });
  const clients = [
    ...Array.from({ length: READERS }, () => readPages(client())),
    ...Array.from({ length: NEVER_READERS }, () => neverRead(client())),
    ...Array.from({ length: GARBAGE_SENDERS }, () => sendGarbage(client())),
  ];
  const memory = watchMemory(host, life.signal, onEvent);
  const endMs = performance.now() + durationMs;
  try {
    const isDue = (): boolean =>
      performance.now() < endMs || !wantedActions.every((action) => timelines.actions.has(action));
    while (isDue() && findings.wrong.length + findings.stuck.length === 0) {
      await within(ACT_TIMEOUT_MS, 'what is done with a timeline is not over', timelines.act());
    }
  } catch (error) {
    findings.stuck.push(String(error));
  } finally {
    life.abort();
  }
  await within(ACT_TIMEOUT_MS, 'clients do not end', Promise.all(clients));
  const peakRssBytes = await memory;
  const left = await eventually(ACT_TIMEOUT_MS, 'connections stay', async () => {
    const usage = await host.ask('usage', undefined);
    return usage.connections === 0 ? usage : undefined;
  });
  const { actions, slowestShutdownMs } = timelines;
  checkBounds(findings, base, left, peakRssBytes, slowestShutdownMs);
  const baseBytes = base.heldBytes;
  return { ...findings, actions, slowestShutdownMs, baseBytes, peakRssBytes, leftBytes: left.heldBytes };
}

function checkBounds(
  findings: PageFindings,
  base: PagesHostUsage,
  left: PagesHostUsage,
  peakRssBytes: number,
  slowestShutdownMs: number,
): void {
  const inMebibytes = (bytes: number): string => `${(bytes / MEBIBYTE).toFixed(0)} MiB`;
  if (slowestShutdownMs > SHUTDOWN_MS_MAX)
    findings.stuck.push(`a shutdown took ${slowestShutdownMs.toFixed(0)} ms`);
  if (peakRssBytes - base.rssBytes > PEAK_BYTES_MAX)
    findings.stuck.push(`memory grew from ${inMebibytes(base.rssBytes)} to ${inMebibytes(peakRssBytes)}`);
  if (left.heldBytes - base.heldBytes > LEFT_BYTES_MAX)
    findings.stuck.push(
      `of ${inMebibytes(left.heldBytes)} nothing but ${inMebibytes(base.heldBytes)} was there`,
    );
}

async function watchMemory(
  host: CommandProcess<PagesHostCommands>,
  signal: AbortSignal,
  onEvent: (text: string) => void,
): Promise<number> {
  let peak = 0;
  while (!signal.aborted) {
    const { rssBytes, heldBytes, connections } = await host.ask('usage', undefined);
    peak = Math.max(peak, rssBytes);
    onEvent(
      `${connections} connections, ${(rssBytes / MEBIBYTE).toFixed(0)} MiB, ${(heldBytes / MEBIBYTE).toFixed(0)} held`,
    );
    await delay(SAMPLE_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
  return peak;
}
