import { setTimeout as delay } from 'node:timers/promises';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { SafekeeperNode } from './safekeeper-node.ts';
import type { WalCluster } from './wal-cluster.ts';

/** Between two actions. */
const PAUSE_MS = { min: 100, max: 1200 };
const DOWN_MS_MAX = 1500;
const FREEZE_MS = { min: 200, max: 2500 };
const FULL_MS = { min: 200, max: 2000 };
/** What a slow disk's sync takes longer. */
const SLOW_SYNC_MS = 20;

/** How often something was done. */
export type ChaosCounts = Map<string, number>;

interface Action {
  readonly name: string;
  /** How often, compared to the others. */
  readonly weight: number;
  /** What it needs for itself. It is not begun while one of these is in use. */
  readonly targets: readonly string[];
  run(): Promise<void>;
}

/** Kills, stops and starts what is in a cluster, one thing after another and some at the same time, as a seed has it. */
export class Chaos {
  readonly counts: ChaosCounts = new Map();
  kills = 0;
  readonly #cluster: WalCluster;
  readonly #random: SeededRandom;
  readonly #inUse = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #onEvent: (text: string) => void;
  #failure: Error | undefined;

  /** @param onEvent told what is done, as it begins and ends */
  constructor(cluster: WalCluster, random: SeededRandom, onEvent: (text: string) => void) {
    this.#cluster = cluster;
    this.#random = random;
    this.#onEvent = onEvent;
  }

  /** Until the time is over and everything is up again. Throws what went wrong that must not. */
  async run(durationMs: number): Promise<void> {
    const deadline = performance.now() + durationMs;
    while (
      performance.now() < deadline &&
      this.#failure === undefined &&
      this.#cluster.failure === undefined
    ) {
      this.#begin();
      await delay(this.#random.between(PAUSE_MS.min, PAUSE_MS.max));
    }
    await Promise.all(this.#underWay);
    const failure = this.#failure ?? this.#cluster.failure;
    if (failure !== undefined) throw failure;
  }

  /** Draws the same numbers whatever is in use, so that a seed means the same actions, if not at the same time. */
  #begin(): void {
    const actions = this.#actions();
    let chosen = this.#random.fraction() * actions.reduce((sum, { weight }) => sum + weight, 0);
    const action = actions.find(({ weight }) => {
      chosen -= weight;
      return chosen < 0;
    }) as Action;
    if (action.targets.some((target) => this.#inUse.has(target))) return;
    for (const target of action.targets) this.#inUse.add(target);
    this.counts.set(action.name, (this.counts.get(action.name) ?? 0) + 1);
    const text = `${action.name} (${action.targets.join(', ')})`;
    this.#onEvent(text);
    const task = action
      .run()
      .catch((error: Error) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#onEvent(`over: ${text}`);
        for (const target of action.targets) this.#inUse.delete(target);
        this.#underWay.delete(task);
      });
    this.#underWay.add(task);
  }

  #actions(): readonly Action[] {
    const { safekeepers, proposer, smallDisk } = this.#cluster;
    const random = this.#random.fork();
    const one = random.pick(safekeepers);
    const two = random.shuffle(safekeepers).slice(0, 2);
    const freezeMs = random.between(FREEZE_MS.min, FREEZE_MS.max);
    const fullMs = random.between(FULL_MS.min, FULL_MS.max);
    const names = (nodes: readonly SafekeeperNode[]): string[] =>
      nodes.map(({ options }) => `safekeeper ${options.id}`);
    const restart = async (nodes: readonly SafekeeperNode[]): Promise<void> => {
      this.kills += nodes.length;
      const downs = nodes.map(() => (random.chance(0.4) ? 0 : random.below(DOWN_MS_MAX)));
      const slows = nodes.map(() => (random.chance(0.3) ? SLOW_SYNC_MS : 0));
      await Promise.all(nodes.map((node, index) => node.restart(downs[index] ?? 0, slows[index] ?? 0)));
    };
    const killProposer = async (): Promise<void> => {
      this.kills += await proposer.kill(random.below(300));
    };
    const actions: Action[] = [
      { name: 'kill a safekeeper', weight: 6, targets: names([one]), run: () => restart([one]) },
      { name: 'kill two safekeepers', weight: 2, targets: names(two), run: () => restart(two) },
      {
        name: 'kill all safekeepers and the proposer',
        weight: 1.5,
        targets: [...names(safekeepers), 'proposer'],
        run: async () => void (await Promise.all([restart(safekeepers), killProposer()])),
      },
      {
        name: 'stop a safekeeper for a while',
        weight: 3,
        targets: names([one]),
        run: () => one.freeze(freezeMs),
      },
      { name: 'kill the proposer', weight: 3, targets: ['proposer'], run: killProposer },
      {
        name: 'stop the proposer for a while',
        weight: 1.5,
        targets: ['proposer'],
        run: () => proposer.freeze(freezeMs, false),
      },
      {
        name: 'elect a successor while the proposer is stopped',
        weight: 1.5,
        targets: ['proposer'],
        run: () => proposer.freeze(freezeMs, true),
      },
      {
        name: 'kill the server',
        weight: 1.5,
        targets: ['server'],
        run: () => this.#restartServer(),
      },
      {
        name: 'kill the server and the proposer',
        weight: 1.5,
        targets: ['server', 'proposer'],
        run: async () => void (await Promise.all([this.#restartServer(), killProposer()])),
      },
    ];
    if (typeof smallDisk !== 'string') {
      actions.push({
        name: 'fill the disk of a safekeeper',
        weight: 2,
        targets: ['disk'],
        run: async () => {
          await smallDisk.fill();
          await delay(fullMs);
          await smallDisk.empty();
        },
      });
    }
    return actions;
  }

  async #restartServer(): Promise<void> {
    const { server } = this.#cluster;
    this.kills++;
    await server.crash();
    await server.start();
  }
}
