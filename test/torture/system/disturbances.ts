import { setTimeout as delay } from 'node:timers/promises';
import { listChildren } from '../../../src/io/node/process-table.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import type { StoreMood } from './failing-proxy.ts';
import type { OperatedSystem } from './operated-system.ts';
import { isCompute, signalAll, treeOf } from './system-processes.ts';

/** Between two disturbances. */
const PAUSE_MS = { min: 300, max: 2500 };
const STOPPED_MS = { min: 200, max: 5000 };
/** Longer than most that waits for an answer has patience. */
const LONG_STOPPED_MS = { min: 10_000, max: 20_000 };
const STORE_MS = { min: 500, max: 8000 };
const FULL_MS = { min: 500, max: 5000 };
const SERVICES = ['safekeeper-1', 'safekeeper-2', 'safekeeper-3', 'pageserver'] as const;

interface Disturbance {
  readonly name: string;
  /** How often, compared to the others. */
  readonly weight: number;
  /** What it needs for itself. It is not begun while that is in use. */
  readonly target: string;
  run(): Promise<void>;
}

/** Kills, stops and starves what is in a system, one thing after another and some at the same time, as a seed has it. */
export class Disturbances {
  /** How often something was done. */
  readonly counts = new Map<string, number>();
  kills = 0;
  readonly #system: OperatedSystem;
  readonly #random: SeededRandom;
  readonly #onEvent: (text: string) => void;
  readonly #inUse = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();

  constructor(system: OperatedSystem, random: SeededRandom, onEvent: (text: string) => void) {
    this.#system = system;
    this.#random = random;
    this.#onEvent = onEvent;
  }

  /** Until the signal is given, and everything that was begun is over: nothing is stopped, full or away any more. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#begin();
      // The signal ends the wait, and the loop.
      await delay(this.#random.between(PAUSE_MS.min, PAUSE_MS.max), undefined, { signal }).catch(
        () => undefined,
      );
    }
    await Promise.all(this.#underWay);
  }

  /** Draws the same numbers whatever is in use, so that a seed means the same actions, if not at the same time. */
  #begin(): void {
    const all = this.#all(this.#random.fork());
    let chosen = this.#random.fraction() * all.reduce((sum, { weight }) => sum + weight, 0);
    const disturbance = all.find(({ weight }) => {
      chosen -= weight;
      return chosen < 0;
    }) as Disturbance;
    const { name, target } = disturbance;
    if (this.#inUse.has(target)) return;
    this.#inUse.add(target);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.#onEvent(`${name} (${target})`);
    const task = disturbance.run().finally(() => {
      this.#onEvent(`over: ${name} (${target})`);
      this.#inUse.delete(target);
      this.#underWay.delete(task);
    });
    this.#underWay.add(task);
  }

