import { VarveError } from '../../src/base/errors.ts';
import type { TimelineId } from '../../src/base/ids.ts';
import { toLsn } from '../../src/base/lsn.ts';
import type { DetachBehavior } from '../../src/contracts/pageserver-api-timeline.ts';
import type { ActiveTimeline } from '../../src/pageserver/tenant/active-timeline.ts';
import { listenToAssertions } from '../sim/cluster/assertions.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { checkAt, checkMoment, checkTimeline, EngineMismatch } from './check-engine.ts';
import type { Command, Litter, Run, UpkeepAction } from './engine-commands.ts';
import { CRASHED, EngineCloud, EngineWorld, MAIN, TENANT, timelineIdOf } from './engine-world.ts';
import { BESIDE, BESIDE_PATH, drawRecord, UNCERTAIN } from './model-records.ts';
import { ModelTimeline } from './model-timeline.ts';

const POSTGRES_EPOCH_MS = 946_684_800_000;
/** At so many LSNs of each timeline everything is compared in the end. */
const LSNS_AT_END = 12;

export interface RunCounts {
  records: number;
  layers: number;
  crashes: number;
  branches: number;
  detached: number;
  comparisons: number;
}

/** Carries commands out, and compares what the engine says with the model. @throws what is not as it should be */
export async function runEngine(
  { commands, ...run }: Run,
  trace?: (line: string) => void,
): Promise<RunCounts> {
  const engine = new EngineRun(run, trace);
  listenToAssertions((error) => engine.world.cloud.kernel.fail(error));
  try {
    await engine.begin();
    for (const command of commands) await engine.carryOut(command);
    await engine.end();
    return engine.counts;
  } finally {
    listenToAssertions(undefined);
  }
}

class EngineRun {
  readonly world: EngineWorld;
  readonly counts: RunCounts = {
    records: 0,
    layers: 0,
    crashes: 0,
    branches: 0,
    detached: 0,
    comparisons: 0,
  };
  /** Parents before their children. */
  readonly #models = new Map<TimelineId, ModelTimeline>();
  /** Whose creation or deletion was interrupted: they may be there or not. */
  readonly #uncertain = new Map<TimelineId, ModelTimeline>();
  readonly #random: SeededRandom;
  readonly #trace: ((line: string) => void) | undefined;
  #branchesMade = 0;

  constructor(run: Omit<Run, 'commands'>, trace?: (line: string) => void) {
    const { seed, ...options } = run;
    this.#trace = trace;
    this.world = new EngineWorld(new EngineCloud(seed), 1, options);
    this.#random = new SeededRandom(seed ^ 0x5eed);
  }

  async begin(): Promise<void> {
    await this.world.start();
    const model = await this.world.createMain();
    if (model === CRASHED) throw new Error('nothing was to crash');
    this.#models.set(MAIN, model);
    await this.#feedAll();
  }

