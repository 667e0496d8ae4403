import { SeededRandom } from '../../support/seeded-random.ts';
import { runSystemRound, type SystemRoundResult } from './round.ts';

const ROUND_MS = 120_000;
const PROGRESS_INTERVAL_MS = 10_000;
const ERASE_LINE = '\r\x1b[K';

/** Rounds of two minutes at most, each a new system. @returns whether nothing was found */
export async function tortureSystem(
  minutes: number,
  seed: number,
  isVerbose: boolean,
  logs?: string,
): Promise<boolean> {
  const random = new SeededRandom(seed);
  const deadline = performance.now() + minutes * 60_000;
  const totals = { kills: 0, acknowledged: 0, lost: 0, wrong: 0, stuck: 0 };
  const skipped = new Set<string>();
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const progress = new Progress();
  console.log(`torture: seed ${seed}`);
  try {
    for (let round = 1; performance.now() < deadline && !interrupted.signal.aborted; round++) {
      const result = await runSystemRound({
        seed: random.next(),
        disturbedMs: Math.min(ROUND_MS, Math.max(1000, deadline - performance.now())),
        signal: interrupted.signal,
        onProgress: (text) => progress.show(`round ${round}, ${text}`),
        ...(logs === undefined ? {} : { logs: `${logs}/round-${round}` }),
        ...(isVerbose ? { onEvent: (text) => progress.say(text) } : {}),
      });
      totals.kills += result.kills;
      totals.acknowledged += result.acknowledged;
      totals.lost += result.lost;
      // What is lost is counted as that, whatever else it breaks.
      totals.wrong += result.wrong.filter((text) => !text.startsWith('lost: ')).length;
      totals.stuck += result.stuck.length;
      for (const what of result.skipped) skipped.add(what);
      progress.clear();
      report(round, result);
    }
  } catch (error) {
    totals.stuck++;
    progress.clear();
    console.error(`torture: failed: ${error instanceof Error ? error.stack : error}`);
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
  for (const what of skipped) console.log(`torture: skipped: ${what}`);
  const { kills, acknowledged, lost, wrong, stuck } = totals;
  console.log(`torture: kills=${kills} acked=${acknowledged} lost=${lost} wrong=${wrong} stuck=${stuck}`);
  return acknowledged > 0 && lost + wrong + stuck === 0;
}

function report(round: number, result: SystemRoundResult): void {
  const { kills, acknowledged, starts, lost, wrong, stuck, failedObjects } = result;
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts].map(([name, count]) => `${name} ${count}×`).join(', ') || 'nothing';
  console.log(
    `round ${round}: kills=${kills} acked=${acknowledged} starts=${starts} objects failed=${failedObjects} ` +
      `lost=${lost} wrong=${wrong.length} stuck=${stuck.length}`,
  );
  console.log(`  done to it: ${list(result.disturbances)}`);
  console.log(`  branches: ${list(result.branchWork)}`);
  console.log(`  the system ended: ${list(result.ends)}; computes failed: ${list(result.failedEndpoints)}`);
  for (const finding of [...wrong, ...stuck]) console.error(`  ${finding}`);
}

/** How far it is, on standard error: at a terminal on one line that changes, elsewhere now and then. */
class Progress {
  #shownAtMs = performance.now();
  readonly #isTerminal = process.stderr.isTTY;

  show(text: string): void {
    if (this.#isTerminal) {
      process.stderr.write(`${ERASE_LINE}${text}`);
    } else if (performance.now() - this.#shownAtMs >= PROGRESS_INTERVAL_MS) {
      this.#shownAtMs = performance.now();
      process.stderr.write(`${text}\n`);
    }
  }

  say(text: string): void {
    this.clear();
    console.log(`  ${(performance.now() / 1000).toFixed(2)} s ${text}`);
  }

  clear(): void {
    if (this.#isTerminal) process.stderr.write(ERASE_LINE);
  }
}
