// npm run torture: real processes under load and chaos, and the proof that nothing is lost that was acknowledged, and no
// page is wrong.
import { parseArgs } from 'node:util';
import { SeededRandom } from '../support/seeded-random.ts';
import { runMigrations } from './migrations-round.ts';
import { type PagesRoundResult, runPagesRound } from './pages-round.ts';
import { ownMs } from './pages-usage.ts';
import { tortureSystem } from './system/command.ts';
import { runWalRound, type WalRoundResult } from './wal-round.ts';

const USAGE = `npm run torture -- wal|pages|migrations|system [options]

  wal: three safekeepers, a proposer and a stock PostgreSQL with a load on it, each a process of its own, which are
  killed, stopped and started, in rounds of about a minute. At the end of each, the safekeepers' WAL is compared with
  the server's, and a stock standby that follows a safekeeper with the server.

  pages: 64 clients of a pageserver read random pages at random LSNs, slowly at times, do not read what they have asked for,
  send garbage, or leave in the midst of it, while timelines are created, branched, detached, attached and deleted, and the
  pageserver is killed, in rounds of about a minute. Its WAL comes from a safekeeper. Every page is compared with a model.

  migrations: a tenant moves between two pageservers over one bucket, with WAL coming in, 12 clients that read and 5 that
  never do; migrations are broken off, asked for several times at once, and interrupted by restarts.

  system: all of \`varve start --processes\`, with clients that transfer money on several branches, while branches are made,
  reset, restored and deleted, and every process is killed, stopped for a while and started again, disks fill and the object
  store fails, in rounds of two minutes. Each branch has to have every transfer that was acknowledged before it was asked for.

  --minutes M          how long, 1 by default; the last round is brought to its end
  --seed N             which chaos (random)
  --verbose            print what is done, as it is
  --logs DIR           of system: where logs are copied to if something was found

The last line says how many transactions were acknowledged and lost, or how many pages were read, wrong, and how often
something did not end in time or memory had no bound; of migrations also how many there were, and the slowest; of a system how
many processes were killed, how often something was wrong, and how often somebody waited too long though all was well again. The exit code is 1 if any was, or if something else went wrong.`;

const ROUND_CHAOS_MS = 60_000;
/** Bounds the WAL of a round, all of which is kept, and compared. */
const PAUSE_MS = 4;
const SEGMENT_SIZES_MIB = [1, 16] as const;

interface Totals {
  kills: number;
  acknowledged: number;
  lost: number;
}

async function torture(minutes: number, seed: number, isVerbose: boolean): Promise<boolean> {
  const random = new SeededRandom(seed);
  const deadline = performance.now() + minutes * 60_000;
  const totals: Totals = { kills: 0, acknowledged: 0, lost: 0 };
  const skipped = new Set<string>();
  let isGood = true;
  console.log(`torture: seed ${seed}`);
  try {
    for (let round = 1; performance.now() < deadline; round++) {
      const result = await runWalRound({
        seed: random.next(),
        chaosMs: Math.min(ROUND_CHAOS_MS, Math.max(1000, deadline - performance.now())),
        pauseMs: PAUSE_MS,
        ...(isVerbose ? { onEvent: showEvent } : {}),
        segmentSizeMiB: SEGMENT_SIZES_MIB[round % SEGMENT_SIZES_MIB.length] as number,
      });
      totals.kills += result.kills;
      totals.acknowledged += result.acknowledged;
      totals.lost += result.lost;
      for (const what of result.skipped) skipped.add(what);
      isGood = report(round, result) && isGood;
    }
  } catch (error) {
    isGood = false;
    console.error(`torture: failed: ${error instanceof Error ? error.stack : error}`);
  }
  for (const what of skipped) console.log(`torture: skipped: ${what}`);
  const { kills, acknowledged, lost } = totals;
  console.log(`torture: kills=${kills} acked=${acknowledged} lost=${lost}`);
  return isGood && lost === 0;
}

async function torturePages(minutes: number, seed: number, isVerbose: boolean): Promise<boolean> {
  const random = new SeededRandom(seed);
  const deadline = performance.now() + minutes * 60_000;
  const totals = { pages: 0, wrong: 0, stuck: 0 };
  console.log(`torture: seed ${seed}`);
  try {
    for (let round = 1; performance.now() < deadline; round++) {
      const result = await runPagesRound({
        seed: random.next(),
        durationMs: Math.min(ROUND_CHAOS_MS, Math.max(1000, deadline - performance.now())),
        ...(isVerbose ? { onEvent: showEvent } : {}),
      });
      totals.pages += result.pages;
      totals.wrong += result.wrong.length;
      totals.stuck += result.stuck.length;
      reportPages(round, result);
    }
  } catch (error) {
    totals.stuck++;
    console.error(`torture: failed: ${error instanceof Error ? error.stack : error}`);
  }
  const { pages, wrong, stuck } = totals;
  console.log(`torture: pages=${pages} wrong=${wrong} stuck=${stuck}`);
  return pages > 0 && wrong === 0 && stuck === 0;
}

