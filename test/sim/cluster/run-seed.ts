import { SeededRandom } from '../../support/seeded-random.ts';
import { listenToAssertions } from './assertions.ts';
import { Cluster } from './cluster.ts';
import { drawFaults, type Fault } from './faults.ts';
import { plan } from './inject.ts';
import { listenToMachines } from './machine-tap.ts';
import { settle } from './settle.ts';

export interface SeedOptions {
  readonly seed: number;
  readonly safekeepers: number;
  /** Only these of the seed's faults, by their places in its plan. */
  readonly faults?: readonly number[];
  readonly traceCapacity?: number;
}

export interface SeedResult {
  readonly seed: number;
  readonly steps: number;
  readonly commits: number;
  /** The faults that were planned, and of which of the plan's places they are. */
  readonly faults: readonly Fault[];
  readonly places: readonly number[];
  readonly violation: Error | undefined;
  readonly atMs: number;
  /** The last things that happened, if they were asked for. */
  readonly trace: () => string[];
  /** Equal for equal runs. */
  readonly hash: number;
}

/** How often the logs of all are compared with each other. */
const COMPARE_STEPS = 500;
/** A run of more events than this does not end. */
const STEPS_MAX = 1_000_000;

/** One simulated run from its seed: a while with faults, then the healing and the last checks. */
export async function runSeed(options: SeedOptions): Promise<SeedResult> {
  const { seed } = options;
  const cluster = new Cluster({ ...options, traceCapacity: options.traceCapacity ?? 1 });
  const { kernel, observer, safekeepers, character } = cluster;
  const random = new SeededRandom(seed ^ 0x0fa1_7500);
  const durationMs = 400 + random.below(2000);
  const all = drawFaults(random, {
    safekeepers: safekeepers.length,
    computes: cluster.computes.length,
    durationMs,
    hasMembership: character.generation > 0,
  });
  const places = options.faults ?? all.map((_, index) => index);
  const faults = places.flatMap((place) => all[place] ?? []);
  const fail = (error: unknown): void => kernel.fail(error);
  listenToMachines(cluster);
  listenToAssertions(fail);
  // They are told of when the run gives the real event loop a turn, at its end.
  process.on('unhandledRejection', fail);
  let violation: Error | undefined;
  try {
    cluster.start();
    plan(cluster, faults);
    let untilComparison = COMPARE_STEPS;
    const reason = await kernel.run({
      untilMs: durationMs,
      maxSteps: STEPS_MAX,
      until: () => {
        observer.observe();
        if (--untilComparison === 0) {
          untilComparison = COMPARE_STEPS;
          observer.compare();
        }
        return false;
      },
    });
    if (reason === 'steps') throw new Error(`there is no end of events at ${kernel.nowUs / 1000} ms`);
    await settle(cluster);
    await new Promise<void>((resolve) => setImmediate(resolve));
    await kernel.run({ maxSteps: 0 });
  } catch (error) {
    violation = error as Error;
  } finally {
    process.off('unhandledRejection', fail);
    listenToMachines(undefined);
    listenToAssertions(undefined);
  }
  return {
    seed,
    steps: kernel.steps,
    commits: observer.acknowledged.count,
    faults,
    places,
    violation,
    atMs: kernel.nowUs / 1000,
    trace: () => kernel.traceLines(),
    hash: kernel.trace.hash,
  };
}