  async carryOut(command: Command): Promise<void> {
    const { world } = this;
    if (command.crash !== undefined) {
      const { effect, moment, kind } = command.crash;
      world.node.crashAtEffect(effect, moment, { kind });
    }
    this.#trace?.(JSON.stringify(command));
    const readings = (command.reads ?? []).map(
      ({ branch, place }) =>
        () =>
          this.#read(branch, place),
    );
    const work = (): Promise<unknown> => this.#act(command);
    await this.#together(work, readings);
    world.node.plannedCrash = undefined;
    await this.#recover();
    this.#checkAll();
    await world.pass(this.#random.below(5));
  }

  /** In the end all is well: everything is compared, and then once more of what is in the bucket alone. */
  async end(): Promise<void> {
    const { world } = this;
    world.heal();
    this.#trace?.('end');
    await this.#compareAll();
    const cutoffs = new Map(
      world.tenant.timelines.map(({ timeline }) => [timeline.timelineId, timeline.gcCutoffLsn]),
    );
    await this.#attempt(async () => {
      for (const { timeline } of world.tenant.timelines) {
        await timeline.flush();
        await timeline.remote.waitForUploads(timeline.signal);
      }
    });
    this.#checkAll();
    await world.stop();
    world.wipe();
    this.#trace?.('wiped');
    await this.#recover(false);
    for (const active of world.tenant.timelines) {
      const model = this.#models.get(active.timeline.timelineId) as ModelTimeline;
      if (active.timeline.lastRecordLsn !== model.lastLsn)
        throw new EngineMismatch(
          `${model.id} has ${active.timeline.lastRecordLsn} of ${model.lastLsn} in the bucket`,
        );
      if (active.timeline.gcCutoffLsn < (cutoffs.get(model.id) as number))
        throw new EngineMismatch(`the cutoff of ${model.id} is back at ${active.timeline.gcCutoffLsn}`);
    }
    await this.#compareAll();
    await world.stop();
  }

  async #compareAll(): Promise<void> {
    for (const model of this.#models.values()) {
      const lsns = [model.initialLsn, model.lastLsn];
      const active = this.#active(model);
      lsns.push(active.timeline.gcCutoffLsn, ...active.timeline.retainedLsns());
      for (let count = 0; count < LSNS_AT_END; count++)
        lsns.push(model.pickLsn(this.#random.fraction(), active.timeline.gcCutoffLsn));
      await this.#attempt(async () => {
        for (const lsn of new Set(lsns)) {
          this.counts.comparisons++;
          await checkAt(active, model, toLsn(Math.min(lsn, model.lastLsn)));
        }
        await checkMoment(active, model, this.#random.fraction());
      });
    }
  }

  /** Parts that are not crash-like are done at the same time as reading. */
  async #together(work: () => Promise<unknown>, readings: readonly (() => Promise<void>)[]): Promise<void> {
    if (readings.length === 0) {
      await work();
      return;
    }
    const reading = this.#readingsToDo.push(...readings);
    await work();
    if (this.#readingsToDo.length === reading) this.#readingsToDo.length = 0;
  }

  readonly #readingsToDo: (() => Promise<void>)[] = [];

  /** Does something of the node's, with the readings of the command beside it. */
  async #attempt(action: () => Promise<unknown>, mayEndReadings = false): Promise<boolean> {
    const readings = this.#readingsToDo.splice(0);
    const outcome = await this.world.attempt(() =>
      Promise.all([
        action(),
        ...readings.map((reading) => (mayEndReadings ? untilEnded(reading) : reading())),
      ]),
    );
    return outcome !== CRASHED;
  }

  #act(command: Command): Promise<unknown> {
    const { world } = this;
    switch (command.kind) {
      case 'write':
        return this.#write(this.#pick(command.branch), command.records, command.seed);
      case 'beside':
        return this.#putBeside(this.#pick(command.branch), command.seed);
      case 'branch':
        return this.#branch(this.#pick(command.parent), command.place);
      case 'delete':
        return this.#delete(this.#pick(command.branch));
      case 'detach':
        return this.#detach(this.#pick(command.branch), command.isOfAll);
      case 'lease':
        return this.#lease(this.#pick(command.branch), command.place, command.ms);
      case 'read':
        return this.#attempt(() => this.#read(command.branch, command.place));
      case 'pass':
        return this.#attempt(async () => undefined).then(() => world.pass(command.ms));
      case 'objects':
        world.setMode(command.mode);
        return this.#attempt(async () => undefined);
      case 'disk':
        return this.#failDisk(command.failChance);
      case 'restart':
        return world.stop();
      case 'wipe':
        world.wipe();
        return Promise.resolve();
      case 'crash':
        world.node.crash({ kind: command.power ? 'power' : 'kill' });
        return Promise.resolve();
      case 'litter':
        return this.#litter(this.#pick(command.branch), command.what);
      default:
        return this.#tidyUp(this.#pick(command.branch), command.kind);
    }
  }

  async #failDisk(failChance: number): Promise<void> {
    const { failChance: chances } = this.world.node.disk.faults;
    for (const operation of ['write', 'sync', 'names'] as const) chances[operation] = failChance;
    await this.#attempt(async () => undefined);
  }

  async #write(model: ModelTimeline, records: number, seed: number): Promise<void> {
    const random = new SeededRandom(seed);
    const nowMicros = (this.#nowMs - POSTGRES_EPOCH_MS) * 1000;
    for (let count = 0; count < records; count++) drawRecord(random, model, nowMicros + count);
    this.counts.records += records;
    await this.#attempt(() =>
      this.#patiently(() =>
        this.world.feed(model, () => 1 + random.below(random.chance(0.3) ? 600 : 30_000)),
      ),
    );
  }

  /** Keeps something beside a record that no branch begins behind yet. */
  async #putBeside(model: ModelTimeline, seed: number): Promise<void> {
    await this.#write(model, 1, seed);
    if (!this.world.isRunning) return;
    const { timeline } = this.#active(model);
    if (timeline.lastRecordLsn < model.lastLsn) return;
    const content = new Uint8Array(1 + (seed % 300)).fill(seed % 256);
    // Until it is in the bucket nobody has it for sure: it does not come again with the WAL.
    model.set(BESIDE, UNCERTAIN);
    await this.#attempt(() =>
      this.#patiently(async () => {
        await timeline.putAuxiliaryFile(BESIDE_PATH, content);
        await timeline.flush();
        await timeline.remote.waitForUploads(timeline.signal);
        model.set(BESIDE, content);
      }),
    );
  }

  /** What may fail while there is trouble is done anew when there is none. */
  async #patiently(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof VarveError) || error.kind !== 'unavailable' || !this.world.isTroubled)
        throw error;
      this.#trace?.(`failed: ${error.message}`);
    }
  }

  async #tidyUp(model: ModelTimeline, action: UpkeepAction): Promise<void> {
    const { timeline, upkeep } = this.#active(model);
    const actions: Record<UpkeepAction, () => Promise<unknown>> = {
      freeze: async () => timeline.freeze(),
      flush: () => timeline.flush(),
      compact: () => upkeep.compact(),
      images: () => upkeep.makeImages(),
      garbage: () => upkeep.collectGarbage(),
      bottom: () => upkeep.rewriteBottom(),
      all: async () => {
        await Promise.all([timeline.flush(), upkeep.compact(), upkeep.makeImages()]);
        await Promise.all([upkeep.collectGarbage(), upkeep.rewriteBottom()]);
      },
    };
    await this.#attempt(() => this.#patiently(actions[action]));
  }

  async #branch(parent: ModelTimeline, place: number | undefined): Promise<void> {
    if (this.#models.size >= 5) return;
    const active = this.#active(parent);
    const lsn = place === undefined ? undefined : parent.pickLsn(place, active.timeline.gcCutoffLsn);
    const at = parent.recordBefore(lsn ?? parent.lastLsn);
    if (at === undefined) return;
    const model = new ModelTimeline(timelineIdOf(++this.#branchesMade), { parent, ...at });
    this.#uncertain.set(model.id, model);
    await this.#attempt(async () => {
      try {
        await this.world.tenant.createBranch(model.id, parent.id, lsn);
        this.#models.set(model.id, model);
        this.counts.branches++;
      } catch (error) {
        if (!(error instanceof VarveError)) throw error;
        const isTooOld = error.code === 'BAD_BRANCH_POINT' && at.endLsn < active.timeline.gcCutoffLsn;
        if (!isTooOld && !(error.kind === 'unavailable' && this.world.isTroubled)) throw error;
      }
      this.#uncertain.delete(model.id);
    });
  }

  async #delete(model: ModelTimeline): Promise<void> {
    if (this.#models.size === 1) return;
    const hasBranches = [...this.#models.values()].some(({ parent }) => parent === model);
    if (!hasBranches) {
      this.#models.delete(model.id);
      this.#uncertain.set(model.id, model);
    }
    await this.#attempt(async () => {
      try {
        await this.world.tenant.deleteTimeline(model.id);
        if (hasBranches) throw new EngineMismatch(`${model.id} is deleted, and has branches`);
      } catch (error) {
        if (!(error instanceof VarveError)) throw error;
        const isRefused = hasBranches && error.code === 'TIMELINE_HAS_BRANCHES';
        if (!isRefused && !(error.kind === 'unavailable' && this.world.isTroubled)) throw error;
        return;
      }
      this.#uncertain.delete(model.id);
      this.#gone.add(model.id);
    });
    if (this.#uncertain.has(model.id)) await this.world.stop();
  }

  readonly #gone = new Set<TimelineId>();

  /** Makes a timeline independent of its ancestors. Whoever reads meanwhile may be told to come again. */
  async #detach(model: ModelTimeline, isOfAll: boolean): Promise<void> {
    const behavior = isOfAll ? 'multi_level_and_no_reparent' : 'no_ancestor_and_reparent';
    this.#detaching = { id: model.id, behavior };
    await this.#attempt(() => this.#detachNow(model, behavior), true);
    if (this.world.isRunning) await this.#feedAll();
  }

  #detaching: { readonly id: TimelineId; readonly behavior: DetachBehavior } | undefined;

  async #detachNow(model: ModelTimeline, behavior: DetachBehavior): Promise<void> {
    const { world } = this;
    const wasDetached = model.isDetached;
    try {
      const branches = await world.storage.detachAncestor(world.tenant, model.id, behavior);
      world.forgetIntakes();
      this.#adoptDescent(model.id);
      if (!wasDetached) this.counts.detached++;
      for (const id of branches) {
        const branch = this.#models.get(id);
        if (!wasDetached && branch?.parent !== model)
          throw new EngineMismatch(`${id} has not followed ${model.id}`);
      }
      if (!model.isDetached) throw new EngineMismatch(`${model.id} has an ancestor still`);
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      world.forgetIntakes();
      const isRefused =
        (error.code === 'NO_ANCESTOR' && model.parent === undefined && !model.isDetached) ||
        (error.code === 'TOO_MANY_ANCESTORS' && model.parent?.parent !== undefined) ||
        (error.kind === 'unavailable' && (world.isTroubled || error.code === 'LSN_NOT_REACHED'));
      this.#trace?.(`refused: ${error.message}`);
      if (!isRefused) throw error;
      // It may have come as far as to be loaded anew.
      await world.storage.activeTenant(TENANT, new AbortController().signal, 1000_000);
      this.#adoptDescent(model.id);
    }
    this.#detaching = undefined;
  }

  /** Of a timeline that was being detached, and of its ancestor's branches, it is found out what they descend from now. */
  #adoptDescent(detachedId: TimelineId | undefined): void {
    for (const model of this.#models.values()) {
      const { timeline } = this.#active(model);
      const ancestorId = timeline.ancestorTimeline?.timelineId;
      if (ancestorId === model.parent?.id) continue;
      if (ancestorId === undefined && model.id === detachedId) {
        model.detach(timeline.gcCutoffLsn);
      } else if (ancestorId === detachedId && detachedId !== undefined) {
        const ancestor = this.#models.get(detachedId) as ModelTimeline;
        if ((model.branchPoint?.endLsn ?? 0) > (ancestor.branchPoint?.endLsn ?? 0))
          throw new EngineMismatch(
            `${model.id} has followed ${detachedId}, which does not know what it sees`,
          );
        model.moveTo(ancestor);
      } else throw new EngineMismatch(`${model.id} descends from ${ancestorId}`);
    }
  }

  /** Takes a lease, has the history behind it tidied up, and reads there. */
  async #lease(model: ModelTimeline, place: number, ms: number): Promise<void> {
    const { timeline, upkeep } = this.#active(model);
    const lsn = model.pickLsn(place, timeline.gcCutoffLsn);
    const isReadable = lsn >= timeline.gcCutoffLsn && lsn <= timeline.lastRecordLsn;
    if (isReadable) upkeep.lease(lsn, this.#nowMs + ms);
    for (let round = 0; round < 3 && this.world.isRunning; round++) {
      await this.#write(model, 12, lsn + round);
      if (this.world.isRunning) await this.#tidyUp(model, 'flush');
      if (this.world.isRunning) await this.#tidyUp(model, 'compact');
      await this.world.pass(700);
    }
    for (const action of ['bottom', 'images', 'garbage'] as const)
      if (this.world.isRunning) await this.#tidyUp(model, action);
    if (!this.world.isRunning || !isReadable) return;
    await this.#attempt(() => checkAt(this.#active(model), model, lsn, this.world.isTroubled));
  }

  async #read(branch: number, place: number): Promise<void> {
    const model = this.#pick(branch);
    const active = this.#active(model);
    // Now and then below the cutoff.
    const lowest = place < 0.2 ? 0 : active.timeline.gcCutoffLsn;
    const lsn = toLsn(Math.min(model.pickLsn(place, lowest), active.timeline.lastRecordLsn));
    this.counts.comparisons++;
    await checkAt(active, model, lsn, this.world.isTroubled);
  }

  async #litter(model: ModelTimeline, what: Litter): Promise<void> {
    const { world } = this;
    const directory = `tenants/${TENANT}/${model.id}`;
    const layers = [...this.#active(model).timeline.layers].map(({ path }) =>
      path.slice(path.lastIndexOf('/') + 1),
    );
    await world.stop();
    const junk = new Uint8Array(3000).fill(0x5a);
    const name = layers[0] ?? 'none';
    const places: Record<Litter, string> = {
      'open-layer': `${directory}/open-1`,
      temporary: `${directory}/flushed.temporary`,
      // Of a generation that was never given.
      layer: `${directory}/${name.replace(/[0-9a-f]{8}$/, 'fffffff0')}`,
      'cut-layer': `${directory}/${name}`,
      timeline: `tenants/${TENANT}/${'9'.repeat(32)}/${name}`,
    };
    await world.litter(places[what], junk);
  }

  /** After a crash or a stop: the storage is started, and gets its WAL again from where it then is. */
  async #recover(mustFeed = true): Promise<void> {
    const { world } = this;
    while (!world.isRunning) {
      this.counts.crashes++;
      this.#readingsToDo.length = 0;
      await world.start();
      this.#adopt();
      this.#checkAll();
      if (mustFeed) await this.#feedAll();
      const model = this.#detaching && this.#models.get(this.#detaching.id);
      const { behavior = 'no_ancestor_and_reparent' } = this.#detaching ?? {};
      if (model === undefined || !world.isRunning) continue;
      await this.#attempt(() => this.#detachNow(model, behavior));
      if (world.isRunning && mustFeed) await this.#feedAll();
    }
  }

  /** What was uncertain is found out. */
  #adopt(): void {
    const { world } = this;
    for (const [id, model] of this.#uncertain) {
      if (world.find(id) !== undefined) this.#models.set(id, model);
      else this.#gone.add(id);
    }
    this.#uncertain.clear();
    this.#adoptDescent(this.#detaching?.id);
    for (const id of this.#models.keys())
      if (world.find(id) === undefined) throw new EngineMismatch(`timeline ${id} is lost`);
    for (const { timeline } of world.tenant.timelines)
      if (!this.#models.has(timeline.timelineId))
        throw new EngineMismatch(`${timeline.timelineId} is there again`);
  }

  async #feedAll(): Promise<void> {
    await this.#attempt(async () => {
      for (const model of this.#models.values()) await this.#patiently(() => this.world.feed(model));
    });
  }

  #checkAll(): void {
    for (const model of this.#models.values()) {
      const active = this.#active(model);
      checkTimeline(active, model, this.#nowMs);
      this.counts.layers = Math.max(this.counts.layers, active.timeline.layers.size);
    }
  }

  get #nowMs(): number {
    return this.world.node.wallClock.nowMs();
  }

  #pick(number: number): ModelTimeline {
    const models = [...this.#models.values()];
    return models[number % models.length] as ModelTimeline;
  }

  #active(model: ModelTimeline): ActiveTimeline {
    return this.world.tenant.timeline(model.id);
  }
}

/** A reading whose timeline may be loaded anew meanwhile. */
async function untilEnded(reading: () => Promise<void>): Promise<void> {
  try {
    await reading();
  } catch (error) {
    const reason = error instanceof EngineMismatch ? error.cause : error;
    if (!(reason instanceof VarveError) || !['cancelled', 'unavailable'].includes(reason.kind)) throw error;
  }
}