async function tortureMigrations(minutes: number, seed: number, isVerbose: boolean): Promise<boolean> {
  const random = new SeededRandom(seed);
  const deadline = performance.now() + minutes * 60_000;
  const totals = { migrations: 0, pages: 0, retries: 0, slowestMs: 0, stuck: 0, wrong: 0 };
  console.log(`torture: seed ${seed}`);
  try {
    for (let round = 1; performance.now() < deadline && totals.stuck + totals.wrong === 0; round++) {
      const result = await runMigrations({
        seed: random.next(),
        migrations: 1,
        durationMs: Math.min(ROUND_CHAOS_MS, Math.max(1000, deadline - performance.now())),
        hasChaos: true,
        ...(isVerbose ? { onEvent: showEvent } : {}),
      });
      const { actions, pages, retries, slowestMs, stuck, wrong } = result;
      console.log(
        `round ${round}: ${[...actions].map(([name, count]) => `${name} ${count}×`).join(', ')}; ` +
          `pages=${pages} slowest ${slowestMs.toFixed(0)} ms`,
      );
      for (const finding of [...wrong, ...stuck]) console.error(`  ${finding}`);
      totals.migrations += [...actions.values()].reduce((sum, count) => sum + count, 0);
      totals.pages += pages;
      totals.retries += retries;
      totals.slowestMs = Math.max(totals.slowestMs, slowestMs);
      totals.stuck += stuck.length;
      totals.wrong += wrong.length;
    }
  } catch (error) {
    totals.stuck++;
    console.error(`torture: failed: ${error instanceof Error ? error.stack : error}`);
  }
  const { migrations, pages, retries, slowestMs, stuck, wrong } = totals;
  console.log(
    `torture: migrations=${migrations} pages=${pages} retries=${retries} slowest_ms=${slowestMs.toFixed(0)} ` +
      `stuck=${stuck} wrong=${wrong}`,
  );
  return pages > 0 && wrong === 0 && stuck === 0;
}

function reportPages(round: number, result: PagesRoundResult): void {
  const { pages, wrong, stuck, actions, slowestShutdown, baseBytes, peakRssBytes, leftBytes } = result;
  const inMebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(0)} MiB`;
  console.log(
    `round ${round}: pages=${pages} wrong=${wrong.length} stuck=${stuck.length} ` +
      `slowest shutdown ${ownMs(slowestShutdown).toFixed(0)} ms (and ${slowestShutdown.starvedMs.toFixed(0)} ms without a ` +
      `processor), peak ${inMebibytes(peakRssBytes)}, ` +
      `held ${inMebibytes(baseBytes)} before and ${inMebibytes(leftBytes)} after`,
  );
  console.log(`  ${[...actions].map(([name, count]) => `${name} ${count}×`).join(', ')}`);
  for (const finding of [...wrong, ...stuck]) console.error(`  ${finding}`);
}

function showEvent(text: string): void {
  console.log(`  ${(performance.now() / 1000).toFixed(2)} s ${text}`);
}

/** False if something was wrong. */
function report(round: number, result: WalRoundResult): boolean {
  const { kills, acknowledged, unknown, elections, walBytes, compared, lost, findings, chaos } = result;
  console.log(
    `round ${round}: kills=${kills} acked=${acknowledged} unknown=${unknown} elections=${elections} ` +
      `wal=${(walBytes / 1024 / 1024).toFixed(1)}MiB compared=${compared.join('+')} lost=${lost}`,
  );
  console.log(`  ${[...chaos].map(([name, count]) => `${name} ${count}×`).join(', ')}`);
  const ends = [...result.proposerEnds].map(([status, count]) => `status ${status} ${count}×`);
  if (ends.length > 0) console.log(`  proposers that ended by themselves: ${ends.join(', ')}`);
  for (const finding of findings) console.error(`  ${finding}`);
  if (acknowledged === 0) console.error('  nothing was acknowledged: there was nothing to lose');
  return findings.length === 0 && acknowledged > 0;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} is a number above 0, not "${text}"`);
  return value;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    logs: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const PROGRAMS: Readonly<Record<string, typeof torture>> = {
  wal: torture,
  pages: torturePages,
  migrations: tortureMigrations,
  system: (minutes, seed, isVerbose) => tortureSystem(minutes, seed, isVerbose, values.logs),
};
const program = positionals.length === 1 ? PROGRAMS[positionals[0] as string] : undefined;
if (values.help || program === undefined) {
  console.log(USAGE);
  if (!values.help) process.exitCode = 2;
} else {
  const seed = values.seed === undefined ? 1 + (Date.now() % 1_000_000_000) : positive('seed', values.seed);
  if (!(await program(positive('minutes', values.minutes), seed, values.verbose))) process.exitCode = 1;
}
