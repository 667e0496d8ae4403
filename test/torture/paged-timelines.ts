import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { beginModel, drawRecord } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { ownMs, type ProbedTime } from './pages-usage.ts';
import type { PagesWorld } from './pages-world.ts';
import { eventually } from './within.ts';

/** Every version of every page is in the models: this bounds them. */
const RECORDS_MAX = 400;
const TIMELINES_MAX = 10;
const RECORDS_AT_ONCE = 20;
/** Microseconds from 1970 to 2000. */
const EPOCH_2000_MS = 946_684_800_000;
const PRESENT_MS = 60_000;

/** A timeline, and what is known of it. */
export interface PagedTimeline {
  readonly tenantId: TenantId;
  readonly timelineId: TimelineId;
  readonly model: ModelTimeline;
  /** Counts the times that it was there: it may end whatever began before. */
  life: number;
  /** It is gone or about to go: what is asked of it may fail. */
  isLeaving: boolean;
  /** One thing at a time is done with it. */
  isBusy: boolean;
  children: number;
}

/**
 * Timelines of two tenants that come, grow, branch, leave their ancestors, are detached and attached, and go, while their
 * pageserver is killed now and then.
 */
export class PagedTimelines {
  readonly actions = new Map<string, number>();
  /** Of a timeline, or of a tenant with all of its timelines. */
  slowestShutdown: ProbedTime = { ms: 0, starvedMs: 0 };
  readonly #world: PagesWorld;
  readonly #random: SeededRandom;
  readonly #onEvent: (text: string) => void;
  readonly #all = new Set<PagedTimeline>();
  readonly #parents = new Map<PagedTimeline, PagedTimeline | undefined>();
  readonly #tenants = [parseTenantId('a'.repeat(32)), parseTenantId('b'.repeat(32))];
  #made = 0;
  #isDown = false;

  constructor(world: PagesWorld, random: SeededRandom, onEvent: (text: string) => void) {
    this.#world = world;
    this.#onEvent = onEvent;
    this.#random = random;
  }

  /** Those that can be read. */
  get present(): readonly PagedTimeline[] {
    return this.#isDown ? [] : this.#staying;
  }

  get #staying(): readonly PagedTimeline[] {
    return [...this.#all].filter(({ isLeaving }) => !isLeaving);
  }

  /** One of those that are there, once one is. */
  async pickPresent(random: SeededRandom): Promise<PagedTimeline> {
    return await eventually(PRESENT_MS, 'there is no timeline', async () => {
      const { present } = this;
      return present.length > 0 && random.pick(present);
    });
  }

  async begin(): Promise<void> {
    for (const tenantId of this.#tenants) {
      await this.#world.attach(tenantId);
      for (let count = 0; count < 2; count++) await this.#create(tenantId);
    }
  }

  /** Does one thing, as the seed has it. */
  async act(): Promise<void> {
    const dice = this.#random.fraction();
    if (dice < 0.5) await this.#grow();
    else if (dice < 0.6) await this.#create(this.#random.pick(this.#tenants));
    else if (dice < 0.75) await this.#branch();
    else if (dice < 0.86) await this.#remove();
    else if (dice < 0.92) await this.#reattach();
    else await this.#detachAncestor();
  }

  /** In the midst of whatever else is done. */
  async kill(): Promise<void> {
    this.#count('kill');
    this.#isDown = true;
    for (const timeline of this.#all) timeline.life++;
    await this.#world.killPageserver();
    this.#isDown = false;
  }

  #count(action: string): void {
    this.#onEvent(action);
    this.actions.set(action, (this.actions.get(action) ?? 0) + 1);
  }