  #all(random: SeededRandom): readonly Disturbance[] {
    const service = random.pick(SERVICES);
    const between = ({ min, max }: { readonly min: number; readonly max: number }): number =>
      random.between(min, max);
    const [stoppedMs, longMs, storeMs, fullMs] = [STOPPED_MS, LONG_STOPPED_MS, STORE_MS, FULL_MS].map(
      between,
    ) as [number, number, number, number];
    const which = random.fraction();
    const mood = random.pick<StoreMood>(['failing', 'failing', 'slow', 'silent']);
    const isSoon = random.chance(0.3);
    const ofCompute = (): number | undefined => {
      const computes = this.#system.processes().filter(isCompute);
      return computes[Math.floor(which * computes.length)]?.pid;
    };
    const childOf = (pid: number | undefined): number | undefined => {
      const children = pid === undefined ? [] : listChildren(pid);
      return children[Math.floor(((which * 97) % 1) * children.length)]?.pid;
    };
    const disturbances: Disturbance[] = [
      {
        name: 'kill a service',
        weight: 1.5,
        target: service,
        run: () => this.#endSystem(isSoon, () => this.#kill(this.#pidOf(service))),
      },
      {
        name: 'kill the main process',
        weight: 1,
        target: 'main',
        run: () => this.#endSystem(isSoon, () => this.#kill(this.#system.mainPid)),
      },
      {
        name: 'kill everything',
        weight: 0.8,
        target: 'main',
        run: () =>
          this.#endSystem(isSoon, () => {
            this.kills += this.#system.killEverything();
          }),
      },
      {
        name: 'stop the system in order',
        weight: 0.7,
        target: 'main',
        run: () => this.#endSystem(isSoon, () => this.#signal(this.#system.mainPid, 'SIGTERM')),
      },
      {
        name: 'kill the database',
        weight: 0.4,
        target: 'database',
        run: () => this.#endSystem(isSoon, () => this.#kill(this.#pidOf('database'))),
      },
      {
        name: 'kill a process of the database',
        weight: 0.5,
        target: 'database',
        run: async () => this.#kill(childOf(this.#pidOf('database'))),
      },
      { name: 'kill a compute', weight: 4, target: 'compute', run: async () => this.#kill(ofCompute()) },
      {
        name: 'kill a process of a compute',
        weight: 4,
        target: 'compute',
        run: async () => this.#kill(childOf(ofCompute())),
      },
      {
        name: 'shut a compute down',
        weight: 1,
        target: 'compute',
        run: async () => this.#signal(ofCompute(), 'SIGINT'),
      },
      {
        name: 'freeze a service',
        weight: 5,
        target: service,
        run: () => this.#freeze(stoppedMs, () => [this.#pidOf(service)]),
      },
      {
        name: 'freeze a service for long',
        weight: 1,
        target: service,
        run: () => this.#freeze(longMs, () => [this.#pidOf(service)]),
      },
      {
        name: 'freeze the main process',
        weight: 2,
        target: 'main',
        run: () => this.#freeze(stoppedMs, () => [this.#system.mainPid]),
      },
      {
        name: 'freeze the database',
        weight: 1,
        target: 'database',
        run: () => this.#freeze(stoppedMs, () => treeOf(this.#pidOf('database') ?? 0)),
      },
      {
        name: 'freeze a compute',
        weight: 2,
        target: 'compute',
        run: () => this.#freeze(stoppedMs, () => treeOf(ofCompute() ?? 0)),
      },
      {
        name: 'freeze a process of a compute',
        weight: 2,
        target: 'compute',
        run: () => this.#freeze(stoppedMs, () => [childOf(ofCompute())]),
      },
      {
        name: `a ${mood} object store`,
        weight: 5,
        target: 'store',
        run: async () => {
          this.#system.store.mood = mood;
          await delay(storeMs);
          this.#system.store.mood = 'well';
        },
      },
    ];
    const { smallDisk } = this.#system;
    if (typeof smallDisk !== 'string') {
      disturbances.push({
        name: `fill the disk of ${this.#system.smallDiskOf}`,
        weight: 3,
        target: 'disk',
        run: async () => {
          await smallDisk.fill();
          await delay(fullMs);
          await smallDisk.empty();
        },
      });
    }
    return disturbances;
  }

  /** Nothing else happens to what ends it until the system is up again, or `isSoon`. */
  async #endSystem(isSoon: boolean, end: () => void): Promise<void> {
    const { starts } = this.#system;
    end();
    if (isSoon) return;
    const deadlineMs = performance.now() + LONG_STOPPED_MS.max;
    while (performance.now() < deadlineMs && !(this.#system.starts > starts && this.#system.isUp))
      await delay(50);
  }

  async #freeze(durationMs: number, find: () => readonly (number | undefined)[]): Promise<void> {
    const pids = find().filter((pid) => pid !== undefined && pid > 0) as number[];
    signalAll(pids, 'SIGSTOP');
    await delay(durationMs);
    signalAll(pids, 'SIGCONT');
  }

  #pidOf(name: string): number | undefined {
    return this.#system.processes().find((each) => each.name === name)?.pid;
  }

  #kill(pid: number | undefined): void {
    if (pid !== undefined) this.kills += signalAll([pid], 'SIGKILL');
  }

  #signal(pid: number | undefined, name: NodeJS.Signals): void {
    if (pid !== undefined) signalAll([pid], name);
  }
}
