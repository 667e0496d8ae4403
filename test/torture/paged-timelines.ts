import { parseTenantId, parseTimelineId, type TenantId, type TimelineId } from '../../src/base/ids.ts';
import type { Lsn } from '../../src/base/lsn.ts';
import { beginModel, drawRecord } from '../engine/model-records.ts';
import { ModelTimeline } from '../engine/model-timeline.ts';
import type { CommandProcess } from '../support/command-process.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { PagesHostCommands } from './pages-host-messages.ts';

/** Every version of every page is in the models: this bounds them. */
const RECORDS_MAX = 400;
const TIMELINES_MAX = 10;
const RECORDS_AT_ONCE = 20;
/** Microseconds from 1970 to 2000. */
const EPOCH_2000_MS = 946_684_800_000;

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

/** Timelines of two tenants that come, grow, branch, leave their ancestors, are detached and attached, and go. */
export class PagedTimelines {
  readonly actions = new Map<string, number>();
  /** Of a timeline, or of a tenant with all of its timelines. */
  slowestShutdownMs = 0;
  readonly #host: CommandProcess<PagesHostCommands>;
  readonly #random: SeededRandom;
  readonly #all = new Set<PagedTimeline>();
  readonly #parents = new Map<PagedTimeline, PagedTimeline | undefined>();
  readonly #tenants = [parseTenantId('a'.repeat(32)), parseTenantId('b'.repeat(32))];
  #made = 0;

  constructor(host: CommandProcess<PagesHostCommands>, random: SeededRandom) {
    this.#host = host;
    this.#random = random;
  }

  /** Those that are there. */
  get present(): readonly PagedTimeline[] {
    return [...this.#all].filter(({ isLeaving }) => !isLeaving);
  }

  async begin(): Promise<void> {
    for (const tenantId of this.#tenants) {
      await this.#host.ask('attach', { tenantId });
      for (let count = 0; count < 2; count++) await this.#create(tenantId);
    }
  }

  /** Does one thing, as the seed has it. */
  async act(): Promise<void> {
    const dice = this.#random.fraction();
    if (dice < 0.6) await this.#grow();
    else if (dice < 0.71) await this.#create(this.#random.pick(this.#tenants));
    else if (dice < 0.83) await this.#branch();
    else if (dice < 0.95) await this.#remove();
    else if (dice < 0.98) await this.#reattach();
    else await this.#detachAncestor();
  }

  #count(action: string): void {
    this.actions.set(action, (this.actions.get(action) ?? 0) + 1);
  }

  #pick(isWanted: (timeline: PagedTimeline) => boolean): PagedTimeline | undefined {
    const wanted = this.present.filter((timeline) => !timeline.isBusy && isWanted(timeline));
    return wanted.length === 0 ? undefined : this.#random.pick(wanted);
  }

  async #create(tenantId: TenantId): Promise<void> {
    if (this.#all.size >= TIMELINES_MAX) return;
    this.#count('create');
    const timelineId = this.#nextId();
    const model = new ModelTimeline(timelineId);
    beginModel(model);
    await this.#host.ask('create', { tenantId, timelineId });
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
      await this.#host.ask('branch', { tenantId, timelineId, parentId, lsn: point.endLsn });
    } finally {
      parent.isBusy = false;
    }
    await this.#add(tenantId, new ModelTimeline(timelineId, { ...point, parent: model }), parent);
  }

  async #add(tenantId: TenantId, model: ModelTimeline, parent?: PagedTimeline): Promise<void> {
    const { id: timelineId } = model;
    const timeline = { tenantId, timelineId, model, life: 0, isLeaving: false, isBusy: true, children: 0 };
    this.#parents.set(timeline, parent);
    this.#all.add(timeline);
    await this.#feed(timeline);
    timeline.isBusy = false;
  }

  async #grow(): Promise<void> {
    const timeline = this.#pick(({ model }) => model.records.length < RECORDS_MAX);
    if (timeline === undefined) return;
    this.#count('grow');
    timeline.isBusy = true;
    const nowMicros = (Date.now() - EPOCH_2000_MS) * 1000;
    for (let count = 0; count < RECORDS_AT_ONCE; count++) drawRecord(this.#random, timeline.model, nowMicros);
    await this.#feed(timeline);
    timeline.isBusy = false;
  }

  /** Brings it all WAL that its model has, from wherever it stands. */
  async #feed({ tenantId, timelineId, model }: PagedTimeline): Promise<void> {
    const place = { tenantId, timelineId };
    const position = await this.#host.ask('position', place);
    if (position >= model.walEnd) return;
    await this.#host.ask('feed', { ...place, wal: model.walFrom(position).slice() });
  }

  /** Readers, and those who never read, are in its midst. */
  async #remove(): Promise<void> {
    const timeline = this.#pick(({ children }) => children === 0);
    if (timeline === undefined || this.present.length < 4) return;
    this.#count('delete');
    const { tenantId, timelineId } = timeline;
    timeline.isLeaving = true;
    this.#noteShutdown(await this.#host.ask('remove', { tenantId, timelineId }));
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
    this.#noteShutdown(await this.#host.ask('detach', { tenantId }));
    await this.#host.ask('attach', { tenantId });
    await this.#comeBack(timelines);
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
    await this.#host.ask('detachAncestor', { tenantId, timelineId });
    parent.children--;
    this.#parents.set(branch, undefined);
    await this.#comeBack(timelines);
  }

  /** What was not in the store yet comes again. */
  async #comeBack(timelines: readonly PagedTimeline[]): Promise<void> {
    for (const timeline of timelines) {
      await this.#feed(timeline);
      timeline.life++;
      timeline.isLeaving = false;
    }
  }

  #noteShutdown(ms: number): void {
    this.slowestShutdownMs = Math.max(this.slowestShutdownMs, ms);
  }

  #nextId(): TimelineId {
    return parseTimelineId((++this.#made).toString(16).padStart(32, '0'));
  }
}

/** An LSN of a timeline's history. */
export const pickLsn = ({ model }: Pick<PagedTimeline, 'model'>, random: SeededRandom): Lsn =>
  model.pickLsn(random.fraction(), model.initialLsn);
