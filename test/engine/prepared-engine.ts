/** An engine with a timeline and some history, for tests that go on from there. */
import { toLsn } from '../../src/base/lsn.ts';
import type { StorageOptions } from '../../src/pageserver/storage.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import type { TimelineSettings } from '../../src/pageserver/timeline/settings.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { checkAt } from './check-engine.ts';
import { CRASHED, EngineCloud, EngineWorld, MAIN } from './engine-world.ts';
import { drawRecord } from './model-records.ts';
import type { ModelTimeline } from './model-timeline.ts';

/** Nothing is tidied up unless it is asked for, and all history is kept. */
export const QUIET: Partial<TimelineSettings> = {
  compactionThreshold: 1000,
  imageThreshold: 1000,
  bottomThreshold: 1000,
  historyBytes: 2 ** 40,
  isCompressed: false,
};
/** Whatever can be tidied up is. */
export const BUSY: Partial<TimelineSettings> = {
  openLayerBytes: 8000,
  targetBytes: 8000,
  compactionThreshold: 2,
  imageThreshold: 2,
  bottomThreshold: 2,
  historyBytes: 20_000,
  historyMs: 0,
  isCompressed: false,
};

export class PreparedEngine {
  readonly world: EngineWorld;
  readonly model: ModelTimeline;
  readonly random: SeededRandom;

  private constructor(world: EngineWorld, model: ModelTimeline, random: SeededRandom) {
    this.world = world;
    this.model = model;
    this.random = random;
  }

  static async create(
    seed: number,
    settings: Partial<TimelineSettings> = QUIET,
    options: Omit<StorageOptions, 'directory' | 'settings'> = {},
  ): Promise<PreparedEngine> {
    const world = new EngineWorld(new EngineCloud(seed), 1, { ...options, settings });
    await world.start();
    const model = await world.createMain();
    if (model === CRASHED) throw new Error('nothing was to crash');
    const engine = new PreparedEngine(world, model, new SeededRandom(seed));
    await engine.write(0);
    return engine;
  }

  get main(): ActiveTimeline {
    return this.world.tenant.timeline(MAIN);
  }

  /** Makes more WAL, which is not taken in yet. */
  draw(records: number): void {
    for (let count = 0; count < records; count++) drawRecord(this.random, this.model, count);
  }

  /** Makes more WAL, and takes it in. */
  async write(records: number): Promise<void> {
    this.draw(records);
    await this.do(() => this.world.feed(this.model));
  }

  /** Does something of the node's, which must not crash meanwhile. */
  async do<Result>(action: () => Promise<Result>): Promise<Result> {
    const outcome = await this.world.attempt(action);
    if (outcome === CRASHED) throw new Error('nothing was to crash');
    return outcome;
  }

  /** Starts the storage again after a crash or a stop, with the WAL that it lacks. */
  async restart(): Promise<void> {
    await this.world.start();
    await this.do(() => this.world.feed(this.model));
  }

  /** Everything is as the model has it, at the ends of `count` records, the last one among them. */
  async check(count = 8): Promise<void> {
    const active = this.main;
    const lsns = new Set([this.model.lastLsn, active.timeline.gcCutoffLsn]);
    for (let left = count; left > 0; left--)
      lsns.add(this.model.pickLsn(this.random.fraction(), active.timeline.gcCutoffLsn));
    await this.do(async () => {
      for (const lsn of lsns) await checkAt(active, this.model, toLsn(lsn));
    });
  }

  /** All that has been taken in goes into layer files and, if it can, into the bucket. */
  async settle(): Promise<void> {
    const { timeline } = this.main;
    await this.do(async () => {
      await timeline.flush();
      await timeline.remote.waitForUploads(timeline.signal);
    });
  }
}