  #pick(isWanted: (timeline: PagedTimeline) => boolean): PagedTimeline | undefined {
    const wanted = this.#staying.filter((timeline) => !timeline.isBusy && isWanted(timeline));
    return wanted.length === 0 ? undefined : this.#random.pick(wanted);
  }

  async #create(tenantId: TenantId): Promise<void> {
    if (this.#all.size >= TIMELINES_MAX) return;
    this.#count('create');
    const timelineId = this.#nextId();
    const model = new ModelTimeline(timelineId);
    beginModel(model);
    await this.#world.create({ tenantId, timelineId });
    await this.#add(tenantId, model);
  }

  async #branch(): Promise<void> {
    if (this.#all.size >= TIMELINES_MAX) return;
    const parent = this.#pick(({ model }) => model.records.length > 0);
    if (parent === undefined) return;
    this.#count('branch');
    const { model, tenantId } = parent;
    const point = model.recordBefore(model.pickLsn(this.#random.fraction(), model.initialLsn));
    if (point === undefined) return;
    const timelineId = this.#nextId();
    parent.isBusy = true;
    parent.children++;
    try {
      const { timelineId: parentId } = parent;
      await this.#world.branch({ tenantId, timelineId }, parentId, point.endLsn);
    } finally {
      parent.isBusy = false;
    }
    await this.#add(tenantId, new ModelTimeline(timelineId, { ...point, parent: model }), parent);
  }

  async #add(tenantId: TenantId, model: ModelTimeline, parent?: PagedTimeline): Promise<void> {
    const { id: timelineId } = model;
    const timeline = { tenantId, timelineId, model, life: 0, isLeaving: false, isBusy: true, children: 0 };
    this.#parents.set(timeline, parent);
    await this.#world.wal.begin(tenantId, model);
    this.#all.add(timeline);
    await this.#world.wal.push(model);
    timeline.isBusy = false;
  }

  async #grow(): Promise<void> {
    const timeline = this.#pick(({ model }) => model.records.length < RECORDS_MAX);
    if (timeline === undefined) return;
    this.#count('grow');
    timeline.isBusy = true;
    const nowMicros = (Date.now() - EPOCH_2000_MS) * 1000;
    for (let count = 0; count < RECORDS_AT_ONCE; count++) drawRecord(this.#random, timeline.model, nowMicros);
    await this.#world.wal.push(timeline.model);
    timeline.isBusy = false;
  }

  /** Readers, and those who never read, are in its midst. */
  async #remove(): Promise<void> {
    const timeline = this.#pick(({ children }) => children === 0);
    if (timeline === undefined || this.#staying.length < 4) return;
    this.#count('delete');
    const { tenantId, timelineId } = timeline;
    timeline.isLeaving = true;
    this.#noteShutdown(await this.#world.remove({ tenantId, timelineId }));
    const parent = this.#parents.get(timeline);
    if (parent !== undefined) parent.children--;
    this.#parents.delete(timeline);
    this.#all.delete(timeline);
  }

  async #reattach(): Promise<void> {
    const tenantId = this.#random.pick(this.#tenants);
    const timelines = [...this.#all].filter((timeline) => timeline.tenantId === tenantId);
    if (timelines.length === 0 || timelines.some(({ isBusy, isLeaving }) => isBusy || isLeaving)) return;
    this.#count('detach and attach');
    for (const timeline of timelines) timeline.isLeaving = true;
    this.#noteShutdown(await this.#world.detach(tenantId));
    await this.#world.attach(tenantId);
    this.#comeBack(timelines);
  }

  /** Its readers are sent away with those of the whole tenant, which is loaded anew. */
  async #detachAncestor(): Promise<void> {
    const branch = this.#pick((timeline) => this.#parents.get(timeline) !== undefined);
    const parent = branch === undefined ? undefined : this.#parents.get(branch);
    if (branch === undefined || parent === undefined) return;
    const { tenantId, timelineId } = branch;
    const timelines = [...this.#all].filter((timeline) => timeline.tenantId === tenantId);
    if (timelines.some(({ isBusy, isLeaving }) => isBusy || isLeaving)) return;
    this.#count('detach ancestor');
    for (const timeline of timelines) timeline.isLeaving = true;
    const isFirst = this.#parents.get(parent) === undefined;
    const behavior =
      isFirst && this.#random.chance(0.5) ? 'no_ancestor_and_reparent' : 'multi_level_and_no_reparent';
    const moved = await this.#world.detachAncestor({ tenantId, timelineId }, behavior);
    parent.children--;
    this.#parents.set(branch, undefined);
    branch.model.detach(0);
    for (const sibling of timelines.filter((each) => moved.includes(each.timelineId))) {
      this.#count('move to another ancestor');
      parent.children--;
      branch.children++;
      this.#parents.set(sibling, branch);
      sibling.model.moveTo(branch.model);
    }
    this.#comeBack(timelines);
  }

  #comeBack(timelines: readonly PagedTimeline[]): void {
    for (const timeline of timelines) {
      timeline.life++;
      timeline.isLeaving = false;
    }
  }

  #noteShutdown(took: ProbedTime | undefined): void {
    if (took !== undefined && ownMs(took) > ownMs(this.slowestShutdown)) this.slowestShutdown = took;
  }

  #nextId(): TimelineId {
    return parseTimelineId((++this.#made).toString(16).padStart(32, '0'));
  }
}

/** An LSN of a timeline's history. */
export const pickLsn = ({ model }: Pick<PagedTimeline, 'model'>, random: SeededRandom): Lsn =>
  model.pickLsn(random.fraction(), model.initialLsn);
